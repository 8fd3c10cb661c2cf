"""The posterior predictive: the mean over posterior samples of the network's prediction."""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.metrics import predictive_entropy
from bayes_by_hypernet.posteriors.samplers import as_sampler, sample_bytes

# Bytes of posterior samples that are in memory at once, as float32: LeNet's 100 are 172 MB.
MAX_SAMPLE_BYTES = 512 * 2**20


class Prediction(NamedTuple):
    """A categorical posterior predictive of N inputs over C classes.

    Attributes:
        mean: Mean predictive probabilities `(N, C)`.
        entropy: Entropy of `mean`, nats, `(N,)`.
        mutual_information: Entropy of the mean minus mean of the entropies, nats, `(N,)`: what
            the posterior samples disagree about.
        samples: Probabilities of every sample `(S, N, C)`, or None.
    """

    mean: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray
    samples: np.ndarray | None


class GaussianPrediction(NamedTuple):
    """A regression's posterior predictive: moments over the samples of the predicted mean.

    Attributes:
        mean: `(N, ...)`.
        std: Standard deviation over posterior samples, without observation noise, `(N, ...)`.
        samples: `(S, N, ...)`, or None.
    """

    mean: np.ndarray
    std: np.ndarray
    samples: np.ndarray | None


def sufficient_samples(sampler, num_samples):
    """Returns how many posterior samples to draw where the sampler has few that differ.

    Args:
        sampler: What `as_sampler` returns.
        num_samples: Integer or scalar tensor.
    """
    distinct = sampler.num_distinct_samples
    if distinct is None:
        return num_samples
    least = tf.minimum if tf.is_tensor(num_samples) else min
    return least(num_samples, distinct)


def samples_per_chunk(sampler):
    """Returns how many posterior samples to draw at once: what fits `MAX_SAMPLE_BYTES`.

    At least 1, and at least those that differ from each other where they are few: in memory they
    are anyway, and only a draw of that many is sure to hold each of them.
    """
    return max(MAX_SAMPLE_BYTES // sample_bytes(sampler), sampler.num_distinct_samples or 1)


def categorical_outputs(outputs, from_logits=True):
    """Returns what is averaged over samples: probabilities `(N, C)` and their entropy `(N,)`."""
    outputs = tf.cast(outputs, tf.float32)
    if from_logits:
        log_probs = tf.nn.log_softmax(outputs)
        probs = tf.exp(log_probs)
        return probs, -tf.reduce_sum(probs * log_probs, axis=-1)
    return outputs, -tf.reduce_sum(tf.math.xlogy(outputs, outputs), axis=-1)


def gaussian_outputs(outputs):
    """Returns what is averaged over samples: the predicted mean and its square, float64."""
    outputs = tf.cast(outputs, tf.float64)
    return outputs, outputs**2


class Predictor:
    """Compiled prediction with one sampler: sums over posterior samples, batch by batch.

    Args:
        sampler: What `as_sampler` returns.
        outputs: Function of the network's outputs that gives the two tensors to be averaged.
    """

    def __init__(self, sampler, outputs=categorical_outputs):
        self._sampler = sampler
        self._outputs = outputs
        self._draw = tf.function(sampler.draw, reduce_retracing=True)
        self._sum = tf.function(self._sum_samples, reduce_retracing=True)
        self._each = tf.function(self._each_sample, reduce_retracing=True)

    def __call__(
        self,
        x,
        num_samples,
        key,
        batch_size=1000,
        return_samples=False,
        progress=lambda count: None,
    ):
        """Returns the means over samples of the two outputs, and all of the first or None.

        `progress` hears of every batch how many inputs times samples were predicted.
        """
        batch_size = self._sampler.prediction_batch_size or batch_size
        sums, kept = None, []
        batches = [x[i : i + batch_size] for i in range(0, len(x), batch_size)]
        most = samples_per_chunk(self._sampler)
        for first in range(0, num_samples, most):
            count = tf.constant(min(most, num_samples - first))
            draws = self._draw(count, randomness.fold_in(key, first))
            arguments = (draws,) if return_samples else (draws, count)
            parts = []
            for batch in batches:
                parts.append((self._each if return_samples else self._sum)(batch, *arguments))
                progress(len(batch) * int(count))
            if return_samples:
                kept.append(np.concatenate([part[0] for part in parts], axis=1))
                parts = [[np.sum(values, axis=0) for values in part] for part in parts]
            chunk = [np.concatenate(values) for values in zip(*parts, strict=True)]
            sums = chunk if sums is None else [a + b for a, b in zip(sums, chunk, strict=True)]
        samples = np.concatenate(kept) if return_samples else None
        return [total / num_samples for total in sums], samples

    def _of_sample(self, x, sample):
        return self._outputs(self._sampler.logits(x, sample))

    def _sum_samples(self, x, draws, num_samples):
        return sum_over_samples(self._of_sample, x, draws, num_samples)

    def _each_sample(self, x, draws):
        first = self._of_sample(x, tf.nest.map_structure(lambda draw: draw[0], draws))
        signature = tuple(tf.TensorSpec(None, value.dtype) for value in first)
        return tf.map_fn(
            lambda sample: self._of_sample(x, sample), draws, fn_output_signature=signature
        )


def sum_over_samples(of_sample, x, draws, num_samples):
    """Returns the sums over `draws` of the tensors `of_sample(x, draw)`, one draw at a time."""

    def at(i):
        return of_sample(x, tf.nest.map_structure(lambda draw: draw[i], draws))

    sums = at(0)
    _, sums = tf.while_loop(
        lambda i, _: i < num_samples,
        lambda i, sums: (i + 1, tf.nest.map_structure(tf.add, sums, at(i))),
        (tf.constant(1), sums),
        parallel_iterations=1,  # Several at once take more memory and no less time.
    )
    return sums


def predict(
    model,
    x,
    num_samples: int = 100,
    batch_size: int = 1000,
    seed: int | None = None,
    from_logits: bool = True,
    return_samples: bool = False,
    likelihood: str = "categorical",
) -> Prediction | GaussianPrediction:
    """Predicts with the mean over posterior samples (paper, Section 2).

    Weight samples are generated in one batch, and each predicts the whole set. Samples of more
    than 512 MiB together are generated in several, and what a seed draws then depends on their
    size. Layers of this package hold one draw for each posterior sample over all batches, so that
    a seed gives the same answer for any `batch_size`; layers that draw per example, and those of
    other packages, draw anew at each call.

    Args:
        model: A `Posterior`, or any Keras model whose calls differ from each other.
        x: Inputs `(N, ...)`.
        num_samples: Posterior samples S, at least 1.
        batch_size: Inputs of one call. Where answers depend on the other inputs of a batch
            (`--batch_norm=batch`) it is training's, whatever is given.
        seed: Integer: the same answer again. None: fresh samples.
        from_logits: Whether the model's outputs are logits; else probabilities.
        return_samples: Whether to keep every sample's prediction, `(S, N, C)`.
        likelihood: `"categorical"`, or `"gaussian"` for a regression, whose outputs are means.

    Returns:
        `Prediction`, or `GaussianPrediction` for a gaussian likelihood; NumPy arrays, nats.

    Raises:
        ValueError: If an argument is out of range, `x` is empty, not finite or of another shape
            than the model's input, or probabilities do not sum to 1.
    """
    x = np.asarray(x)
    _check_at_least_one("batch_size", batch_size)
    if likelihood not in ("categorical", "gaussian"):
        raise ValueError(
            'Argument `likelihood` must be "categorical" or "gaussian". '
            f"Received: likelihood={likelihood!r}"
        )
    sampler = as_sampler(model)
    check_inputs(x, sampler, num_samples)
    if not return_samples:
        num_samples = sufficient_samples(sampler, num_samples)
    outputs = gaussian_outputs
    if likelihood == "categorical":
        outputs = functools.partial(categorical_outputs, from_logits=from_logits)
    key = randomness.fresh_key() if seed is None else randomness.seed_key(seed)
    (mean, second), samples = Predictor(sampler, outputs)(
        x, num_samples, key, batch_size, return_samples
    )
    if likelihood == "gaussian":
        return GaussianPrediction(mean, np.sqrt(np.maximum(second - mean**2, 0)), samples)
    return categorical_prediction(mean, second, samples)


def categorical_prediction(mean, mean_entropy, samples=None):
    """Returns the `Prediction` of mean probabilities and the mean of the samples' entropies."""
    sums = mean.sum(axis=-1)
    if np.abs(sums - 1).max() > 1e-3:
        raise ValueError(
            "With from_logits=False every row of the model's outputs must sum to 1. Received: a "
            f"row that sums to {sums[np.argmax(np.abs(sums - 1))]:g}; pass from_logits=True if "
            "the model returns logits"
        )
    entropy = predictive_entropy(mean)
    return Prediction(mean, entropy, np.maximum(entropy - mean_entropy, 0), samples)


def check_inputs(x, sampler, num_samples):
    """Checks an array of inputs and a number of posterior samples.

    Raises:
        ValueError: If there is no sample or no input, or the inputs are not finite or of another
            shape than the sampler's.
    """
    _check_at_least_one("num_samples", num_samples)
    if x.ndim < 1 or not len(x):
        raise ValueError(
            f"Argument `x` must hold at least one input, (N, ...). Received: shape {x.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("Argument `x` must be finite. Received: NaN or infinite values")
    shape = sampler.input_shape  # None: nothing is known; a None in it: any size
    if shape is None:
        return
    fits = len(x.shape) == len(shape) + 1 and all(
        expected in (None, size) for size, expected in zip(x.shape[1:], shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"Argument `x` must have the shape (N, {', '.join(map(str, shape))}). "
            f"Received: shape {x.shape}"
        )


def _check_at_least_one(name, value):
    if value < 1:
        raise ValueError(f"Argument `{name}` must be at least 1. Received: {name}={value}")
