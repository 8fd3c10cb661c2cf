"""Two workers, each in a process of its own, equal one device, with batch normalisation."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]

# Trains three steps and saves the parameters; the strategy is the one that TF_CONFIG asks for.
WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
import dataclasses, keras, numpy as np
from bayes_by_hypernet import training
strategy = training.make_strategy("auto")
import tiny
keras.utils.set_random_seed(1)
with strategy.scope():
    network = dataclasses.replace(tiny.NORMALISED, batch_norm="batch")
    member = tiny.member(network=network)
    make_optimizer = lambda: training.FusedAdam(1e-2, epsilon=1e-5)
plan = training.TrainConfig(1, 20, 3, steps_per_call=3)
examples, likelihood = tiny.examples(60), network.likelihood
trainer = training.Trainer(
    member, likelihood, make_optimizer, examples, plan, sys.argv[2], strategy
)
trainer.run()
training.wait_for_all(strategy)
weights = {str(i): v.numpy() for i, v in enumerate(member.fitted_variables)}
np.savez(sys.argv[3], replicas=strategy.num_replicas_in_sync, **weights)
"""


def _free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start(directory, name, tf_config=None):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    environment["PYTHONPATH"] = str(TESTS.parent)
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    arguments = [str(TESTS), str(directory / f"run_{name}"), str(directory / f"{name}.npz")]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_workers_equal_one_device_over_three_steps(tmp_path):
    cluster = {"worker": [f"localhost:{port}" for port in _free_ports(2)]}
    processes = [_start(tmp_path, "one")]
    for index in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        processes.append(_start(tmp_path, f"worker{index}", config))
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
    one, *workers = (dict(np.load(tmp_path / f"{n}.npz")) for n in ("one", "worker0", "worker1"))
    assert int(one.pop("replicas")) == 1
    for worker in workers:
        assert int(worker.pop("replicas")) == 2
        for name, weights in one.items():
            # Rounding, which grows with 1 / distance: three steps stay within it.
            np.testing.assert_allclose(worker[name], weights, atol=1e-5)
    # The chief alone writes.
    assert (tmp_path / "run_worker0" / "history.jsonl").exists()
    assert not (tmp_path / "run_worker1" / "history.jsonl").exists()
