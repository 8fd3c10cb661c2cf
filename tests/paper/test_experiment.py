"""A whole run in small: results, resumption, the loaded posterior."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

import bayes_by_hypernet as bbh
from bayes_by_hypernet import files, metrics
from bayes_by_hypernet.paper import experiment, methods, networks
from bayes_by_hypernet.paper.run_directory import RunDirectory, RunDirectoryError
from bayes_by_hypernet.training import NonFiniteLossError

# The least that `results.json` holds, for readers of other versions.
KEYS = """schema_version method architecture noise noise_dim kl_estimator dataset outlier_dataset
protocol seed error_percent in_auc outlier_auc nll brier ece auroc mutual_information_in
mutual_information_out train_seconds ms_per_step num_weights num_parameters epochs temperature
hardware versions data_fingerprint config complete""".split()

# What later versions of the package added: runs made before lack them.
LATER_KEYS = """classwise_ece adaptive_ece aupr_out aupr_in fpr95 aurc e_aurc conformal_coverage
conformal_set_size auroc_mutual_information aupr_out_mutual_information aupr_in_mutual_information
fpr95_mutual_information fitted_temperature tempered_nll tempered_ece""".split()


@pytest.fixture(autouse=True)
def _tiny_network(monkeypatch):
    monkeypatch.setitem(networks.NETWORKS, "tiny", tiny.NETWORK)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    networks.NETWORKS["tiny"] = tiny.NETWORK
    directory = tmp_path_factory.mktemp("run")
    results = experiment.run(tiny.config(), tiny.dataset, directory, steps_per_call=3)
    yield directory, results
    networks.NETWORKS.pop("tiny", None)


def _break(monkeypatch, broken):
    """Makes the loss of the members named `broken` infinite; returns those trained."""
    trained = []
    make_trainer = experiment.make_trainer

    def make(*args):
        trainer = make_trainer(*args)
        trained.append(trainer.name)
        if trainer.name in broken:
            trainer.model.kl = lambda parameters, key: tf.constant(np.inf)
        return trainer

    monkeypatch.setattr(experiment, "make_trainer", make)
    return trained


class TestEnsemble:
    def test_members_have_checkpoints_histories_and_shuffles_of_their_own(self, tmp_path):
        experiment.run(tiny.config("ensemble"), tiny.dataset, tmp_path)
        for name in ("member_00", "member_01"):
            assert (tmp_path / "checkpoints" / name / "checkpoint").exists()
            assert (tmp_path / "tensorboard" / name).is_dir()
            assert len((tmp_path / f"history_{name}.jsonl").read_text().splitlines()) == 2
        seeds = [experiment.randomness.derived_seed(3, f"member_0{i}") for i in range(2)]
        assert len({3, *seeds}) == 3

    def test_resumes_in_the_middle_of_a_member(self, tmp_path, monkeypatch):
        whole = experiment.run(tiny.config("ensemble"), tiny.dataset, tmp_path / "whole")
        make_trainer, stop = experiment.make_trainer, []

        def make(*args):
            trainer = make_trainer(*args)
            steps = trainer.run_steps

            def interrupted(*args):
                if trainer.name == "member_01" and int(trainer.step.numpy()) == 9 and not stop:
                    stop.append(True)
                    raise KeyboardInterrupt
                return steps(*args)

            trainer.run_steps = interrupted
            return trainer

        monkeypatch.setattr(experiment, "make_trainer", make)
        arguments = (tiny.config("ensemble"), tiny.dataset, tmp_path / "parts")
        with pytest.raises(KeyboardInterrupt):
            experiment.run(*arguments, steps_per_call=3)
        resumed = experiment.run(*arguments, steps_per_call=3)
        assert resumed["nll"] == whole["nll"]  # bit for bit

    def test_a_members_failure_does_not_lose_the_others(self, tmp_path, monkeypatch, caplog):
        config = tiny.config("ensemble", options={"num_members": 3})
        trained = _break(monkeypatch, {"member_01"})
        results = experiment.run(config, tiny.dataset, tmp_path)
        assert results["complete"] and results["num_failed_members"] == 1
        assert "member_01 is left out" in caplog.text and "'kl'" in caplog.text
        posterior = bbh.load(tmp_path)
        assert list(posterior.method.members) == ["member_00", "member_02"]
        predictions = experiment.predict(posterior.method, tiny.dataset(), config)
        again = experiment.evaluate(*predictions, tiny.dataset().test.labels)
        assert again["nll"] == results["nll"]
        # It is not tried again: the same seed fails the same way.
        (tmp_path / "results.json").unlink()
        trained.clear()
        assert experiment.run(config, tiny.dataset, tmp_path)["num_failed_members"] == 1
        assert trained == ["member_00", "member_02"]

    def test_when_all_fail_the_error_is_the_last_ones(self, tmp_path, monkeypatch):
        _break(monkeypatch, {"member_00", "member_01"})
        with pytest.raises(NonFiniteLossError, match="'kl'"):
            experiment.run(tiny.config("ensemble"), tiny.dataset, tmp_path)

    def test_before_the_last_is_trained_the_others_can_be_loaded(self, tmp_path, monkeypatch):
        config = tiny.config("ensemble")
        RunDirectory(tmp_path, config).initialize("data")
        with pytest.raises(FileNotFoundError, match="no checkpoint yet"):
            bbh.load(tmp_path)
        method = config.make_method()
        arguments = (config, tiny.dataset(), tmp_path, tf.distribute.get_strategy(), 3, 5.0)
        experiment.make_trainer(method.members["member_01"], *arguments, "member_01").run()
        assert list(bbh.load(tmp_path).method.members) == ["member_01"]


class TestRun:
    def test_results_hold_what_they_promise(self, finished):
        directory, results = finished
        written = json.loads((directory / "results.json").read_text())
        assert written == json.loads(json.dumps(results))
        assert not {*KEYS, *LATER_KEYS} - set(results)
        assert None not in [results[name] for name in LATER_KEYS]
        assert results["complete"] is True
        assert results["num_weights"] == 4 * 9 + 4 + 16 * 3 + 3
        assert results["data_fingerprint"] == tiny.dataset().fingerprint()
        assert results["versions"]["tensorflow"] == tf.__version__
        contents = {path.name for path in directory.iterdir()}
        assert {
            "checkpoints",
            "tensorboard",
            "saved_model",
            "run.flags",
            "predictions.npz",
        } <= contents

    def test_curves_are_those_of_the_predictions(self, finished):
        directory, results = finished
        curves = json.loads((directory / "curves.json").read_text())
        with np.load(directory / "predictions.npz") as arrays:
            test, outliers, labels = (
                arrays[name] for name in ("test_mean", "outlier_mean", "test_labels")
            )
        for name, probs in (("test", test), ("outlier", outliers)):
            # Rounded to 5 decimals.
            expected = metrics.entropy_cdf(probs)
            np.testing.assert_allclose(curves[f"{name}_entropy_cdf"], expected, atol=1e-5)
        assert sum(curves["calibration_counts"]) == len(labels)
        empty = [confidence is None for confidence in curves["calibration_confidence"]]
        assert empty == [count == 0 for count in curves["calibration_counts"]] and any(empty)
        gaps = [
            count * abs(confidence - accuracy)
            for count, confidence, accuracy in zip(
                *(curves[f"calibration_{name}"] for name in ("counts", "confidence", "accuracy")),
                strict=True,
            )
            if count
        ]
        assert sum(gaps) / len(labels) == pytest.approx(results["ece"], abs=1e-5)

    def test_a_finished_run_is_read_and_not_repeated(self, finished):
        directory, results = finished
        again = experiment.run(tiny.config(), load_data=None, workdir=directory)
        assert again == json.loads(json.dumps(results))

    @pytest.mark.parametrize(
        "name, content",
        [("results.json", b"{}"), ("config.json", b"[]"), ("predictions.npz", b"cut")],
    )
    def test_what_a_run_lost_is_made_again(self, finished, tmp_path, caplog, name, content):
        directory, results = finished
        shutil.copytree(directory, tmp_path / "run")
        (tmp_path / "run" / name).write_bytes(content)
        (tmp_path / "run" / "curves.json").unlink()
        again = experiment.run(tiny.config(), tiny.dataset, tmp_path / "run", steps_per_call=3)
        assert f"{name}' is damaged" in caplog.text
        timing = ("train_seconds", "ms_per_step")
        expected = json.loads(json.dumps(results))
        assert {k for k in expected if again[k] != expected[k]} <= set(timing)
        for made in ("curves.json", "config.json"):
            assert (tmp_path / "run" / made).read_bytes() == (directory / made).read_bytes()
        with np.load(tmp_path / "run" / "predictions.npz") as arrays:
            assert len(arrays["test_mean"]) == 30

    def test_a_file_in_place_of_a_folder_is_named(self, finished, tmp_path):
        shutil.copytree(finished[0], tmp_path / "run")
        shutil.rmtree(tmp_path / "run" / "tensorboard")
        (tmp_path / "run" / "tensorboard").touch()
        with pytest.raises(files.StorageError, match="tensorboard' must be a folder"):
            experiment.run(tiny.config(), tiny.dataset, tmp_path / "run")

    def test_another_configuration_is_refused(self, finished):
        with pytest.raises(RunDirectoryError, match="--epochs=2 there, 3 now"):
            experiment.run(tiny.config(epochs=3), tiny.dataset, finished[0])

    def test_the_posterior_gives_the_numbers_of_the_run(self, finished):
        directory, results = finished
        posterior = bbh.load(directory)
        assert posterior.config == tiny.config()
        assert posterior.keras_model is posterior.method.members[""]
        test = tiny.dataset().test
        predictions = experiment.predict(posterior.method, tiny.dataset(), posterior.config)
        again = experiment.evaluate(*predictions, test.labels)
        assert again == {name: results[name] for name in again}
        weights = posterior.sample(3, seed=1)
        assert posterior.logits(test.images, weights).shape == (3, 30, 3)
        name = next(iter(weights))
        [alone] = posterior.sample(3, seed=1, names=[name]).items()
        assert alone[0] == name
        np.testing.assert_allclose(alone[1], weights[name], rtol=1e-5, atol=1e-6)
        with pytest.raises(ValueError, match=r"Argument `names` must be one of .*'conv'"):
            posterior.sample(3, names=["conv"])

    def test_the_saved_model_agrees_with_the_loaded_posterior(self, finished):
        served = tf.saved_model.load(str(finished[0] / "saved_model"))
        x = tiny.dataset().test.images[:5]
        outputs = served.serve(x, tf.constant(2000))
        expected = bbh.load(finished[0]).predict(x, num_samples=2000)
        # Standard errors of at most 0.5 / sqrt(2000) = 0.011 on either side.
        np.testing.assert_allclose(outputs["mean"], expected.mean, atol=0.06)
        with pytest.raises(tf.errors.InvalidArgumentError, match="must lie in"):
            served.serve(x + 1, tf.constant(1))

    def test_map_is_loaded_with_its_keras_model(self, tmp_path):
        results = experiment.run(tiny.config("map"), tiny.dataset, tmp_path)
        posterior = bbh.load(tmp_path)
        test = tiny.dataset().test
        predicted = np.argmax(posterior.keras_model.predict(test.images, verbose=0), axis=1)
        error = 100 * np.mean(predicted != test.labels)
        np.testing.assert_allclose(error, results["error_percent"], atol=1e-6)

    @pytest.mark.parametrize("method", sorted(set(methods.METHODS) - {"bbh"}))
    def test_every_method_runs_loads_predicts_and_serves(self, tmp_path, method):
        results = experiment.run(tiny.config(method), tiny.dataset, tmp_path)
        assert results["complete"] and results["num_weights"] == 91
        # One sample has no mutual information.
        assert (results["auroc_mutual_information"] is None) == (method == "map")
        posterior = bbh.load(tmp_path)
        predictions = experiment.predict(posterior.method, tiny.dataset(), posterior.config)
        again = experiment.evaluate(*predictions, tiny.dataset().test.labels)
        assert again == {name: results[name] for name in again}
        x = tiny.dataset().test.images[:5]
        samples = posterior.sample(4, seed=1)
        assert posterior.logits(x, samples).shape == (4, 5, 3)
        served = tf.saved_model.load(str(tmp_path / "saved_model"))
        answer = served.serve(x, tf.constant(500))
        # Standard errors of at most 0.5 / sqrt(500) = 0.022 on either side.
        expected = posterior.predict(x, num_samples=500).mean
        np.testing.assert_allclose(answer["mean"], expected, atol=0.12)
        spread = posterior.predict(x, num_samples=50).mutual_information.max()
        assert (spread > 1e-6) == (method != "map")
        if method in ("map", "ensemble"):  # all their samples are few: no randomness is left
            np.testing.assert_allclose(answer["mean"], expected, atol=1e-5)

    def test_a_run_is_repeatable_by_its_seed(self, tmp_path):
        runs = [experiment.run(tiny.config(), tiny.dataset, tmp_path / name) for name in "ab"]
        other = experiment.run(tiny.config(seed=4), tiny.dataset, tmp_path / "c")
        timing = ("train_seconds", "ms_per_step")
        same = [{k: v for k, v in run.items() if k not in timing} for run in runs]
        assert same[0] == same[1]
        assert other["nll"] != runs[0]["nll"]

    def test_max_train_examples(self, tmp_path):
        config = tiny.config(max_train_examples=20)
        assert experiment.run(config, tiny.dataset, tmp_path)["num_train_examples"] == 20

    def test_long_runs_are_announced(self, caplog):
        with caplog.at_level("INFO", logger="bayes_by_hypernet"):
            experiment._announce(500, num_fits=1)
            assert not caplog.text
            experiment._announce(150, num_fits=10)
        assert "25 minutes" in caplog.text and "--protocol=demo" in caplog.text


class TestLoad:
    def test_a_folder_without_a_run_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="run_directory.*config.json"):
            bbh.load(tmp_path)

    def test_a_run_without_a_checkpoint_says_so(self, tmp_path):

        RunDirectory(tmp_path, tiny.config()).initialize("data")
        with pytest.raises(FileNotFoundError, match="no checkpoint yet"):
            bbh.load(tmp_path)
