"""Every method under two logical CPUs, each in a process of its own.

Of its own, since TensorFlow keys the collectives of several MirroredStrategies of one process
alike, so that two clash whose first tensors differ in shape.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
WORKER = """
import functools, json, sys, tempfile
sys.path.insert(0, sys.argv[1])
import keras, tiny
from bayes_by_hypernet import training
tiny.two_logical_cpus()
strategy = training.make_strategy("mirrored")
keras.utils.set_random_seed(1)
with strategy.scope():
    method = tiny.method(sys.argv[2], **json.loads(sys.argv[3]))
make_optimizer = functools.partial(training.FusedAdam, 1e-2, epsilon=1e-5)
plan = training.TrainConfig(10, 10, 3, steps_per_call=6)
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
equal = all((a.numpy() == b.numpy()).all() for a, b in copies)
print(json.dumps({"losses": losses, "equal": equal}))
"""


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
    process = subprocess.run(
        [sys.executable, "-c", WORKER, str(TESTS), method, json.dumps(options)],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout.splitlines()[-1])
    assert answer["equal"]
    for losses in answer["losses"]:
        assert losses[-1] < losses[0]
