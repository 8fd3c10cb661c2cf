"""Regressions with Gaussian noise."""

import math

import keras
import numpy as np
import tensorflow as tf

from bayes_by_hypernet import metrics
from bayes_by_hypernet.checks import check_positive, refusal
from bayes_by_hypernet.likelihoods.base import Likelihood, check_finite, sum_over_positions
from bayes_by_hypernet.likelihoods.bernoulli import like_outputs
from bayes_by_hypernet.likelihoods.predictions import GaussianPrediction

LEARNED = ("learned", "heteroscedastic")


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Gaussian(Likelihood):
    """A regression with Gaussian noise.

    ```
    -log p(y | x, w) = sum over outputs of ((y - f(x, w)) / stddev)^2 / 2 + log(stddev sqrt(2 pi))
    ```

    The standard deviation of the noise is known, or the network learns it:

    - `Gaussian(0.1)`: known; outputs are the labels' means, `(batch, ..., units)`.
    - `Gaussian([0.1, 2.0])`: known, one for each unit.
    - `Gaussian("learned")`: outputs are `(batch, ..., 2 * units)`, the means and behind them the
      logarithms of the standard deviations. Let `bbh.layers.LearnedStddev()` append one learned
      number, or one for each unit. Or let the network have a head for them (heteroscedastic
      noise): `keras.layers.Concatenate()([mean, log_stddev])`. For `bbh.predict` outputs may also
      be a pair of tensors (mean, log standard deviation).
    - `Gaussian(None)`: not known; the loss is the squared error, and predictions tell nothing of
      the noise.

    Args:
        stddev: Positive number or list of numbers, in units of the labels; `"learned"` (or
            `"heteroscedastic"`, the same); None.

    Example:
        >>> loss = bbh.likelihoods.Gaussian(2.0)
        >>> round(float(loss(np.array([[3.0]]), np.array([[1.0]]))), 4)
        2.1121
    """

    def __init__(self, stddev=None, reduction="sum_over_batch_size", name="gaussian", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.stddev = _checked_stddev(stddev)

    @property
    def is_learned(self):
        """Whether the network's outputs hold the standard deviation."""
        return self.stddev == "learned"

    @property
    def num_moments(self):
        return 3 if self.is_learned else 2

    @property
    def num_sample_moments(self):
        return 2 if self.is_learned else 1

    def call(self, y_true, y_pred):
        mean, log_stddev = self._split(y_pred)
        losses = self._losses(like_outputs(y_true, mean), mean, log_stddev)
        return tf.reduce_sum(losses, axis=-1) if len(losses.shape) > 1 else losses

    def _split(self, outputs):
        """Returns the means, and the logarithms of the standard deviations where learned."""
        if not self.is_learned:
            return outputs, None
        if isinstance(outputs, (list, tuple)):
            return outputs
        return tf.split(outputs, 2, axis=-1)

    def _losses(self, labels, mean, log_stddev):
        errors = tf.cast(labels, mean.dtype) - mean
        if self.stddev is None:
            return errors**2
        if log_stddev is not None:
            constant = tf.constant(0.5 * math.log(2 * math.pi), mean.dtype)
            return (errors * tf.exp(-log_stddev)) ** 2 / 2 + log_stddev + constant
        constant = np.log(np.multiply(self.stddev, math.sqrt(2 * math.pi)))
        stddev, constant = (tf.constant(v, mean.dtype) for v in (self.stddev, constant))
        return (errors / stddev) ** 2 / 2 + constant

    def negative_log_likelihood(self, labels, outputs):
        """As `Likelihood.negative_log_likelihood`, constants included.

        Raises:
            ValueError: If the labels have another shape, which would be broadcast.
        """
        labels, (mean, log_stddev) = tf.convert_to_tensor(labels), self._split(outputs)
        num_outputs = mean.shape[-1]
        if len(labels.shape) < 2 or labels.shape[-1] != num_outputs:
            raise ValueError(
                f"Argument `labels` must have the shape (batch, {num_outputs}), as the network has "
                f"outputs. Received: shape {tuple(labels.shape)}"
            )
        losses = self._losses(labels, mean, log_stddev)
        return sum_over_positions(losses, len(labels.shape) - 1)

    def correct(self, labels, outputs):
        """Returns zeros `(batch,)`: no prediction of a density is right or wrong."""
        return tf.zeros(tf.shape(labels)[:1])

    def check_outputs(self, shape):
        if self.is_learned and (len(shape) < 2 or shape[-1] is None or shape[-1] % 2):
            raise ValueError(
                'Gaussian("learned") needs outputs (batch, ..., 2 * units): the means, and behind '
                "them the logarithms of the standard deviations; see bbh.layers.LearnedStddev. "
                f"Received: outputs of shape {tuple(shape)}"
            )
        units = shape[-1] if len(shape) > 1 else 1
        if isinstance(self.stddev, list) and len(self.stddev) != units:
            raise ValueError(
                f"Argument `stddev` must be a number, or one for each of {units} outputs. "
                f"Received: {len(self.stddev)} numbers"
            )

    def moments(self, outputs):
        """Returns the mean, the variance of the noise where learned, and the mean's square."""
        mean, log_stddev = self._split(outputs)
        mean = tf.cast(mean, tf.float64)
        if log_stddev is None:
            return mean, mean**2
        return mean, tf.exp(2 * tf.cast(log_stddev, tf.float64)), mean**2

    def _parts(self, moments):
        """Returns mean, epistemic variance, and the noise's variance or None."""
        mean, *noise, square = (tf.convert_to_tensor(moment) for moment in moments)
        variance = tf.maximum(square - mean**2, 0)
        if noise:
            return mean, variance, noise[0]
        if self.stddev is None:
            return mean, variance, None
        return mean, variance, tf.zeros_like(mean) + tf.constant(self.stddev, mean.dtype) ** 2

    def summary(self, moments):
        mean, variance, noise = self._parts(moments)
        summary = {"mean": mean, "std": tf.sqrt(variance)}
        if noise is not None:
            summary |= {"aleatoric": noise, "epistemic": variance, "total": variance + noise}
        return summary

    def prediction(self, moments, samples=None):
        check_finite(moments)
        mean, variance, noise = self._parts(moments)
        sample_stddev = None
        if samples is not None:
            if self.is_learned:
                sample_stddev = np.sqrt(samples[1])
            elif self.stddev is not None:
                sample_stddev = np.broadcast_to(np.asarray(self.stddev, float), samples[0].shape)
        return GaussianPrediction(
            mean.numpy(),
            np.sqrt(variance.numpy()),
            samples[0] if samples else None,
            None if noise is None else noise.numpy(),
            sample_stddev,
        )

    def mixture_outputs(self, moments):
        """Returns the mean, and behind it the standard deviation of the mixture where learned."""
        mean, variance, noise = self._parts(moments)
        if not self.is_learned:
            return mean
        return tf.concat([mean, 0.5 * tf.math.log(variance + noise)], axis=-1)

    def scaled_loss(self, labels, outputs):
        mean, log_stddev = self._split(outputs)
        losses = self._losses(like_outputs(labels, mean), mean, log_stddev)
        losses = tf.reduce_sum(tf.reshape(losses, (tf.shape(losses)[0], -1)), axis=-1)
        return tf.cast(losses, tf.float32), tf.zeros(tf.shape(losses)[:1])

    def measures(self, labels, prediction):
        """Returns the root mean squared error, and where the noise is known NLL and CRPS.

        These are of a Gaussian with the predictive mean and variance: NLL in nats per label, CRPS
        in units of the labels. For those of the mixture see `bbh.metrics.gaussian_mixture_nll`.
        """
        mean, labels = prediction.mean, np.asarray(labels, float)
        if labels.shape == mean.shape[:-1] and mean.shape[-1] == 1:
            labels = labels[..., np.newaxis]
        if labels.shape != mean.shape:
            raise ValueError(
                f"Argument `labels` must have the shape {mean.shape}. Received: {labels.shape}"
            )
        measures = {"rmse": float(np.sqrt(np.mean((labels - mean) ** 2)))}
        if prediction.total is not None:
            stddev = np.sqrt(prediction.total)
            measures["nll"] = metrics.gaussian_nll(mean, stddev, labels)
            measures["crps"] = metrics.crps_gaussian(mean, stddev, labels)
        return measures

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev}


def _checked_stddev(stddev):
    """Returns None, `"learned"`, a float or a list of floats."""
    if stddev is None:
        return None
    if isinstance(stddev, str) and stddev in LEARNED:
        return "learned"
    many = isinstance(stddev, (list, tuple)) or (hasattr(stddev, "shape") and np.ndim(stddev))
    try:
        values = [check_positive("stddev", value) for value in np.asarray(stddev).reshape(-1)]
    except (TypeError, ValueError):
        values = []
    if not values or np.ndim(stddev) > 1:
        raise refusal("stddev", 'a positive number, one for each output, "learned" or None', stddev)
    return values if many else values[0]
