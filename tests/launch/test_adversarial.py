"""Attacks as a person starts them, on tiny runs of the launcher of MNIST."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayes_by_hypernet.metrics import entropy_auc, error_percent

REPOSITORY = Path(__file__).resolve().parents[2]
NUM_IMAGES = 60


def _launch(name, *flags):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(REPOSITORY / "launch" / f"{name}.py"), *flags]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
    )


def _attack(*flags):
    return _launch("adversarial", f"--num_images={NUM_IMAGES}", "--num_samples=2", *flags)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The directory of a tiny run of bbh."""
    workdir = tmp_path_factory.mktemp("runs") / "bbh"
    flags = ["--dataset=embedded", "--hidden_units=4,8", "--epochs=1", "--max_train_examples=300"]
    process = _launch("mnist", *flags, "--num_predictive_samples=2", f"--workdir={workdir}")
    assert process.returncode == 0, process.stderr
    return workdir


def _rows(process):
    """The cells of the printed table, row by row."""
    lines = process.stdout.split("Relative entropy\n")[1].splitlines()[1:]
    return [line.split() for line in lines if not line.startswith("Figure:")]


def test_records_prints_and_draws_and_does_nothing_twice(fitted, tmp_path):
    flags = [f"--run={fitted}", f"--figure={tmp_path}/attacks.png", "--epsilons=0,0.3"]
    process = _attack(*flags)
    assert process.returncode == 0, process.stderr
    path = fitted / "adversarial_fast_sign_examples.json"
    record = json.loads(path.read_text())
    assert record["run"] == json.loads((fitted / "results.json").read_text())
    assert (record["attack"], record["num_images"], record["seed"]) == ("fast_sign", 60, 42)
    clean, attacked = record["points"]
    # With epsilon 0 and the run's seed these are the run's own predictions.
    with np.load(fitted / "predictions.npz") as arrays:
        probs, labels = arrays["test_mean"][:NUM_IMAGES], arrays["test_labels"][:NUM_IMAGES]
    assert clean["accuracy"] == pytest.approx(1 - error_percent(probs, labels) / 100)
    assert clean["relative_entropy"] == pytest.approx(1 - entropy_auc(probs), rel=1e-4)
    assert attacked["epsilon"] == 0.3
    assert attacked["relative_entropy"] != clean["relative_entropy"]
    cells = [[f"{value:.3f}" for value in point.values()] for point in record["points"]]
    assert _rows(process) == [[str(fitted), "bbh", *row] for row in cells]
    assert "2/2" in process.stderr  # the progress over both epsilons
    assert (tmp_path / "attacks.png").stat().st_size and (tmp_path / "attacks.pdf").stat().st_size

    record["points"][0]["accuracy"] = 0.123
    path.write_text(json.dumps(record))
    assert _rows(_attack(*flags))[0][3] == "0.123"  # read, not computed
    assert _rows(_attack(*flags, "--overwrite")) == _rows(process)


def test_other_settings_are_computed_anew_and_failing_runs_stop_nothing(fitted, tmp_path):
    changed, bare = tmp_path / "changed", tmp_path / "bare"
    shutil.copytree(fitted, changed)
    results = json.loads((changed / "results.json").read_text())
    (changed / "results.json").write_text(json.dumps({**results, "data_fingerprint": "abc"}))
    bare.mkdir()
    shutil.copy(fitted / "results.json", bare)
    shutil.copy(fitted / "config.json", bare)
    path = fitted / "adversarial_projected_gradient.json"
    path.write_text(json.dumps({"attack": "projected_gradient", "run": results, "points": []}))
    runs = ",".join(map(str, [bare, fitted, changed, tmp_path / "missing"]))
    process = _attack("--attack=projected_gradient", "--epsilons=0.1", f"--run={runs}")
    assert process.returncode == 1 and "Traceback" not in process.stderr
    record = json.loads(path.read_text())
    assert (record["num_steps"], record["epsilons"], len(record["points"])) == (10, [0.1], 1)
    [row] = _rows(process)
    assert row[0] == str(fitted)
    assert f"{bare}: FileNotFoundError" in process.stderr and "no checkpoint" in process.stderr
    assert "with fingerprint abc" in process.stderr and "missing/results.json" in process.stderr
    assert (fitted / "figures" / "adversarial_projected_gradient.png").exists()
    assert not (changed / path.name).exists() and not (bare / path.name).exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--run=a", "--attack=projected_gradient", "--average=examples"], "no meaning"),
        (["--run=a", "--epsilons=0.1,b"], "could not convert string to float: 'b'"),
        (["--run=a", "--epsilons=-1"], "epsilon=-1.0"),
    ],
)
def test_bad_flags_end_with_a_line_and_no_traceback(flags, message):
    process = _attack(*flags)
    assert process.returncode != 0
    assert message in process.stderr and "Traceback" not in process.stderr
