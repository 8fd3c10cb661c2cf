"""Attacks on a posterior predictive (paper, Section 3.3), and what they do to it."""

import keras
import numpy as np
import tensorflow as tf

from bayes_by_hypernet import metrics, perturbations, randomness
from bayes_by_hypernet.prediction import (
    Predictor,
    as_sampler,
    categorical_prediction,
    check_inputs,
    samples_per_chunk,
    sufficient_samples,
    sum_over_samples,
)

AVERAGES = ("examples", "gradients")
NUM_SAMPLES = 100  # paper, Section 3.3
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

    Args:
        model: A `Posterior`, or any Keras model that classifies.
        x: Inputs `(N, ...)`, as the model takes them.
        y: Labels `(N,)`.
        epsilon: Number, at least 0, in units of `x`.
        num_samples: Posterior samples.
        average: `"examples"` or `"gradients"`.
        clip: Pair, the range that adversarial inputs are clipped to, or None.
        from_logits: Whether the model's outputs are logits; else probabilities.
        seed: Integer: the same answer again. None: fresh samples.

    Returns:
        Adversarial inputs, float32, of the shape of `x`.

    Raises:
        ValueError: If an argument is out of range, or `x` and `y` do not fit.
    """
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
    signs = tf.sign if average == "examples" else tf.identity
    gradients = _Gradients(model, from_logits, signs)
    mean = gradients(*_checked(model, x, y, num_samples), num_samples, _key(seed))
    return mean if average == "examples" else np.sign(mean)


def perturbed(x, epsilon, direction, clip=None):
    """Returns `x + epsilon * direction`, clipped to the range `clip` where that is given."""
    if not epsilon >= 0:
        raise ValueError(f"Argument `epsilon` must be at least 0. Received: epsilon={epsilon}")
    moved = np.asarray(x, np.float32) + np.float32(epsilon) * direction
    return moved if clip is None else np.clip(moved, *clip)


def projected_gradient_attack(
    model,
    x,
    y,
    epsilon: float,
    num_samples: int = 10,
    num_steps: int = 10,
    clip: tuple[float, float] | None = None,
    from_logits: bool = True,
    seed: int | None = None,
) -> np.ndarray:
    """Projected gradient descent on a posterior predictive (Madry et al., 2018).

    Starts at random within epsilon of `x`; each step goes by the sign of the loss's mean gradient
    over posterior samples, `2.5 * epsilon / num_steps` far, and stays within epsilon. All steps
    use the same posterior samples. Stronger than one step of the fast sign method.

    Args:
        num_steps: Integer, at least 1.
        model, x, y, epsilon, num_samples, clip, from_logits, seed: As for `fast_sign_attack`.

    Returns:
        Adversarial inputs, float32, of the shape of `x`.

    Raises:
        ValueError: If an argument is out of range, or `x` and `y` do not fit.
    """
    for name, value, least in (("epsilon", epsilon, 0), ("num_steps", num_steps, 1)):
        if not value >= least:
            raise ValueError(
                f"Argument `{name}` must be at least {least}. Received: {name}={value}"
            )
    x, y = _checked(model, x, y, num_samples)
    key = _key(seed)
    gradients = _Gradients(model, from_logits, tf.identity)
    start = tf.random.stateless_uniform(
        x.shape, randomness.fold_in(key, "start"), -epsilon, epsilon
    )
    return perturbations.projected_gradient(
        tf.constant(x),
        epsilon,
        lambda inputs: gradients(inputs.numpy(), y, num_samples, key),
        num_steps,
        2.5 * epsilon / num_steps,
        x + start,
        clip,
    ).numpy()


def attacked_measures(model, x, y, num_samples=NUM_SAMPLES, seed=None) -> dict:
    """Returns what an attack left of a prediction (Fig. 3 and 4).

    Args:
        model: A `Posterior`, or a Keras model that returns logits.
        x: Adversarial inputs `(N, ...)`.
        y: Labels `(N,)`.
        num_samples, seed: As for `bbh.predict`.

    Returns:
        Dict: `accuracy`, and `relative_entropy`, the mean predictive entropy divided by `log C`.
    """
    sampler = as_sampler(model)
    num_samples = sufficient_samples(sampler, num_samples)
    (mean, entropies), _ = Predictor(sampler)(x, num_samples, _key(seed))
    prediction = categorical_prediction(mean, entropies)
    return {
        "accuracy": 1 - metrics.error_percent(prediction.mean, y) / 100,
        "relative_entropy": 1 - metrics.entropy_auc(prediction.mean),
    }


class _Gradients:
    """Means over posterior samples of a function of the loss's gradients, batch by batch."""

    def __init__(self, model, from_logits, function):
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
                outputs = self._sampler.logits(inputs, sample)
                return keras.losses.sparse_categorical_crossentropy(y, outputs, self._from_logits)

            return (self._function(perturbations.input_gradient(x, loss)),)

        return sum_over_samples(of_sample, x, draws, num_samples)[0]


def _key(seed):
    return randomness.fresh_key() if seed is None else randomness.seed_key(seed)


def _checked(model, x, y, num_samples):
    x, y = np.asarray(x, np.float32), np.asarray(y)
    check_inputs(x, as_sampler(model), num_samples)
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"Argument `y` must hold one integer label for each of {len(x)} inputs. "
            f"Received: shape {y.shape}, dtype {y.dtype}"
        )
    return x, y
