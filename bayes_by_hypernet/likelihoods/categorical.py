"""Classes."""

import keras
import numpy as np
import tensorflow as tf

from bayes_by_hypernet import metrics
from bayes_by_hypernet.checks import check_flag
from bayes_by_hypernet.likelihoods.base import (
    Likelihood,
    check_finite,
    label_tensor,
    mean_over_positions,
    scaled_sum,
    sum_over_positions,
)
from bayes_by_hypernet.likelihoods.predictions import Prediction
from bayes_by_hypernet.perturbations import cross_entropy_margin, known_classes

_HALF = (tf.bfloat16, tf.float16)
_HALF_TOLERANCE = 0.02  # how far sums of rounded probabilities may be from 1


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Categorical(Likelihood):
    """One of C classes, for each example or for each of its positions.

    Outputs are `(batch, classes)`, for sequences `(batch, steps, classes)`, for segmentation
    `(batch, height, width, classes)`. Labels are class indices `(batch, ...)` or `(batch, ..., 1)`,
    or probabilities of the classes, of the shape of the outputs.

    ```
    loss = bbh.likelihoods.Categorical()
    model.compile(bbh.FusedAdam(1e-3), loss, metrics=["accuracy"])
    ```

    Args:
        from_logits: Whether outputs are logits; else probabilities.

    Example:
        >>> loss = bbh.likelihoods.Categorical()
        >>> round(float(loss(np.array([1]), np.zeros((1, 4)))), 4)  # log 4
        1.3863
    """

    def __init__(
        self, from_logits=True, reduction="sum_over_batch_size", name="categorical", dtype=None
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits = check_flag("from_logits", from_logits)

    def call(self, y_true, y_pred):
        y_true, log_probs = label_tensor(y_true), self._log_probs(y_pred)
        if is_distribution(y_true, y_pred):
            return -tf.reduce_sum(tf.cast(y_true, log_probs.dtype) * log_probs, axis=-1)
        labels = class_indices(y_true, y_pred)
        return -tf.gather(log_probs, labels, axis=-1, batch_dims=len(labels.shape))

    def _log_probs(self, outputs):
        if self.from_logits:
            return tf.nn.log_softmax(outputs)
        return tf.math.log(tf.maximum(outputs, metrics.PROBABILITY_FLOOR))

    def negative_log_likelihood(self, labels, outputs):
        labels = tf.convert_to_tensor(labels)
        num_positions_axes = len(labels.shape) - 1
        if self.from_logits:
            labels = tf.broadcast_to(labels, tf.shape(outputs)[:-1])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs)
        else:
            labels = tf.cast(tf.broadcast_to(labels, tf.shape(outputs)[:-1]), tf.int32)
            log_probs = self._log_probs(outputs)
            losses = -tf.gather(log_probs, labels, axis=-1, batch_dims=len(labels.shape))
        return sum_over_positions(losses, num_positions_axes)

    def correct(self, labels, outputs):
        probs = tf.nn.softmax(outputs) if self.from_logits else outputs
        mean = tf.reduce_mean(probs, axis=0)  # (batch, ..., classes)
        is_right = tf.cast(tf.argmax(mean, axis=-1) == tf.cast(labels, tf.int64), tf.float32)
        return mean_over_positions(is_right) if len(is_right.shape) > 1 else is_right

    def check_outputs(self, shape):
        if len(shape) < 2 or shape[-1] == 1:
            raise ValueError(
                "A categorical likelihood needs outputs (batch, ..., classes) with at least 2 "
                'classes. For one output unit pass likelihood="bernoulli" (the logit or the '
                'probability of a class) or "gaussian" (a regression). Received: outputs of shape '
                f"{tuple(shape)}"
            )

    def moments(self, outputs):
        """Returns probabilities `(batch, ..., classes)` and their entropies `(batch, ...)`."""
        dtype = outputs.dtype
        outputs = tf.cast(outputs, tf.float32)
        if self.from_logits:
            log_probs = tf.nn.log_softmax(outputs)
            probs = tf.exp(log_probs)
            return probs, -tf.reduce_sum(probs * log_probs, axis=-1)
        if dtype in _HALF:
            sums = tf.reduce_sum(outputs, axis=-1, keepdims=True)
            rounded = tf.abs(sums - 1) < _HALF_TOLERANCE
            outputs = tf.where(rounded, outputs / sums, outputs)
        return outputs, -tf.reduce_sum(tf.math.xlogy(outputs, outputs), axis=-1)

    def summary(self, moments):
        mean, mean_entropy = moments
        entropy = -tf.reduce_sum(tf.math.xlogy(mean, mean), axis=-1)
        information = tf.maximum(entropy - mean_entropy, 0)
        return {"mean": mean, "entropy": entropy, "mutual_information": information}

    def prediction(self, moments, samples=None):
        check_finite(moments[:1])  # of logits taken for probabilities the entropy is NaN
        mean, mean_entropy = moments
        sums = mean.sum(axis=-1)
        worst = sums.flat[np.argmax(np.abs(sums - 1))]
        if not abs(worst - 1) <= 1e-3:
            raise ValueError(
                "With from_logits=False every row of the model's outputs must sum to 1. Received: "
                f"a row that sums to {worst:g}; pass from_logits=True if the model returns logits"
            )
        entropy = metrics.predictive_entropy(mean)
        information = np.maximum(entropy - mean_entropy, 0)
        return Prediction(mean, entropy, information, samples[0] if samples else None)

    def mixture_outputs(self, moments):
        if not self.from_logits:
            return moments[0]
        return tf.math.log(tf.maximum(moments[0], metrics.PROBABILITY_FLOOR))

    def scaled_loss(self, labels, outputs):
        labels = label_tensor(labels)
        if not labels.dtype.is_integer:
            hint = (
                "; take argmax of probabilities of the classes"
                if is_distribution(labels, outputs)
                else ""
            )
            raise ValueError(
                f"Argument `y` must hold integers, one class for each prediction{hint}. Received: "
                f"dtype {labels.dtype.name}, shape {tuple(labels.shape)}"
            )
        labels = class_indices(labels, outputs)
        logits = tf.cast(outputs, tf.float32)
        if not self.from_logits:
            logits = self._log_probs(logits)
        return scaled_sum(cross_entropy_margin(labels, logits))

    def measures(self, labels, prediction):
        """Returns error [%], NLL [nats], Brier score and ECE; positions count like examples."""
        probs = prediction.mean.reshape(-1, prediction.mean.shape[-1])
        labels = np.asarray(labels).reshape(-1)
        return {
            "error_percent": metrics.error_percent(probs, labels),
            "nll": metrics.negative_log_likelihood(probs, labels),
            "brier": metrics.brier_score(probs, labels),
            "ece": metrics.expected_calibration_error(probs, labels),
        }

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


def is_distribution(labels, outputs):
    """Whether labels are probabilities of the classes, not class indices."""
    sizes = zip(labels.shape, outputs.shape, strict=False)
    fits = all(a is None or b is None or a == b for a, b in sizes)
    return fits and len(labels.shape) == len(outputs.shape)


def class_indices(labels, outputs):
    """Returns labels as int32 `(batch, ...)`; they may have a last axis of one.

    Raises:
        ValueError: If their shape does not fit the outputs.
    """
    if len(labels.shape) == len(outputs.shape) and labels.shape[-1] == 1:
        labels = tf.squeeze(labels, -1)
    sizes = zip(labels.shape, outputs.shape[:-1], strict=False)
    fits = all(a is None or b is None or a == b for a, b in sizes)
    if len(labels.shape) != len(outputs.shape) - 1 or not fits:
        raise ValueError(
            "Argument `labels` must be class indices with one axis less than the outputs, or "
            f"probabilities of their shape. Received: labels of shape {tuple(labels.shape)}, "
            f"outputs of shape {tuple(outputs.shape)}"
        )
    return known_classes(labels, tf.shape(outputs)[-1])
