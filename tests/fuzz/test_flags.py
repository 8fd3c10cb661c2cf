"""Odd values of every flag of the launchers: a configuration that can run, or a sentence."""

import math
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver
from hypothesis import given
from hypothesis import strategies as st

from bayes_by_hypernet.paper import configuration

LAUNCHERS = Path(__file__).resolve().parents[2] / "launch"
NAMES = ["protocol", "dataset", "method", "epochs", "batch_size", "learning_rate", "architecture"]
NAMES += ["noise", "noise_dim", "num_kl_samples", "num_likelihood_samples", "prior_stddev"]
NAMES += ["kl_estimator", "adversarial_weights", "initial_log_variance", "forward", "rate"]
NAMES += ["max_stddev", "flow_units", "num_members", "batch_norm", "adversarial_epsilon"]
NAMES += ["hidden_units", "num_predictive_samples", "temperature", "seed", "max_train_examples"]
NAMES += ["workdir", "overwrite", "strategy", "steps_per_call", "checkpoint_minutes"]
NAMES += ["data_dir", "notmnist_dir", "wait", "worker_minutes"]
# With which method a flag has a meaning, where that is not `bbh`.
METHOD = {"initial_log_variance": "bbb", "forward": "bbb", "rate": "dropout", "max_stddev": "mnf"}
METHOD |= {"flow_units": "mnf", "num_members": "ensemble", "adversarial_epsilon": "ensemble"}

VALUES = ["", "0", "1", "-1", "2", "0.5", "1.5", "nan", "inf", "-inf", "1e308", "5e-324", "1e-40"]
VALUES += [str(n) for n in (2**31 - 1, 2**31, 2**63, 10**30)] + ["-0", "1e3", "1_000", "0x10"]
VALUES += [
    "None",
    "true",
    "bbh",
    "a,b",
    "8,",
    "8,16",
    "8,-1",
    "ü",
    "--epochs",
    "'; ls",
    "../..",
    "\\",
]


@pytest.fixture(scope="module")
def run_flags():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(LAUNCHERS)
        import run_flags

        yield run_flags
        for name in ("run_flags", "data_flags", "quiet_tensorflow"):
            sys.modules.pop(name, None)


def _outcome(run_flags, name, value):
    """Returns the configuration, or the text of the error with which a launcher would end."""
    arguments = ["mnist.py", f"--method={METHOD.get(name, 'bbh')}", "--dataset=embedded"]
    with flagsaver.flagsaver():
        try:
            flags.FLAGS([*arguments, f"--{name}={value}"])
            return configuration.resolve("lenet", **run_flags.settings())[0]
        except (flags.Error, ValueError, OSError) as error:
            return str(error)


def test_every_flag_is_tried(run_flags):
    own = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(run_flags)}
    assert own == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_resolved_or_refused_with_a_sentence(run_flags, name):
    @given(st.sampled_from(VALUES) | st.text(max_size=4) | st.floats().map(repr))
    def try_one(value):
        outcome = _outcome(run_flags, name, value)
        if isinstance(outcome, str):
            assert name in outcome, f"--{name}={value!r} is not named: {outcome}"
        else:
            numbers = [v for v in outcome.flat().values() if isinstance(v, float)]
            assert all(map(math.isfinite, numbers)), f"--{name}={value!r} gives {numbers}"

    for value in VALUES:
        try_one.hypothesis.inner_test(value)
    try_one()
