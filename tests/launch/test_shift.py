"""Corrupted images as a person asks for them, on tiny runs of the launcher of MNIST."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayes_by_hypernet import metrics
from bayes_by_hypernet.paper.shift import MEASURES

REPOSITORY = Path(__file__).resolve().parents[2]
NUM_IMAGES = 60


def _launch(name, *flags):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(REPOSITORY / "launch" / f"{name}.py"), *flags]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
    )


def _shift(*flags):
    settings = [f"--num_images={NUM_IMAGES}", "--num_samples=2", "--families=gaussian_noise,jpeg"]
    return _launch("shift", *settings, *flags)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The directories of tiny runs of map and bbh."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["--dataset=embedded", "--epochs=1", "--max_train_examples=300"]
    common.append("--num_predictive_samples=2")
    for method, own in (("map", []), ("bbh", ["--hidden_units=4,8"])):
        flags = [f"--method={method}", f"--workdir={folder / method}"]
        process = _launch("mnist", *common, *own, *flags)
        assert process.returncode == 0, process.stderr
    return folder


@pytest.mark.slow
def test_records_prints_and_draws_and_does_nothing_twice(fitted, tmp_path):
    runs = [fitted / "map", fitted / "bbh"]
    flags = [f"--run={','.join(map(str, runs))}", f"--figure={tmp_path}/new/shift.png"]
    process = _shift(*flags)
    assert process.returncode == 0, process.stderr
    for run in runs:
        record = json.loads((run / "shift.json").read_text())
        assert record["run"] == json.loads((run / "results.json").read_text())
        assert (record["num_images"], record["num_samples"], record["seed"]) == (60, 2, 42)
        # Without corruption and with the run's seed these are the run's own predictions.
        with np.load(run / "predictions.npz") as arrays:
            probs, labels = arrays["test_mean"][:NUM_IMAGES], arrays["test_labels"][:NUM_IMAGES]
        assert record["clean"]["nll"] == pytest.approx(
            metrics.negative_log_likelihood(probs, labels), rel=1e-4
        )
        assert record["clean"]["error_percent"] == metrics.error_percent(probs, labels)
        assert list(record["families"]) == ["gaussian_noise", "jpeg"]
        points = record["families"]["gaussian_noise"]["points"]
        assert [point["strength"] for point in points] == [1, 2, 3, 4, 5]
        assert len({point["nll"] for point in points}) == 5
        assert f"{run}: 100%" in process.stderr and "11/11" in process.stderr
    clean = [line for line in process.stdout.splitlines() if line.startswith("NLL [nats]  ")]
    assert clean[1].split()[2:4] == ["BbH", f"{record['clean']['nll']:.3f}"]
    assert "error [%], mean of strengths 1 to 5" in process.stdout
    for name in ("shift", *(f"shift_families_{measure}" for measure in MEASURES)):
        for suffix in ("png", "pdf"):
            assert (tmp_path / "new" / f"{name}.{suffix}").stat().st_size
    lines = list(csv.DictReader((tmp_path / "new" / "shift.csv").read_text().splitlines()))
    assert [line["run"] for line in lines] == 11 * ["MAP"] + 11 * ["BbH"]

    record["families"]["jpeg"]["points"][0]["nll"] = 12.34
    path = fitted / "bbh" / "shift.json"
    path.write_text(json.dumps(record))
    process = _shift(*flags)
    assert "jpeg" in process.stdout and "/11" not in process.stderr  # read, not computed
    assert json.loads(path.read_text()) == record
    _shift(f"--run={fitted / 'bbh'}", "--overwrite")
    assert json.loads(path.read_text())["families"]["jpeg"]["points"][0]["nll"] != 12.34
    assert (fitted / "bbh" / "figures" / "shift.png").exists()


@pytest.mark.slow
def test_failing_runs_stop_nothing_and_the_report_shows_the_others(fitted, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("results.json", "config.json"):
        shutil.copy(fitted / "map" / name, bare)
    runs = ",".join(map(str, [bare, tmp_path / "missing", fitted / "map"]))
    process = _shift(f"--run={runs}", "--seed=3")
    assert process.returncode == 1 and "Traceback" not in process.stderr
    assert f"{bare}: FileNotFoundError" in process.stderr and "no checkpoint" in process.stderr
    assert "missing/results.json" in process.stderr and not (bare / "shift.json").exists()
    assert json.loads((fitted / "map" / "shift.json").read_text())["seed"] == 3
    process = _launch("report", f"--runs={fitted}", f"--output={tmp_path / 'page'}")
    assert process.returncode == 0, process.stderr
    text = (tmp_path / "page" / "index.html").read_text()
    assert 'id="shift"' in text and "Families of corruptions: 2; 60 images" in text


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--run=a", "--families=jpeg,snow"], "`families` must be one of"),
        (["--run=a", "--families="], "`families` must hold at least one name"),
        (["--run=a", "b"], "Unknown arguments: b"),
    ],
)
def test_bad_flags_end_with_a_line_and_no_traceback(flags, message):
    process = _launch("shift", *flags)
    assert process.returncode != 0
    assert message in process.stderr and "Traceback" not in process.stderr
