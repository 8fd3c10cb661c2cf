"""The sweep as a person starts it, with the real launcher once and a stand-in for its failures."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(REPOSITORY / "launch" / "sweep.py")]

# Finishes with seed 1, fails with seed 2 unless there is a file `mended`, waits with seed 3.
RESULTS = REPOSITORY / "results" / "mnist" / "quick" / "map" / "results.json"
STAND_IN = (
    f"RESULTS = {str(RESULTS)!r}"
    + """
import json, pathlib, signal, sys, time
given = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
workdir = pathlib.Path(given["workdir"])
workdir.mkdir(exist_ok=True)
print("started with", *sys.argv[1:], flush=True)
if given["seed"] == "2" and not pathlib.Path(__file__).with_name("mended").exists():
    print(*range(20), sep="\\n")
    sys.exit("broken")
if given["seed"] == "3":
    def save(number, frame):
        print("saved", flush=True)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, save)
    print("waiting", flush=True)
    time.sleep(100)
results = json.loads(pathlib.Path(RESULTS).read_text())
results |= {"train_seconds": 90, "error_percent": 1.5}
(workdir / "results.json").write_text(json.dumps(results))
"""
)


@pytest.fixture
def folder(tmp_path):
    """A folder with a tiny flagfile, another with the same configuration, and the stand-in."""
    tiny = "--dataset=embedded\n--method=map\n--epochs=1\n--max_train_examples=300\n"
    (tmp_path / "tiny.flags").write_text(tiny)
    (tmp_path / "tiny_too.flags").write_text(f"--flagfile={tmp_path}/tiny.flags\n--batch_size=100")
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return tmp_path


def _sweep(folder, *flags):
    return subprocess.run([*COMMAND, f"--root={folder}/runs", *flags], **_options())


def _options():
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return {"env": environment, "cwd": REPOSITORY, "capture_output": True, "text": True}


def _states(stdout):
    """Returns the last table's states, by run."""
    lines = stdout.split("Error [%]\n")[1].splitlines()[1:]
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def test_runs_each_configuration_once_and_skips_what_is_finished(folder):
    flags = [f"--flagfiles={folder}/tiny*.flags", f"--results={folder}/results"]
    process = _sweep(folder, *flags)
    assert process.returncode == 0, process.stdout + process.stderr
    workdir = folder / "runs" / "tiny-seed42"
    error = json.loads((workdir / "results.json").read_text())["error_percent"]
    states = _states(process.stdout)
    assert states["tiny-seed42"].startswith("done") and states["tiny-seed42"].endswith(
        f"{error:.2f}"
    )
    assert states["tiny_too-seed42"] == "same as tiny-seed42"
    assert "epoch 1: loss" in workdir.with_name("tiny-seed42.log").read_text()
    copy = folder / "results" / "demo" / "tiny-seed42" / "results.json"
    assert copy.read_bytes() == (workdir / "results.json").read_bytes()
    # What is kept counts as run: the first is skipped before the second is looked at.
    flags[0] = f"--flagfiles={folder}/tiny_too.flags,{folder}/tiny.flags"
    again = _sweep(folder, *flags, f"--launcher={folder}/missing.py")
    assert again.returncode == 0, again.stdout
    states = _states(again.stdout)
    assert states["tiny_too-seed42"] == "same as tiny-seed42"
    assert states["tiny-seed42"].startswith("finished before")


def test_a_failure_is_told_and_stops_nothing(folder):
    (folder / "bad.flags").write_text("--dataset=embedded\n--method=map\n--noise_dim=2\n")
    flags = [f"--flagfiles={folder}/bad.flags,{folder}/tiny.flags,{folder}/none.flags"]
    flags += ["--seeds=2,1", f"--launcher={folder}/stand_in.py", "--", "--temperature=0.5"]
    process = _sweep(folder, *flags)
    assert process.returncode == 1
    assert _states(process.stdout) == {
        "bad-seed2": "failed",
        "tiny-seed2": "failed",
        "none-seed2": "failed",
        "bad-seed1": "failed",
        "tiny-seed1": "done 1.5 1.50",
        "none-seed1": "failed",
    }
    assert "no meaning for method='map'" in process.stdout and "none.flags" in process.stdout
    assert "| 19\n  | broken" in process.stdout and "| 5\n" not in process.stdout  # the log's end
    assert "5 failed: bad-seed2, tiny-seed2" in process.stderr
    log = folder / "runs" / "tiny-seed1.log"
    assert f"--flagfile={folder}/tiny.flags --temperature=0.5 --seed=1" in log.read_text()
    (folder / "mended").touch()
    states = _states(_sweep(folder, *flags).stdout)
    assert states["tiny-seed2"] == "done 1.5 1.50"
    assert states["tiny-seed1"] == "finished before 1.5 1.50"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_run_save_and_says_how_to_go_on(folder, number):
    flags = [f"--flagfiles={folder}/tiny.flags", "--seeds=3,1", f"--root={folder}/runs"]
    options = _options()
    del options["capture_output"]
    process = subprocess.Popen(
        [*COMMAND, *flags, f"--launcher={folder}/stand_in.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
    log = folder / "runs" / "tiny-seed3.log"
    while process.poll() is None and not (log.exists() and "waiting" in log.read_text()):
        time.sleep(0.1)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "saved" in log.read_text()
    assert _states(stdout) == {"tiny-seed3": "interrupted", "tiny-seed1": "not run"}
    assert "Rerun the command to resume" in stderr and "Traceback" not in stderr


def test_flags_of_the_runs_in_the_wrong_place_are_refused(folder):
    process = _sweep(folder, f"--flagfiles={folder}/tiny.flags", "--method=bbh", "--seed=3")
    assert process.returncode != 0
    assert "must follow `--`" in process.stderr + process.stdout
    assert "--method, --seed" in process.stderr + process.stdout
