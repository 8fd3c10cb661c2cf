"""CONTRIBUTING's examples, a new method and a new network, run as printed through launchers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
LAUNCH = REPOSITORY / "launch"
TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text()
TINY = ["--dataset=embedded", "--epochs=1", "--max_train_examples=300"]
TINY += ["--num_predictive_samples=3"]
# Runs a script with the example imported, as if it were part of the package.
WITH_EXAMPLE = """
import runpy, sys
example, script = sys.argv[1:3]
del sys.argv[1:3]
sys.path.insert(0, sys.argv.pop(1))
runpy.run_path(example, run_name="example")
runpy.run_path(script, run_name="__main__")
"""
# What a person does with a run in a notebook.
LOADS = """
import json, sys
import numpy as np, tensorflow as tf
import bayes_by_hypernet as bbh
posterior = bbh.load(sys.argv[1])
x = np.random.default_rng(0).random((5, 28, 28, 1), np.float32)
prediction = posterior.predict(x, num_samples=300, seed=1)
served = tf.saved_model.load(sys.argv[1] + "/saved_model")
answer = served.serve(x, tf.constant(300))
print(json.dumps({
    "method": type(posterior.method).__name__,
    "mutual_information": float(prediction.mutual_information.max()),
    "difference": float(np.abs(answer["mean"] - prediction.mean).max()),
}))
"""


def _blocks(heading):
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def _run(example, script, *flags):
    process = subprocess.run(
        [sys.executable, "-c", WITH_EXAMPLE, str(example), str(script), str(LAUNCH), *flags],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process


def _write(path, text):
    path.write_text(text)
    return path


def _loaded(example, workdir, tmp_path):
    script = _write(tmp_path / "loads.py", LOADS)
    return json.loads(_run(example, script, str(workdir)).stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_new_method_trains_draws_and_is_loaded_and_served(tmp_path):
    [code] = _blocks("Adding a method")
    example = _write(tmp_path / "gaussian_dropout.py", code)
    workdir = tmp_path / "runs" / "gaussian"
    flags = ["--method=gaussian_dropout", "--rate=0.3", f"--workdir={workdir}", *TINY]
    first = _run(example, LAUNCH / "mnist.py", *flags)
    results = json.loads((workdir / "results.json").read_text())
    assert results["complete"] and results["rate"] == 0.3
    assert f"{results['error_percent']:.2f}" in first.stdout
    assert "No row of the paper" in first.stdout
    drawn = {path.name for path in (workdir / "figures").iterdir()}
    assert {"entropy_cdf.png", "examples.png"} <= drawn
    assert _run(example, LAUNCH / "mnist.py", *flags).stdout == first.stdout  # finished: only read

    loaded = _loaded(example, workdir, tmp_path)
    assert loaded["method"] == "GaussianDropout"
    assert loaded["mutual_information"] > 0
    # Standard errors of at most 0.5 / sqrt(300) = 0.029 on either side.
    assert loaded["difference"] < 0.15

    report = [f"--runs={workdir.parent}", f"--output={tmp_path / 'page'}"]
    _run(example, LAUNCH / "report.py", *report)
    page = (tmp_path / "page" / "index.html").read_text()
    assert "gaussian" in page and "data:image/png" in page


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--method=bbh", "--hidden_units=4,8"], ["--method=dropout"]])
def test_the_new_network_trains_with_the_methods(tmp_path, flags):
    network, launcher = _blocks("Adding a network")
    example = _write(tmp_path / "network.py", network)
    script, workdir = _write(tmp_path / "small.py", launcher), tmp_path / "runs" / "new"
    process = _run(example, script, *flags, f"--workdir={workdir}", *TINY)
    results = json.loads((workdir / "results.json").read_text())
    assert (
        results["complete"] and results["network"] == "small" and results["dataset"] == "embedded"
    )
    assert results["num_weights"] == 208 + 9 * 57 + 58 * 10
    assert f"{results['error_percent']:.2f}" in process.stdout
    assert _loaded(example, workdir, tmp_path)["difference"] < 0.15
    report = [f"--runs={workdir.parent}", f"--output={tmp_path / 'page'}"]
    _run(example, LAUNCH / "report.py", *report)
