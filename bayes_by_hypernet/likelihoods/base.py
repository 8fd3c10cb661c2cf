"""What every likelihood can do."""

import keras
import numpy as np
import tensorflow as tf

from bayes_by_hypernet.checks import refusal


class Likelihood(keras.losses.Loss):
    """p(y | x, w): how labels are distributed given the network's outputs.

    A Keras loss: `model.compile(optimizer, loss=bbh.likelihoods.Bernoulli())`. The loss is the
    negative log-likelihood in nats, a mean over examples, and over the positions of an example
    where it has several (the steps of a sequence, the pixels of an image).

    Tensors are named as in `call`: `outputs` are the network's, `(batch, ..., units)`, where `...`
    are the positions. Moments are tensors of which the mean over posterior samples is taken; the
    first is the predictive mean.

    Attributes:
        num_moments: How many moments there are.
        num_sample_moments: How many of the first ones `prediction` wants of every sample.
        averages_units: Whether the loss is a mean over the last axis too. Keras's binary
            cross-entropy and squared errors are; those of this package are sums.

    Example:
        >>> isinstance(bbh.likelihoods.Bernoulli(), bbh.likelihoods.Likelihood)
        True
    """

    num_moments = 2
    num_sample_moments = 1
    averages_units = False

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Before Keras makes them float32, where what makes no tensor fails without a name.
        return super().__call__(label_tensor(y_true), y_pred, sample_weight)

    def call(self, y_true, y_pred):
        """Returns `-log p(y | x, w)` of each example and position, `(batch, ...)`, nats."""
        raise NotImplementedError

    def negative_log_likelihood(self, labels, outputs):
        """Returns `-log p(y | x, w)` of each example, summed over its positions.

        Args:
            labels: As in `call`.
            outputs: `(k, batch, ..., units)` under k samples of w, or `(batch, ..., units)`.

        Returns:
            Tensor `(k, batch)` or `(batch,)`, nats.
        """
        raise NotImplementedError

    def correct(self, labels, outputs):
        """Returns the share of each example that the mean prediction gets right, `(batch,)`.

        Args:
            labels: As in `call`.
            outputs: `(k, batch, ..., units)`.
        """
        raise NotImplementedError

    def check_outputs(self, shape):
        """Raises a ValueError where outputs of this shape `(batch, ..., units)` make no sense."""

    def moments(self, outputs):
        """Returns a tuple of tensors that are averaged over posterior samples."""
        raise NotImplementedError

    def sample_moments(self, moments):
        """Returns the moments that `prediction` wants of every sample, a tuple."""
        return tuple(moments[: self.num_sample_moments])

    def summary(self, moments):
        """Returns what a prediction reports, a dict of tensors, from averaged moments."""
        raise NotImplementedError

    def prediction(self, moments, samples=None):
        """Returns the prediction of averaged moments, NumPy arrays.

        Args:
            moments: Arrays.
            samples: The first `num_sample_moments` moments of every sample, `(S, ...)`, or None.

        Raises:
            ValueError: If the moments are not finite or impossible.
        """
        raise NotImplementedError

    def mixture_outputs(self, moments):
        """Returns the outputs of a network that would predict what the averaged moments say.

        Metrics and losses of Keras take them: this is what validation measures.
        """
        raise NotImplementedError

    def scaled_loss(self, labels, outputs):
        """Returns a loss for attacks `(batch,)`, and the logarithm of what it is divided by.

        The gradient of the negative log-likelihood is `exp(log_scale)` times that of the loss. So
        it has a direction, too, where the model is certain and float32 would round it to 0.
        """
        raise NotImplementedError

    def measures(self, labels, prediction):
        """Returns how good a prediction is, a dict of floats.

        Args:
            labels: Array.
            prediction: What `prediction` returned.
        """
        raise NotImplementedError

    @property
    def key(self):
        """What tells likelihoods apart, hashable."""
        return (type(self).__name__, repr(sorted(self.get_config().items())))

    def __eq__(self, other):
        return isinstance(other, Likelihood) and self.key == other.key

    def __hash__(self):
        return hash(self.key)

    def __repr__(self):
        settings = {k: v for k, v in self.get_config().items() if k not in _OF_KERAS}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


_OF_KERAS = ("name", "reduction", "dtype")  # settings of every Keras loss


def label_tensor(labels):
    """Returns labels as a dense tensor of numbers; ValueError where they are none."""
    try:
        tensor = tf.convert_to_tensor(labels)
    except (TypeError, ValueError):  # sparse, ragged or no array
        tensor = None
    if tensor is None or tensor.dtype in (tf.string, tf.variant) or tensor.dtype.is_complex:
        raise refusal("labels", "a dense array of real numbers", labels)
    return tensor


def check_finite(moments):
    """Raises a ValueError where a model predicted NaN or infinite values."""
    bad = sum(int(np.size(moment) - np.isfinite(moment).sum()) for moment in moments)
    if bad:
        raise ValueError(
            "The model's outputs must be finite; its training may have diverged. Received: "
            f"{bad} values that are not, of {sum(map(np.size, moments))}"
        )


def sum_over_positions(losses, num_positions_axes):
    """Returns losses `(..., batch, positions ...)` summed over the axes of positions, the last."""
    axes = range(-num_positions_axes, 0)
    return tf.reduce_sum(losses, axis=list(axes)) if num_positions_axes else losses


def mean_over_positions(values):
    """Returns values `(batch, positions ...)` averaged over positions, `(batch,)`."""
    return tf.reduce_mean(values, axis=list(range(1, len(values.shape))))


def scaled_sum(margins):
    """Returns what has the gradient of `sum of softplus(margins)`, and the logarithm of a factor.

    The gradient of softplus is the sigmoid, which is 0 in float32 for margins below -104. Divided
    by the largest of an example it is not.

    Args:
        margins: `(batch, ...)`.

    Returns:
        Loss `(batch,)`, and `log_scale` `(batch,)`: the gradient of the sum is `exp(log_scale)`
        times the loss's.
    """
    margins = tf.reshape(margins, (tf.shape(margins)[0], -1))
    log_weights = tf.stop_gradient(tf.math.log_sigmoid(margins))
    log_scale = tf.reduce_max(log_weights, axis=-1)
    weights = tf.exp(log_weights - log_scale[:, tf.newaxis])
    return tf.reduce_sum(weights * margins, axis=-1), log_scale
