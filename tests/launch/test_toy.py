"""The toy regression's launcher as a person starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = ["--method=map", "--steps=20", "--num_samples=2"]


def _launch(*flags):
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "launch" / "toy.py"), *flags],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_writes_numbers_curves_and_figure_and_skips_what_is_finished(tmp_path):
    process = _launch(*TINY, f"--workdir={tmp_path}")
    assert process.returncode == 0, process.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {".lock", "toy.json", "toy.png", "toy.pdf", "predictions.npz"}
    numbers = json.loads((tmp_path / "toy.json").read_text())
    assert list(numbers) == ["map"] and numbers["map"]["settings"]["num_steps"] == 20
    [row] = [line for line in process.stdout.splitlines() if line.startswith("MAP")]
    assert f"{numbers['map']['log_likelihood_inside']:.2f}" in row
    assert f"Figure: {tmp_path / 'toy.png'}" in process.stdout

    before = (tmp_path / "toy.json").read_bytes()
    again = _launch(*TINY, f"--workdir={tmp_path}")
    assert again.returncode == 0, again.stderr
    assert "map was run with these settings before" in again.stderr and row in again.stdout
    assert (tmp_path / "toy.json").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    process = _launch(*TINY, f"--workdir={tmp_path}/file")
    assert process.returncode != 0
    assert "must be a folder and is a file" in process.stderr and "Traceback" not in process.stderr
