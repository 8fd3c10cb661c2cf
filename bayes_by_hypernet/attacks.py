"""Attacks on a posterior predictive, and what they leave of it (paper, Section 3.1; Fig. 3, 4)."""

import functools

import keras
import numpy as np
import tensorflow as tf

from bayes_by_hypernet import compat, perturbations, randomness
from bayes_by_hypernet.checks import check_choice, check_integer, refusal
from bayes_by_hypernet.inputs import Inputs, standardized
from bayes_by_hypernet.metrics.arrays import as_array, as_floats
from bayes_by_hypernet.posteriors.samplers import as_sampler
from bayes_by_hypernet.prediction import (
    kept,
    samples_per_chunk,
    seed_or_fresh_key,
    sufficient_samples,
    sum_over_samples,
)

AVERAGES = ("examples", "gradients")
NUM_SAMPLES = 100  # paper, Section 3.1
BATCH_SIZE = 250  # inputs whose gradients are taken at once


def fast_sign_attack(
    model,
    x,
    y,
    epsilon,
    num_samples: int = NUM_SAMPLES,
    average: str = "examples",
    clip=None,
    from_logits: bool | None = None,
    seed: int | None = None,
    likelihood=None,
):
    """The fast sign method on a posterior predictive (Goodfellow et al., 2015).

    With `average="examples"`, the paper's, the adversarial input is the mean over posterior
    samples w of `x + epsilon * sign(d loss(x, w) / d x)`. With `"gradients"` it is `x` plus
    epsilon times the sign of the mean gradient, which moves every pixel by epsilon: a stronger
    attack. A point estimate has one sample, for which both are the same.

    The loss is the likelihood's, with a gradient that float32 does not round away where the model
    is certain, be it by hundreds of nats. With the usual form such models seem more robust than
    they are.

    Args:
        model: As for `bbh.predict`.
        x: Inputs `(N, ...)`, as the model takes them; of several inputs a list or dict. Inputs of
            integers or strings stay as they are.
        y: Labels: of classes `(N,)` or `(N, ...)` with positions; of a Bernoulli or Gaussian
            likelihood as in training; for several outputs a list or dict.
        epsilon: Number, at least 0, in units of `x`, or an array that broadcasts to an input.
        num_samples: Posterior samples, at least 1.
        average: `"examples"` or `"gradients"`.
        clip: Pair of the least and largest value allowed, numbers or arrays that broadcast to an
            input; None: all are.
        from_logits, likelihood: As for `bbh.predict`.
        seed: Integer: the same answer again. None: fresh samples.

    Returns:
        Adversarial inputs in the structure of `x`, float32.

    Raises:
        ValueError: If an argument is out of range, `x` and `y` do not fit, inputs lie outside
            `clip`, or the outputs have no gradient with respect to any input.
        InvalidArgumentError: If a label is none of the model's classes.

    Example:
        >>> layers = [keras.Input((4,)), bbh.layers.MCDropout(0.5), keras.layers.Dense(3)]
        >>> model = keras.Sequential(layers)
        >>> x, labels = np.ones((2, 4)), [0, 2]
        >>> moved = bbh.fast_sign_attack(model, x, labels, epsilon=0.1, num_samples=10)
        >>> moved.shape, bool(np.abs(moved - x).max() < 0.11)
        ((2, 4), True)
    """
    check_epsilon(epsilon)
    clip = checked_clip(clip)
    direction = fast_sign_direction(
        model, x, y, num_samples, average, from_logits, seed, likelihood, clip
    )
    arrays = standardized(x, getattr(as_sampler(model), "inputs", None))
    return keras.tree.map_structure(
        lambda array, step: perturbed(array, epsilon, step, clip), arrays, direction
    )


def fast_sign_direction(
    model,
    x,
    y,
    num_samples=NUM_SAMPLES,
    average="examples",
    from_logits=None,
    seed=None,
    likelihood=None,
    clip=None,
):
    """Returns what `fast_sign_attack` multiplies by epsilon, for any number of epsilons at once."""
    check_choice("average", average, AVERAGES)
    num_samples = check_integer("num_samples", num_samples, 1)
    key = seed_or_fresh_key(seed)
    gradients = kept(LossGradients, model, likelihood, from_logits, x, signs=average == "examples")
    total = gradients(x, y, num_samples, key, clip)
    if average == "examples":
        return total
    return keras.tree.map_structure(np.sign, total)


class LossGradients:
    """Means over posterior samples of the loss's gradients or of their signs, batch by batch.

    Gradients are known up to a positive factor of each example: where the model is certain, they
    themselves are 0 in float32.

    Args:
        sampler: What `as_sampler` returns.
        likelihood: `Likelihood` or `likelihoods.Joint`.
        signs: Whether the mean is that of signs.
    """

    def __init__(self, sampler, likelihood, signs=False):
        self._sampler = sampler
        self._likelihood = likelihood
        self._signs = signs
        self._draw = tf.function(sampler.draw, reduce_retracing=True)
        # One for each rank of labels: TensorFlow would relax several to an unknown one.
        self._sum_of_ranks = functools.cache(
            lambda ranks: compat.with_own_errors(
                tf.function(self._sum_samples, reduce_retracing=True)
            )
        )

    def __call__(self, x, y, num_samples, key, clip=None):
        """Returns the means, in the structure of `x`.

        Args:
            x, y, clip: As for `fast_sign_attack`.
            num_samples: Integer.
            key: Stateless seed.
        """
        num_samples = sufficient_samples(self._sampler, num_samples)
        batch_size = self._sampler.prediction_batch_size or BATCH_SIZE
        x = standardized(x, getattr(self._sampler, "inputs", None))
        y = checked_labels(y, x)
        if clip is not None:
            keras.tree.map_structure(lambda array: _check_inside(array, clip), x)
        batches = list(zip(Inputs(x, None, batch_size), _cut(y, batch_size), strict=True))
        most = samples_per_chunk(self._sampler)
        sum_samples = self._sum_of_ranks(tuple(labels.ndim for labels in keras.tree.flatten(y)))
        chunks = []
        for first in range(0, num_samples, most):
            count = tf.constant(min(most, num_samples - first))
            draws = self._draw(count, randomness.fold_in(key, first))
            parts = [sum_samples(*batch, draws, count) for batch in batches]
            chunks.append([np.concatenate(values) for values in zip(*parts, strict=True)])
        *totals, log_scale = _combined(chunks)
        del log_scale
        structure = keras.tree.map_structure(lambda _: 0, x)
        means = [total / np.float32(num_samples) for total in totals]
        return keras.tree.pack_sequence_as(structure, means)

    def _sum_samples(self, x, y, draws, num_samples):
        """Returns a sum for each input, and the logarithm of each example's factor, a list."""

        def of_sample(x, sample):
            inputs = keras.tree.flatten(x)
            moved = [i for i, array in enumerate(inputs) if array.dtype.is_floating]

            def loss(arrays):
                whole = list(inputs)
                for i, array in zip(moved, arrays, strict=True):
                    whole[i] = array
                whole = keras.tree.pack_sequence_as(keras.tree.map_structure(lambda _: 0, x), whole)
                return self._likelihood.scaled_loss(y, self._sampler.logits(whole, sample))

            found, log_scale = perturbations.scaled_gradients([inputs[i] for i in moved], loss)
            if self._signs:
                found, log_scale = [tf.sign(g) for g in found], tf.zeros_like(log_scale)
            gradients = [tf.zeros(tf.shape(array)) for array in inputs]
            for i, gradient in zip(moved, found, strict=True):
                gradients[i] = tf.cast(gradient, tf.float32)
            return (*gradients, log_scale)

        return sum_over_samples(of_sample, x, draws, num_samples, _add_scaled)


def _add_scaled(total, other):
    """Adds gradients that are multiplied by `exp(log_scale)`, their last part."""
    *totals, scale = total
    *others, other_scale = other
    largest = tf.maximum(scale, other_scale)
    own, new = tf.exp(scale - largest), tf.exp(other_scale - largest)

    def weighted(a, b):
        axes = [-1, *[1] * (len(a.shape) - 1)]
        return a * tf.reshape(own, axes) + b * tf.reshape(new, axes)

    return (*(weighted(a, b) for a, b in zip(totals, others, strict=True)), largest)


def _combined(chunks):
    """Returns the sum of what several chunks of posterior samples gave."""
    total = chunks[0]
    for other in chunks[1:]:
        total = [np.asarray(part) for part in _add_scaled(total, other)]
    return total


def _cut(y, batch_size):
    """Yields the labels of each batch."""
    count = len(keras.tree.flatten(y)[0])
    for i in range(0, count, batch_size):
        yield keras.tree.map_structure(lambda array: array[i : i + batch_size], y)  # noqa: B023


def perturbed(x, epsilon, direction, clip):
    """Returns `x + epsilon * direction`, clipped to a range where one is given."""
    if np.asarray(x).dtype.kind != "f":
        return x
    try:
        np.broadcast_to(epsilon, np.shape(x)[1:])
    except ValueError:
        raise refusal("epsilon", f"a number or broadcast to {np.shape(x)[1:]}", epsilon) from None
    moved = np.asarray(x, np.float32) + np.asarray(epsilon, np.float32) * direction
    return moved if clip is None else np.clip(moved, *clip)


def check_epsilon(epsilon):
    """Raises a ValueError unless epsilon holds finite numbers of at least 0."""
    try:
        values = as_floats("epsilon", epsilon)
    except ValueError:
        values = np.asarray(-1.0)
    if values.min() < 0:
        raise refusal("epsilon", "finite and at least 0", epsilon)


def checked_clip(clip):
    """Returns the pair of bounds as float32 arrays, or None; ValueError where they cross."""
    if clip is None:
        return None
    try:
        low, high = (np.asarray(bound, np.float32) for bound in clip)
        increasing = bool((low < high).all())
    except (OverflowError, TypeError, ValueError):
        increasing = False
    if not increasing:
        raise refusal("clip", "a least and a larger value, or None", clip)
    return low, high


def _check_inside(array, clip):
    """Raises a ValueError where inputs lie outside `clip`: clipping would move them further."""
    try:
        for bound in clip:
            np.broadcast_to(bound, array.shape[1:])
    except ValueError:
        allowed = f"a pair of numbers, or of arrays that broadcast to {array.shape[1:]}"
        raise refusal("clip", allowed, clip) from None
    if array.dtype.kind == "f" and not ((array >= clip[0]) & (array <= clip[1])).all():
        raise ValueError(
            "Argument `x` must lie within `clip`. Received: values from "
            f"{array.min():g} to {array.max():g}"
        )


def checked_labels(y, x):
    """Returns labels as arrays, integers as int64; ValueError where they do not fit the inputs."""
    count = len(keras.tree.flatten(x)[0])
    structured = isinstance(y, dict) or (
        isinstance(y, (list, tuple)) and any(hasattr(one, "shape") for one in y)
    )
    as_labels = functools.partial(as_array, "y")
    y = keras.tree.map_structure(as_labels, y) if structured else as_labels(y)
    if not keras.tree.flatten(y):
        raise refusal("y", f"labels for each of {count} inputs", y)
    for labels in keras.tree.flatten(y):
        if labels.ndim < 1 or len(labels) != count or labels.dtype.kind not in "biuf":
            raise ValueError(
                f"Argument `y` must hold labels for each of {count} inputs. "
                f"Received: shape {labels.shape}, dtype {labels.dtype}"
            )
    return keras.tree.map_structure(
        lambda labels: labels.astype(np.int64 if labels.dtype.kind in "biu" else np.float32), y
    )
