"""Attacks on a posterior predictive, and what they leave of it (paper, Section 3.1; Fig. 3, 4)."""

import math

import numpy as np
import tensorflow as tf

from bayes_by_hypernet import metrics, perturbations, randomness
from bayes_by_hypernet.prediction import (
    as_sampler,
    check_inputs,
    samples_per_chunk,
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
    epsilon: float,
    num_samples: int = NUM_SAMPLES,
    average: str = "examples",
    clip: tuple[float, float] | None = None,
    from_logits: bool = True,
    seed: int | None = None,
) -> np.ndarray:
    """The fast sign method on a posterior predictive (Goodfellow et al., 2015).

    With `average="examples"`, the paper's, the adversarial input is the mean over posterior
    samples w of `x + epsilon * sign(d loss(x, w) / d x)`. With `"gradients"` it is `x` plus
    epsilon times the sign of the mean gradient, which moves every pixel by epsilon: a stronger
    attack. A point estimate has one sample, for which both are the same.

    The loss is `perturbations.cross_entropy`, whose gradient float32 does not round away where the
    model is certain. With the usual form such models seem more robust than they are.

    Args:
        model: A `Posterior`, or any Keras model that classifies.
        x: Inputs `(N, ...)`, as the model takes them.
        y: Labels `(N,)`.
        epsilon: Number, at least 0, in units of `x`.
        num_samples: Posterior samples, at least 1.
        average: `"examples"` or `"gradients"`.
        clip: Pair, the range that adversarial inputs are clipped to, or None.
        from_logits: Whether the model's outputs are logits; else probabilities.
        seed: Integer: the same answer again. None: fresh samples.

    Returns:
        Adversarial inputs, float32, of the shape of `x`.

    Raises:
        ValueError: If an argument is out of range, or `x` and `y` do not fit.
        InvalidArgumentError: If a label is none of the model's classes.
    """
    check_epsilon(epsilon)
    if clip is not None and not clip[0] < clip[1]:
        raise ValueError(
            f"Argument `clip` must be a least and a larger value, or None. Received: clip={clip}"
        )
    direction = fast_sign_direction(model, x, y, num_samples, average, from_logits, seed)
    return perturbed(x, epsilon, direction, clip)


def fast_sign_direction(
    model, x, y, num_samples=NUM_SAMPLES, average="examples", from_logits=True, seed=None
):
    """Returns what `fast_sign_attack` multiplies by epsilon, for any number of epsilons at once."""
    if average not in AVERAGES:
        raise ValueError(
            f"Argument `average` must be one of {AVERAGES}. Received: average={average!r}"
        )
    x, y = checked(model, x, y, num_samples)
    key = randomness.fresh_key() if seed is None else randomness.seed_key(seed)
    if average == "examples":
        return LossGradients(model, from_logits, tf.sign)(x, y, num_samples, key)
    return np.sign(LossGradients(model, from_logits)(x, y, num_samples, key))


class LossGradients:
    """Means over posterior samples of a function of the loss's gradients, batch by batch."""

    def __init__(self, model, from_logits=True, function=tf.identity):
        self._sampler = as_sampler(model)
        self._from_logits = from_logits
        self._function = function
        self._draw = tf.function(self._sampler.draw, reduce_retracing=True)
        self._sum = tf.function(self._sum_samples, reduce_retracing=True)

    def __call__(self, x, y, num_samples, key):
        num_samples = sufficient_samples(self._sampler, num_samples)
        batch_size = self._sampler.prediction_batch_size or BATCH_SIZE
        most = samples_per_chunk(self._sampler)
        total = np.zeros_like(x)
        for first in range(0, num_samples, most):
            count = tf.constant(min(most, num_samples - first))
            draws = self._draw(count, randomness.fold_in(key, first))
            for i in range(0, len(x), batch_size):
                part = slice(i, i + batch_size)
                total[part] += self._sum(x[part], y[part], draws, count).numpy()
        return total / num_samples

    def _sum_samples(self, x, y, draws, num_samples):
        def of_sample(x, sample):
            def loss(inputs):
                outputs = tf.cast(self._sampler.logits(inputs, sample), tf.float32)
                if not self._from_logits:
                    outputs = tf.math.log(tf.maximum(outputs, metrics.PROBABILITY_FLOOR))
                return perturbations.cross_entropy(y, outputs)

            return (self._function(perturbations.input_gradient(x, loss)),)

        return sum_over_samples(of_sample, x, draws, num_samples)[0]


def perturbed(x, epsilon, direction, clip):
    """Returns `x + epsilon * direction`, clipped to a range where one is given."""
    moved = np.asarray(x, np.float32) + np.float32(epsilon) * direction
    return moved if clip is None else np.clip(moved, *clip)


def check_epsilon(epsilon):
    """Raises a ValueError unless epsilon is a finite number of at least 0."""
    if not 0 <= epsilon < math.inf:
        raise ValueError(
            f"Argument `epsilon` must be finite and at least 0. Received: epsilon={epsilon}"
        )


def checked(model, x, y, num_samples):
    """Returns inputs and labels as arrays; ValueError where they do not fit the model."""
    x, y = np.asarray(x, np.float32), np.asarray(y)
    check_inputs(x, as_sampler(model), num_samples)
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"Argument `y` must hold one integer label for each of {len(x)} inputs. "
            f"Received: shape {y.shape}, dtype {y.dtype}"
        )
    return x, y.astype(np.int64)
