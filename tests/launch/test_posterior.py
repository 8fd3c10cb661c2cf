"""The posterior's launcher as a person starts it, after a run that the training launcher made."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bayes_by_hypernet as bbh

REPOSITORY = Path(__file__).resolve().parents[2]
TRAINING = ["--dataset=embedded", "--epochs=1", "--max_train_examples=300"]
TRAINING += ["--hidden_units=4,8", "--num_predictive_samples=2"]


def _launch(name, *flags):
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "launch" / name), *flags],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run directory."""
    directory = tmp_path_factory.mktemp("runs") / "tiny"
    process = _launch("mnist.py", *TRAINING, f"--workdir={directory}")
    assert process.returncode == 0, process.stderr
    return directory


@pytest.mark.slow
def test_figures_and_numbers_of_runs_and_what_one_that_fails_says(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    runs = f"--run={run},{tmp_path / 'nothing'},{tmp_path / 'copy'}"
    flags = ["--num_samples=200", "--num_weights=4", f"--figures={tmp_path / 'compared'}"]
    process = _launch("posterior.py", runs, *flags)
    assert process.returncode != 0
    assert "nothing" in process.stderr and "holds no config.json" in process.stderr
    assert "Traceback" not in process.stderr and "Warning" not in process.stderr

    names = [f"posterior_{name}" for name in ("correlations", "histograms", "stddevs")]
    assert {f"{name}.png" for name in names} <= {path.name for path in (run / "figures").iterdir()}
    compared = sorted(path.name for path in (tmp_path / "compared").glob("*.png"))
    assert compared == [f"{name}_compared.png" for name in names]

    contents = json.loads((run / "posterior.json").read_text())
    assert (contents["num_samples"], contents["num_weights"]) == (200, 500)
    assert len(contents["weights"]) == 4
    samples = bbh.load(run).sample(2000, seed=7)["conv_1/kernel"].numpy().reshape(2000, -1)
    # Of 200 samples a standard deviation is known within some 10 %, heavy tails included.
    median = np.median(samples.std(axis=0))
    assert contents["median_stddev"] == pytest.approx(median, rel=0.3)

    rows = [line for line in process.stdout.splitlines() if line.startswith("BbH (")]
    for row, name in zip(rows, ("tiny", "copy"), strict=True):
        assert row.startswith(f"BbH ({name})") and f"{contents['median_stddev']:.4f}" in row
        assert f"{contents['mean_absolute_correlation']:.3f}" in row


@pytest.mark.slow
def test_one_run_ends_well_and_is_compared_with_none(run):
    process = _launch("posterior.py", f"--run={run}", "--num_samples=30", "--num_weights=1")
    assert process.returncode == 0, process.stderr
    assert not list((run / "figures").glob("*_compared*"))


def test_needs_a_run():
    process = _launch("posterior.py")
    assert process.returncode != 0 and "Traceback" not in process.stderr
    assert "--run must have a value other than None" in process.stderr
