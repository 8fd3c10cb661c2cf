"""Corrupted images of finished runs: settings, what is measured, and the tables of it."""

import csv
import json

import numpy as np
import pytest
import run_folders
import tiny

from bayes_by_hypernet import metrics
from bayes_by_hypernet.data import Dataset, Examples
from bayes_by_hypernet.data.corruptions import FAMILIES, corrupt
from bayes_by_hypernet.paper import shift, tables
from bayes_by_hypernet.paper.tables.shift import shift_markdown


class TestSettings:
    def test_take_every_family_unless_told(self):
        assert shift.Shift().families == tuple(FAMILIES)
        assert shift.Shift().settings == {"num_images": 2000, "num_samples": 50, "seed": 42}

    @pytest.mark.parametrize(
        "settings, message",
        [
            ({"families": ()}, "`families` must hold at least one name. Received: none"),
            ({"families": ("jpeg", "snow")}, "`families` must be one of .*families='snow'"),
            ({"num_images": 0}, "`num_images` must be at least 1. Received: num_images=0"),
            ({"num_samples": 0}, "`num_samples` must be at least 1. Received: num_samples=0"),
            ({"seed": -1}, "`seed` must be at least 0. Received: seed=-1"),
        ],
    )
    def test_are_refused_with_a_sentence(self, settings, message):
        with pytest.raises(ValueError, match=message):
            shift.Shift(**settings)


class _Posterior:
    """What `shift_run` needs of a posterior: predicts class 1 by an image's mean."""

    num_distinct_samples = None
    config = tiny.config("map", "lenet")


class _Predictor:
    def __init__(self, posterior):
        pass

    def __call__(self, x, num_samples, key):
        mean = x.mean(axis=(1, 2, 3))
        return (np.stack([1 - mean, mean], axis=1), None), None


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Folder of a run of a made-up posterior, and its data."""
    run_folders.make(tmp_path / "run", "map")
    monkeypatch.setattr(shift, "load", lambda directory: _Posterior())
    monkeypatch.setattr(shift, "Predictor", _Predictor)
    rng = np.random.default_rng(0)
    images = (0.6 * rng.random((20, 28, 28, 1))).astype(np.float32)
    test = Examples(images, rng.integers(0, 2, 20))
    return tmp_path / "run", Dataset("mnist", "notmnist", 2, test, None, test, images)


def _measure(run, **settings):
    """Returns the record, and how often the data were loaded."""
    folder, dataset = run
    loaded = []

    def load(config, fingerprint):
        loaded.append(fingerprint)
        return dataset

    settings = {"families": ("brightness", "jpeg"), "num_images": 12, **settings}
    overwrite = settings.pop("overwrite", False)
    return shift.shift_run(folder, shift.Shift(**settings), load, overwrite), len(loaded)


class TestRun:
    def test_measures_the_first_images_corrupted_before_the_pipeline(self, run):
        record, _ = _measure(run)
        assert json.loads((run[0] / "shift.json").read_text()) == record
        assert list(record["families"]) == ["brightness", "jpeg"]
        images, labels = run[1].test.images[:12], run[1].test.labels[:12]
        (probs, _), _ = _Predictor(None)(corrupt(images, "brightness", 4), 1, None)
        point = record["families"]["brightness"]["points"][3]
        assert point == {
            "strength": 4,
            "error_percent": metrics.error_percent(probs, labels),
            "nll": metrics.negative_log_likelihood(probs, labels),
            "ece": metrics.expected_calibration_error(probs, labels),
            "relative_entropy": 1 - metrics.entropy_auc(probs),
        }
        assert record["families"]["jpeg"]["values"] == list(FAMILIES["jpeg"].values)
        assert {*record["families"]["jpeg"]["versions"]} == {"numpy", "scipy", "pillow"}

    def test_what_was_measured_is_read_and_what_is_missing_measured(self, run):
        first, _ = _measure(run, families=("jpeg",))
        path = run[0] / "shift.json"
        contents = json.loads(path.read_text())
        contents["families"]["jpeg"]["points"][0]["nll"] = contents["clean"]["nll"] = 7.0
        path.write_text(json.dumps(contents))
        again, loaded = _measure(run, families=("jpeg",))
        assert loaded == 0 and again["families"]["jpeg"]["points"][0]["nll"] == 7.0
        both, loaded = _measure(run)
        assert loaded == 1 and both["clean"]["nll"] == 7.0
        assert both["families"]["jpeg"] == again["families"]["jpeg"]
        alone, loaded = _measure(run, families=("brightness",))
        assert loaded == 0 and list(alone["families"]) == ["brightness"]
        assert list(json.loads(path.read_text())["families"]) == ["jpeg", "brightness"]
        anew, _ = _measure(run, families=("jpeg",), overwrite=True)
        assert anew["families"] == first["families"]

    def test_an_interrupted_measurement_keeps_the_families_that_are_done(self, run, monkeypatch):
        def stop_at_jpeg(images, family, *others):
            if family == "jpeg":
                raise KeyboardInterrupt
            return corrupt(images, family, *others)

        monkeypatch.setattr(shift, "corrupt", stop_at_jpeg)
        with pytest.raises(KeyboardInterrupt):
            _measure(run)
        kept = json.loads((run[0] / "shift.json").read_text())
        assert list(kept["families"]) == ["brightness"] and kept["clean"]
        monkeypatch.setattr(shift, "corrupt", corrupt)
        record, _ = _measure(run)
        assert record["families"]["brightness"] == kept["families"]["brightness"]

    @pytest.mark.parametrize("changed", [{"seed": 1}, {"num_images": 13}, {"num_samples": 3}])
    def test_other_settings_are_measured_anew(self, run, changed):
        _measure(run)
        record, loaded = _measure(run, families=("brightness",), **changed)
        assert loaded == 1
        assert list(json.loads((run[0] / "shift.json").read_text())["families"]) == ["brightness"]
        assert record.items() >= changed.items()

    def test_other_strengths_of_a_family_are_measured_anew(self, run):
        _measure(run)
        path = run[0] / "shift.json"
        contents = json.loads(path.read_text())
        contents["families"]["jpeg"]["values"][0] = 99
        path.write_text(json.dumps(contents))
        record, loaded = _measure(run)
        assert loaded == 1 and record["families"]["jpeg"]["values"][0] == 50

    def test_more_images_than_there_are_is_an_error(self, run):
        with pytest.raises(ValueError, match="`num_images` must be between 1 and 20, .*=21"):
            _measure(run, num_images=21)


def test_curve_is_the_mean_over_families(tmp_path):
    run_folders.make(tmp_path, "map")
    record = run_folders.shift_record(tmp_path, {"jpeg": 1, "rotate": 3})
    np.testing.assert_allclose(shift.curve(record, "error_percent"), [1, 3, 5, 7, 9, 11])
    np.testing.assert_allclose(shift.curve(record, "error_percent", "jpeg"), [1, 2, 3, 4, 5, 6])


class TestTables:
    @pytest.fixture
    def found(self, tmp_path):
        for name, factor in (("map", 1), ("ensemble", 2)):
            run_folders.make(tmp_path / name, name)
            slopes = {"gaussian_noise": factor, "rotate": 3 * factor}
            run_folders.shift_record(tmp_path / name, slopes)
        return tables.find_runs(tmp_path)

    def test_show_every_measure_by_strength_and_some_by_family(self, found):
        [shifted] = tables.find_shifts(found)
        assert shifted.labels == ["MAP", "Ensemble"]  # the order of the paper
        assert shifted.about == (
            "mnist, quick protocol. Families of corruptions: 2; 2,000 images, 50 posterior samples."
        )
        shown = shifted.labels, list(shifted.records.values())
        header, rows = tables.shift_table(*shown)
        assert header == ["Measure", "Run", "clean", "1", "2", "3", "4", "5"]
        errors = ["1.00", "5.00", "9.00", "13.00", "17.00", "21.00"]
        assert rows[1] == ["error [%]", "Ensemble", *errors]
        assert rows[2] == ["NLL [nats]", "MAP", *(f"{0.5 + 0.02 * s:.3f}" for s in range(6))]
        header, rows = tables.shift_families_table(*shown, "error_percent")
        assert header == ["error [%], mean of strengths 1 to 5", "MAP", "Ensemble"]
        assert rows == [
            ["gaussian noise", "4.00", "7.00"],
            ["rotate", "10.00", "19.00"],
            ["mean", "7.00", "13.00"],
        ]

    def test_csv_holds_every_number(self, found):
        [shifted] = tables.find_shifts(found)
        text = tables.shift_csv(shifted.labels, shifted.records.values())
        lines = list(csv.DictReader(text.splitlines()))
        assert len(lines) == 2 * (1 + 2 * 5)
        assert lines[0].items() >= {"family": "clean", "strength": "0", "nll": "0.5"}.items()
        last = {"run": "Ensemble", "method": "ensemble", "family": "rotate", "strength": "5"}
        assert lines[-1].items() >= {**last, "error_percent": "31.0"}.items()

    def test_other_settings_or_families_stand_apart(self, found, tmp_path):
        run_folders.shift_record(tmp_path / "map", {"gaussian_noise": 1})
        assert [len(shifted.records) for shifted in tables.find_shifts(found)] == [1, 1]
        run_folders.shift_record(tmp_path / "map", {"rotate": 1, "gaussian_noise": 1})
        assert [len(shifted.records) for shifted in tables.find_shifts(found)] == [2]
        run_folders.shift_record(tmp_path / "map", {"rotate": 1, "gaussian_noise": 1}, seed=1)
        assert [len(shifted.records) for shifted in tables.find_shifts(found)] == [1, 1]

    def test_pages_show_them_and_nothing_where_there_is_none(self, found, tmp_path):
        page = shift_markdown(found)
        assert page.count("| Measure | Run | clean |") == 1 and "| rotate | 10.00 |" in page
        for name in ("map", "ensemble"):
            (tmp_path / name / "shift.json").unlink()
        assert shift_markdown(found) == "No run has been measured on corrupted images."
        assert tables.find_shifts(found) == []
