"""Training with the C++ operations and with TensorFlow's alone: the same run and checkpoints."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny

from bayes_by_hypernet.training import FusedAdam, TrainConfig, Trainer, make_strategy

pytestmark = pytest.mark.usefixtures("cpp_operations")

TESTS = Path(__file__).resolve().parents[1]
PATHS = ("custom_op", "tensorflow")
OTHER = dict(zip(PATHS, reversed(PATHS), strict=True))
# Of either path prior samples, sums and updates round otherwise, and gradients hold 1 / distance:
# such differences grow, and three steps stay within this, a hundredth of one step's length.
LEARNING_RATE = 1e-3
THREE_STEPS = {"rtol": 0, "atol": 1e-5}
ARCHITECTURES = [
    {"noise": "independent"},
    {"noise": "shared"},
    {"architecture": "sliced"},
    {"architecture": "single"},
]
# Three steps under two logical CPUs; a process of its own, as in test_mirrored.py.
WORKER = """
import functools, sys, tempfile
sys.path.insert(0, sys.argv[1])
import keras, numpy as np, tiny
from bayes_by_hypernet import training
tiny.two_logical_cpus()
strategy = training.make_strategy("mirrored")
keras.utils.set_random_seed(1)
with strategy.scope():
    member = tiny.member()
make_optimizer = functools.partial(training.FusedAdam, 1e-3, epsilon=1e-5)
plan = training.TrainConfig(1, 20, 3, steps_per_call=3)
trainer = training.Trainer(
    member,
    tiny.NETWORK.likelihood,
    make_optimizer,
    tiny.examples(60),
    plan,
    tempfile.mkdtemp(),
    strategy,
)
trainer.run()
weights = [strategy.experimental_local_results(v.value) for v in member.fitted_variables]
replicas = {f"{r}_{i:02}": w[r].numpy() for i, w in enumerate(weights) for r in (0, 1)}
np.savez(sys.argv[2], updated_in_backward=len(trainer.optimizer._updated_in_backward), **replicas)
"""


def _trainer(directory, path, monkeypatch, epochs=1, init=1, **options):
    """A trainer that is to run while `path` is chosen: three steps an epoch."""
    monkeypatch.setenv("BBH_CPP_OPS", path)
    keras.utils.set_random_seed(init)
    plan = TrainConfig(epochs, 20, 3, steps_per_call=3)
    make_optimizer = functools.partial(FusedAdam, LEARNING_RATE, epsilon=1e-5)
    return Trainer(
        tiny.member(**options),
        tiny.NETWORK.likelihood,
        make_optimizer,
        tiny.examples(60),
        plan,
        directory,
        make_strategy("auto"),
    )


def _weights(trainer):
    return [v.numpy() for v in trainer.model.fitted_variables]


def _moments(trainer):
    return [v.numpy() for v in trainer.optimizer.variables]


def _num_hypernetworks(trainer):
    [wrapper] = trainer.model.generators
    return len(wrapper.posterior.hypernetworks)


def _uses_custom_ops(trainer):
    """Whether every output matrix of the hypernetworks was updated as the tape went back."""
    count = len(trainer.optimizer._updated_in_backward)
    assert count in (0, _num_hypernetworks(trainer))
    return count > 0


@pytest.mark.parametrize("options", ARCHITECTURES, ids=lambda options: "-".join(options.values()))
def test_three_steps_agree(tmp_path, options, monkeypatch):
    trainers, histories = [], []
    for path in PATHS:
        trainers.append(_trainer(tmp_path / path, path, monkeypatch, **options))
        histories.append(trainers[-1].run())
    assert [_uses_custom_ops(trainer) for trainer in trainers] == [True, False]
    for name in ("loss", "nll", "kl_per_example"):
        ours, theirs = (history[-1][name] for history in histories)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # float32 sums
    for a, b in zip(*map(_weights, trainers), strict=True):
        np.testing.assert_allclose(a, b, **THREE_STEPS)


@pytest.mark.slow
def test_three_steps_agree_under_two_devices(tmp_path, monkeypatch):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(TESTS), str(tmp_path / f"{path}.npz")],
            env={**os.environ, "PYTHONPATH": str(TESTS.parent), "BBH_CPP_OPS": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for path in PATHS
    ]
    one = _trainer(tmp_path / "one", "custom_op", monkeypatch)
    one.run()
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
    for path, num_updated in zip(PATHS, (_num_hypernetworks(one), 0), strict=True):
        arrays = dict(np.load(tmp_path / f"{path}.npz"))
        assert int(arrays["updated_in_backward"]) == num_updated
        for i, variable in enumerate(one.model.fitted_variables):
            replicas = [arrays[f"{replica}_{i:02}"] for replica in (0, 1)]
            np.testing.assert_array_equal(*replicas)
            np.testing.assert_allclose(replicas[0], variable.numpy(), **THREE_STEPS)


@pytest.mark.parametrize("first", PATHS)
def test_a_checkpoint_continues_on_the_other_path(tmp_path, first, monkeypatch):
    whole = _trainer(tmp_path / "whole", first, monkeypatch, epochs=2)
    whole.run()
    _trainer(tmp_path / "parts", first, monkeypatch, epochs=1).run()
    resumed = _trainer(tmp_path / "parts", OTHER[first], monkeypatch, epochs=2, init=2)
    assert resumed.restore() and int(resumed.step.numpy()) == 3
    resumed.run()
    assert int(resumed.step.numpy()) == 6
    assert _uses_custom_ops(whole) != _uses_custom_ops(resumed)
    for a, b in zip(_weights(whole), _weights(resumed), strict=True):
        np.testing.assert_allclose(a, b, **THREE_STEPS)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("options", [{}, {"architecture": "sliced"}], ids=["layerwise", "sliced"])
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, path, options, monkeypatch):
    whole = _trainer(tmp_path / "whole", path, monkeypatch, epochs=8, **options)
    whole.run()
    _trainer(tmp_path / "parts", path, monkeypatch, epochs=3, **options).run()
    resumed = _trainer(tmp_path / "parts", path, monkeypatch, epochs=8, init=2, **options)
    assert resumed.restore() and int(resumed.step.numpy()) == 9
    resumed.run()
    assert _uses_custom_ops(resumed) == (path == "custom_op")
    for values in (_weights, _moments):
        for a, b in zip(values(whole), values(resumed), strict=True):
            np.testing.assert_array_equal(a, b)  # bit for bit
