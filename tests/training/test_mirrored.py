"""Every method under two logical CPUs, each in a process of its own.

Of its own, since TensorFlow keys the collectives of several MirroredStrategies of one process
alike, so that two clash whose first tensors differ in shape.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).resolve().parents[1]
WORKER = """
import dataclasses, functools, json, sys, tempfile
sys.path.insert(0, sys.argv[1])
import keras, tiny
from bayes_by_hypernet import training
tiny.two_logical_cpus()
strategy = training.make_strategy(sys.argv[4])
keras.utils.set_random_seed(1)
network = tiny.NETWORK
if sys.argv[5]:
    network = dataclasses.replace(tiny.NORMALISED, batch_norm=sys.argv[5])
with strategy.scope():
    method = tiny.method(sys.argv[2], network, **json.loads(sys.argv[3]))
make_optimizer = functools.partial(training.FusedAdam, 1e-2, epsilon=1e-5)
plan = training.TrainConfig(10, 10, 3, steps_per_call=6)
if sys.argv[5]:
    plan = training.TrainConfig(1, 20, 3, steps_per_call=3)
losses, variables = [], []
for name, member in method.members.items():
    trainer = training.Trainer(
        member,
        method.likelihood,
        make_optimizer,
        tiny.examples(60),
        plan,
        tempfile.mkdtemp(),
        strategy,
        name,
    )
    losses += [[epoch["loss"] for epoch in trainer.run()]]
    variables += member.fitted_variables
    if member.estimator:
        variables += member.estimator.auxiliary_variables
copies = [strategy.experimental_local_results(v.value) for v in variables]
equal = all((copy[0].numpy() == copy[-1].numpy()).all() for copy in copies)
weights = [copy[0].numpy().tolist() for copy in copies]
print(json.dumps({"losses": losses, "equal": equal, "weights": weights}))
"""


def _train(method, options, strategy="mirrored", batch_norm=""):
    process = subprocess.run(
        [sys.executable, "-c", WORKER, str(TESTS), method, json.dumps(options), strategy]
        + [batch_norm],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, options",
    [
        ("map", {}),
        ("ensemble", {}),
        ("bbb", {}),
        ("bbb", {"kl_estimator": "adversarial"}),
        ("dropout", {}),
        ("mnf", {}),
        ("bbh", {}),
    ],
)
def test_replicas_learn_and_stay_equal(method, options):
    answer = _train(method, options)
    assert answer["equal"]
    for losses in answer["losses"]:
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("batch_norm", ["batch", "moving"])
def test_batch_normalisation_uses_the_global_batch(batch_norm):
    # Before replicas shared their sums, the losses differed in the second digit.
    one, two = (_train("bbh", {}, strategy, batch_norm) for strategy in ("one", "mirrored"))
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    assert two["equal"]
    for a, b in zip(two["weights"], one["weights"], strict=True):
        # Adam divides a gradient by its size, the rounding of tiny ones too.
        np.testing.assert_allclose(a, b, atol=1e-4)
