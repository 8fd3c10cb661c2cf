"""Every method on a network with batch normalisation: what is trained, moved, drawn and kept."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet.layers import STATISTICS
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.training import FusedAdam, TrainConfig, Trainer

KEY = tf.constant([1, 2], tf.int32)
NUM_WEIGHTS = 36 + 4 + 432 + 3
IMAGES = tf.constant(tiny.examples(6).images)


def _method(name, statistics):
    keras.utils.set_random_seed(0)
    network = dataclasses.replace(tiny.NORMALISED, batch_norm=statistics)
    return tiny.method(name, network=network)


def _train(method, directory, epochs=2):
    for name, member in method.members.items():
        make_optimizer = lambda: FusedAdam(1e-2, epsilon=1e-5)  # noqa: E731
        plan = TrainConfig(epochs, 10, 3, steps_per_call=3)
        strategy = tf.distribute.get_strategy()
        trainer = Trainer(
            member,
            method.likelihood,
            make_optimizer,
            tiny.examples(60),
            plan,
            directory,
            strategy,
            name,
        )
        trainer.restore()
        trainer.run()
    return method


def _named(method, name):
    return [v for member in method.members.values() for v in member.variables if v.name == name]


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("name", methods.METHODS)
def test_trains_its_parameters_predicts_and_is_restored(name, statistics, tmp_path):
    method = _train(_method(name, statistics), tmp_path)
    num_members = len(method.members)
    for parameter, start in (("gamma", 1.0), ("beta", 0.0)):
        found = _named(method, parameter)
        assert len(found) == num_members
        assert all(np.abs(v.numpy() - start).max() > 1e-3 for v in found)
    moving = _named(method, "moving_mean") + _named(method, "moving_variance")
    assert len(moving) == 2 * num_members * (statistics == "moving")
    for variable in moving:
        assert np.abs(variable.numpy() - (variable.name == "moving_variance")).max() > 1e-3
    assert method.num_weights == NUM_WEIGHTS

    sampler = method.sampler
    draws = sampler.draw(2, KEY)
    assert {n: s.shape[1:] for n, s in draws.items()} == sampler.sample_shapes
    sample = {n: s[0] for n, s in draws.items()}
    before = [v.numpy() for v in moving]
    together = sampler.logits(IMAGES, sample).numpy()
    alone = sampler.logits(IMAGES[:1], sample).numpy()
    for variable, value in zip(moving, before, strict=True):
        np.testing.assert_array_equal(variable, value)  # prediction moves nothing
    assert np.isfinite(together).all()
    assert np.allclose(alone, together[:1], atol=1e-4) == (statistics != "batch")

    restored = _train(_method(name, statistics), tmp_path)  # finds nothing left to do
    for one, other in zip(*(m.members.values() for m in (method, restored)), strict=True):
        for what in ("fitted_variables", "moving_variables"):
            for ours, theirs in zip(getattr(one, what), getattr(other, what), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(restored.sampler.logits(IMAGES, sample), together)


def test_members_of_an_ensemble_keep_their_own_statistics(tmp_path):
    method = _train(_method("ensemble", "moving"), tmp_path)
    sampler = method.sampler
    draws = sampler.draw(2, KEY)
    [name] = [name for name in draws if name.endswith("moving_mean")]
    assert np.abs(draws[name][0] - draws[name][1]).max() > 1e-4
    outputs = {sampler.logits(IMAGES, {n: s[i] for n, s in draws.items()}).numpy().tobytes()
               for i in range(2)}  # fmt: skip
    assert outputs == {m(IMAGES).numpy().tobytes() for m in method.members.values()}


@pytest.mark.parametrize(
    "name, options, expected",
    [
        *((name, {}, "instance") for name in ("map", "ensemble", "bbb", "dropout", "mnf")),
        ("bbh", {}, "batch"),
        ("bbh", {"architecture": "sliced"}, "instance"),
        ("bbh", {"architecture": "single"}, "instance"),
    ],
)
def test_the_default_is_the_authors(name, options, expected):
    method = methods.get(name)
    assert method.authors_batch_norm(method.Options(**options)) == expected
