"""The launcher as a person starts it: in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from bayes_by_hypernet.paper import configuration

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = ["--hidden_units=4,8", "--max_train_examples=300", "--num_predictive_samples=2"]


def _launch(*flags, timeout=300, **environment):
    # No MNIST of this machine: neither TFDS's own folder nor the environment's.
    clean = {k: v for k, v in os.environ.items() if k not in ("TFDS_DATA_DIR", "TF_CONFIG")}
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "launch" / "mnist.py"), *flags],
        cwd=REPOSITORY,
        env={**clean, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


class TestRun:
    def test_trains_on_the_embedded_set_and_prints_its_row(self, tmp_path):
        flags = ["--method=bbh", "--dataset=embedded", "--epochs=1", *TINY]
        first = tmp_path / "first"
        process = _launch(*flags, f"--workdir={first}")
        assert process.returncode == 0, process.stderr
        results = json.loads((first / "results.json").read_text())
        assert results["complete"] and results["protocol"] == "demo"
        assert f"{results['error_percent']:.2f}" in process.stdout
        assert "paper, Table" in process.stdout and "embedded" in process.stdout
        assert "--protocol=paper" in process.stderr  # says how to get the paper's
        assert "epoch 1: loss" in process.stderr
        drawn = {path.name for path in (first / "figures").iterdir()}
        assert {"entropy_cdf.png", "entropy_cdf.pdf", "examples.png", "examples.pdf"} <= drawn
        again = _launch(*flags, f"--workdir={first}")
        assert again.stdout == process.stdout and "complete" in again.stderr
        # The flagfile that the run left repeats it.
        flagfile, second = first / "run.flags", tmp_path / "second"
        repeated = _launch(f"--flagfile={flagfile}", f"--workdir={second}")
        assert repeated.returncode == 0, repeated.stderr
        repeats = json.loads((second / "results.json").read_text())
        assert repeats["config"] == results["config"] and repeats["nll"] == results["nll"]

    def test_control_c_saves_and_the_same_command_goes_on(self, tmp_path):
        flags = ["--method=map", "--dataset=embedded", "--epochs=500", "--max_train_examples=300"]
        command = [sys.executable, str(REPOSITORY / "launch" / "mnist.py"), *flags]
        process = subprocess.Popen(
            [*command, f"--workdir={tmp_path}"],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in process.stderr:
            if "epoch 2: loss" in line:
                process.send_signal(signal.SIGINT)
                break
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 130
        assert "Interrupted; saved at step" in errors and "Rerun the command to resume" in errors
        assert "Traceback" not in errors
        step = int(re.search(r"saved at step (\d+)", errors)[1])
        assert configuration.read_config(tmp_path).epochs == 500
        checkpoint = tf.train.load_checkpoint(tf.train.latest_checkpoint(tmp_path / "checkpoints"))
        assert checkpoint.get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE") == step >= 6


class TestErrors:
    @pytest.mark.parametrize(
        "flags, message",
        [
            # Others are refused in the same two places: see tests/paper/test_configuration.py and
            # tests/fuzz/test_flags.py, which need no process for each.
            (["--method=laplace"], "laplace"),
            (["--dataset=embedded", "--hidden_units=a"], "integers separated by commas"),
            (["--dataset=embedded", "--workdir=/proc/nowhere"], "`workdir` must be a folder"),
        ],
    )
    def test_bad_flags_end_with_a_line_and_no_traceback(self, flags, message):
        process = _launch(*flags)
        assert process.returncode != 0
        assert message in process.stderr
        assert "Traceback" not in process.stderr

    def test_mnist_is_never_substituted(self, tmp_path):
        # An address that refuses at once, in place of a network.
        # The time-out is for minutes of retries, which must not be.
        process = _launch(
            "--dataset=mnist",
            f"--data_dir={tmp_path}",
            https_proxy="http://127.0.0.1:9",
            timeout=100,
        )
        assert process.returncode != 0
        for part in (str(tmp_path), "tfds build mnist", "--dataset=embedded"):
            assert part in process.stderr
