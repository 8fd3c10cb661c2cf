"""What a run is made of: defaults, bad input before any work, the run directory's owner."""

import dataclasses
import json

import pytest
import tiny

from bayes_by_hypernet import data
from bayes_by_hypernet.paper import configuration, protocols, schema
from bayes_by_hypernet.paper.methods import BayesByHypernetOptions
from bayes_by_hypernet.paper.run_directory import RunDirectory, RunDirectoryError, flag_lines
from bayes_by_hypernet.paper.schema import SchemaError


@pytest.fixture(autouse=True)
def _embedded(monkeypatch):
    """Says that there is no MNIST, without looking."""
    resolved = data.Resolved("embedded", "embedded_letters", "No MNIST here.")
    monkeypatch.setattr(configuration.data, "resolve", lambda *args, **kwargs: resolved)


def _resolve(**settings):
    return configuration.resolve("lenet", **{"method": "bbh", **settings})[0]


class TestResolve:
    def test_defaults_are_the_protocols(self):
        config, reason = configuration.resolve("lenet", method="bbh", protocol="paper")
        assert reason == "No MNIST here."
        flat = config.flat()
        expected = {
            "epochs": 100,
            "annealing_start_epoch": 5,
            "annealing_epochs": 15,
            "batch_size": 100,
            "learning_rate": 1e-4,
            "num_predictive_samples": 100,
            "temperature": 1.0,
            "seed": 42,
            **dataclasses.asdict(BayesByHypernetOptions()),  # Table 3's: see test_methods
        }
        assert {name: flat[name] for name in expected} == expected

    def test_half_is_of_resnet32_alone(self):
        plan = protocols.get("resnet32", "half")
        numbers = (plan.epochs, plan.annealing_start_epoch, plan.annealing_epochs)
        assert numbers == (40, 4, 3)
        with pytest.raises(ValueError, match="`protocol` must be one of.*'half'"):
            _resolve(protocol="half")

    @pytest.mark.parametrize(
        "protocol, epochs, start, length", [("quick", 8, 1, 3), ("demo", 2, 0.5, 1)]
    )
    def test_shorter_protocols(self, protocol, epochs, start, length):
        config = _resolve(protocol=protocol)
        assert config.epochs == epochs
        assert (config.annealing_start_epoch, config.annealing_epochs) == (start, length)

    def test_map_has_its_own_rate_and_no_annealing(self):
        config = _resolve(method="map", protocol="paper")
        assert (config.learning_rate, config.annealing_epochs) == (1e-3, None)
        assert config.flat()["architecture"] is None

    def test_demo_is_the_default_on_the_embedded_set(self):
        assert _resolve().protocol == "demo"
        assert _resolve(protocol="quick").protocol == "quick"

    def test_single_shares_its_noise(self):
        assert _resolve(architecture="single").options["noise"] == "shared"

    @pytest.mark.parametrize(
        "settings, message",
        [
            ({"method": "laplace"}, r"`method` must be one of \('bbb', .*'map'.*\).*'laplace'"),
            ({"architecture": "flat"}, "`architecture` must be one of.*'flat'"),
            ({"architecture": "single", "noise": "independent"}, "same z"),
            ({"noise": "none"}, "`noise` must be one of.*'none'"),
            ({"noise_dim": 0}, "noise_dim=0"),
            ({"num_kl_samples": 1}, "at least 2.*nearest other.*num_kl_samples=1"),
            ({"num_likelihood_samples": 6}, "between 1 and `num_kl_samples`=5.*6"),
            ({"prior_stddev": 0.0}, "`prior_stddev` of a method\\) must be positive"),
            ({"kl_estimator": "analytic"}, "density is not known.*'analytic'"),
            ({"adversarial_weights": 9}, "kl_estimator='adversarial' only.*adversarial_weights=9"),
            ({"method": "bbb", "forward": "lrt"}, "`forward` must be one of.*'lrt'"),
            ({"hidden_units": ()}, "`hidden_units` must be"),
            ({"protocol": "long"}, "`protocol` must be one of.*'long'"),
            ({"epochs": 0}, "`epochs` must be at least 1.*epochs=0"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"learning_rate": -1.0}, "learning_rate=-1.0"),
            ({"temperature": -1.0}, "temperature=-1.0"),
            ({"seed": -1}, "seed=-1"),
            ({"max_train_examples": 5}, "at least `batch_size`=100.*max_train_examples=5"),
            ({"method": "map", "noise_dim": 8}, "no meaning for method='map'.*noise_dim=8"),
            ({"colour": "red"}, "no setting 'colour'"),
        ],
    )
    def test_bad_settings_are_refused(self, settings, message):
        with pytest.raises(ValueError, match=message):
            _resolve(**settings)

    def test_the_protocol_decides_what_the_discriminator_sees(self):
        given = {"method": "bbb", "kl_estimator": "adversarial"}
        seen = {p: _resolve(protocol=p, **given).options for p in ("quick", "paper")}
        assert seen["quick"]["adversarial_weights"] == 65_536
        assert seen["paper"]["adversarial_weights"] is None
        assert _resolve(adversarial_weights=9, **given).options["adversarial_weights"] == 9
        assert _resolve(method="bbb", protocol="quick").options["adversarial_weights"] is None

    def test_a_run_from_before_a_setting_has_its_default(self):
        config = _resolve()
        flat = {k: v for k, v in config.flat().items() if k != "adversarial_weights"}
        assert configuration.RunConfig.from_flat(flat) == config

    def test_survives_json(self):
        config = _resolve(hidden_units=(4, 8), noise_dim=8)
        flat = json.loads(json.dumps(config.flat()))
        again = configuration.RunConfig.from_flat(flat)
        assert again == config
        assert again.differences(config) == {}


def _claimed(path, config, fingerprint, **options):
    directory = RunDirectory(path, config, **options)
    directory.initialize(fingerprint)
    return directory


# All that results must hold.
COMPLETE = {**dict.fromkeys(schema.RESULTS, 1), "complete": True}


class TestRunDirectory:
    def test_the_same_configuration_may_come_back(self, tmp_path):
        _claimed(tmp_path, _resolve(), "data")
        directory = _claimed(tmp_path, _resolve(), "data")
        assert directory.results is None
        directory.write_results(COMPLETE)
        results = _claimed(tmp_path, _resolve(), "data").results
        assert results == {**COMPLETE, "schema_version": schema.SCHEMA_VERSION}

    def test_a_run_of_an_older_version_goes_on(self, tmp_path):
        _claimed(tmp_path, _resolve(), "data")
        path = tmp_path / "config.json"
        contents = json.loads(path.read_text())
        assert contents.pop("schema_version") == schema.SCHEMA_VERSION
        path.write_text(json.dumps(contents))
        assert configuration.read_config(tmp_path) == _resolve()
        _claimed(tmp_path, _resolve(), "data")
        assert json.loads(path.read_text())["schema_version"] == schema.SCHEMA_VERSION

    @pytest.mark.parametrize("name", ["config.json", "results.json"])
    def test_a_run_of_a_newer_version_is_refused(self, name, tmp_path):
        directory = _claimed(tmp_path, _resolve(), "data")
        directory.write_results(COMPLETE)
        path, newer = tmp_path / name, schema.SCHEMA_VERSION + 1
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": newer}))
        with pytest.raises(SchemaError, match=f"{name}.*={newer}.*at most {newer - 1}"):
            print(RunDirectory(tmp_path, _resolve()).results)
        assert RunDirectory(tmp_path, _resolve(), overwrite=True).results is None

    def test_another_configuration_is_refused_by_the_flag_that_differs(self, tmp_path):
        _claimed(tmp_path, _resolve(), "data")
        (tmp_path / "checkpoints").mkdir()
        changed = _resolve(noise_dim=8, hidden_units=(4, 8))
        message = (
            "--noise_dim=1 there, 8 now; --hidden_units=64,256,512 there, 4,8 now.*--overwrite"
        )
        with pytest.raises(RunDirectoryError, match=message):
            _claimed(tmp_path, changed, "data")
        assert configuration.read_config(tmp_path) == _resolve()  # nothing was changed
        assert (tmp_path / "checkpoints").exists()

    def test_other_data_are_refused(self, tmp_path):
        _claimed(tmp_path, _resolve(), "these")
        with pytest.raises(RunDirectoryError, match="fingerprint these there, those now"):
            _claimed(tmp_path, _resolve(), "those")

    def test_overwrite_deletes_the_run_and_nothing_else(self, tmp_path):
        _claimed(tmp_path, _resolve(), "data").write_results({"complete": True})
        (tmp_path / "checkpoints").mkdir()
        for name in ("history.jsonl", "history_member_07.jsonl"):
            (tmp_path / name).write_text("{}")
        (tmp_path / "notes.txt").write_text("mine")
        directory = _claimed(tmp_path, _resolve(noise_dim=8), "data", overwrite=True)
        assert directory.results is None
        assert not (tmp_path / "checkpoints").exists()
        assert not list(tmp_path.glob("history*"))
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_an_unwritable_folder_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(RunDirectoryError, match="`workdir` must be a folder.*file"):
            RunDirectory(tmp_path / "file" / "run", _resolve())

    def test_the_flagfile_repeats_the_run(self, tmp_path):
        lines = flag_lines(_resolve(noise_dim=8)).splitlines()
        assert "--noise_dim=8" in lines
        assert "--hidden_units=64,256,512" in lines
        assert "--method=bbh" in lines
        assert not [line for line in lines if "None" in line or "network" in line]


def test_tiny_network_is_not_a_launcher_network():
    with pytest.raises(ValueError, match="network='tiny'"):
        configuration.resolve(tiny.NETWORK.name, method="bbh")
