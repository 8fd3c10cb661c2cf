"""Binary and multi-label outputs."""

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


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Bernoulli(Likelihood):
    """Labels 0 or 1, one for each output unit: binary with one unit, multi-label with several.

    Outputs are `(batch, ..., labels)`, or `(batch,)`. Labels have their shape; of a single unit the
    last axis may be left out. Given the weights, labels are independent, so that their losses are
    summed.

    ```
    model.compile(bbh.FusedAdam(1e-3), bbh.likelihoods.Bernoulli())
    ```

    Args:
        from_logits: Whether outputs are logits; else probabilities of label 1.

    Example:
        >>> loss = bbh.likelihoods.Bernoulli()
        >>> round(float(loss(np.array([[1.0]]), np.zeros((1, 1)))), 4)  # log 2
        0.6931
    """

    def __init__(
        self, from_logits=True, reduction="sum_over_batch_size", name="bernoulli", dtype=None
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits = check_flag("from_logits", from_logits)

    def call(self, y_true, y_pred):
        losses = self._losses(like_outputs(y_true, y_pred), y_pred)
        return tf.reduce_sum(losses, axis=-1) if len(losses.shape) > 1 else losses

    def _losses(self, labels, outputs):
        labels = tf.cast(labels, outputs.dtype)
        if self.from_logits:
            labels = tf.broadcast_to(labels, tf.shape(outputs))
            return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=outputs)
        floor = tf.cast(metrics.PROBABILITY_FLOOR, outputs.dtype)
        yes = tf.math.log(tf.maximum(outputs, floor))
        no = tf.math.log(tf.maximum(1 - outputs, floor))
        return -labels * yes - (1 - labels) * no

    def negative_log_likelihood(self, labels, outputs):
        labels = tf.convert_to_tensor(labels)
        return sum_over_positions(self._losses(labels, outputs), len(labels.shape) - 1)

    def correct(self, labels, outputs):
        probs = tf.sigmoid(outputs) if self.from_logits else outputs
        is_right = (tf.reduce_mean(probs, axis=0) > 0.5) == (tf.cast(labels, tf.float32) > 0.5)
        is_right = tf.cast(is_right, tf.float32)
        return mean_over_positions(is_right) if len(is_right.shape) > 1 else is_right

    def moments(self, outputs):
        """Returns probabilities of label 1 and entropies, both of the outputs' shape, float64.

        In float64, where 1 - p does not vanish beside p.
        """
        half = outputs.dtype.size < 4
        outputs = tf.cast(outputs, tf.float64)
        if self.from_logits:
            probs = tf.sigmoid(outputs)
            entropy = probs * tf.nn.softplus(-outputs) + tf.sigmoid(-outputs) * tf.nn.softplus(
                outputs
            )
            return probs, entropy
        outputs = tf.clip_by_value(outputs, 0, 1) if half else outputs
        return outputs, _entropy(outputs)

    def summary(self, moments):
        mean, mean_entropy = moments
        entropy = _entropy(mean)
        information = tf.maximum(entropy - mean_entropy, 0)
        if len(mean.shape) > 1 and mean.shape[-1] == 1:
            entropy, information = tf.squeeze(entropy, -1), tf.squeeze(information, -1)
        return {"mean": mean, "entropy": entropy, "mutual_information": information}

    def prediction(self, moments, samples=None):
        check_finite(moments[:1])  # of logits taken for probabilities the entropy is NaN
        mean = moments[0]
        if not ((mean >= 0) & (mean <= 1)).all():
            worst = mean.flat[np.argmax(np.abs(mean - 0.5))]
            raise ValueError(
                "With from_logits=False the model's outputs must be probabilities, from 0 to 1. "
                f"Received: {worst:g}; pass from_logits=True if the model returns logits"
            )
        summary = self.summary([tf.convert_to_tensor(moment) for moment in moments])
        numbers = {name: value.numpy() for name, value in summary.items()}
        return Prediction(**numbers, samples=samples[0] if samples else None)

    def mixture_outputs(self, moments):
        if not self.from_logits:
            return moments[0]
        floor = metrics.PROBABILITY_FLOOR
        yes, no = (tf.math.log(tf.maximum(p, floor)) for p in (moments[0], 1 - moments[0]))
        return yes - no

    def scaled_loss(self, labels, outputs):
        outputs = tf.cast(outputs, tf.float32)
        signs = 1 - 2 * tf.cast(like_outputs(labels, outputs), tf.float32)
        if not self.from_logits:
            floor = metrics.PROBABILITY_FLOOR
            outputs = tf.math.log(tf.maximum(outputs, floor)) - tf.math.log(
                tf.maximum(1 - outputs, floor)
            )
        return scaled_sum(signs * outputs)

    def measures(self, labels, prediction):
        """Returns error [%], NLL [nats per label], Brier score and ECE over all labels."""
        probs = prediction.mean
        labels = np.asarray(labels)
        if labels.shape == probs.shape[:-1] and probs.shape[-1] == 1:
            labels = labels[..., np.newaxis]
        return {
            "error_percent": metrics.binary_error_percent(probs, labels),
            "nll": metrics.binary_negative_log_likelihood(probs, labels),
            "brier": metrics.binary_brier_score(probs, labels),
            "ece": metrics.binary_calibration_error(probs, labels),
        }

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


def _entropy(probs):
    return -tf.math.xlogy(probs, probs) - tf.math.xlog1py(1 - probs, -probs)


def like_outputs(labels, outputs):
    """Returns labels in the shape of the outputs; of a single unit the last axis may be missing.

    Raises:
        ValueError: If they would be broadcast.
    """
    labels = label_tensor(labels)
    single = len(outputs.shape) > 1 and outputs.shape[-1] == 1
    if single and len(labels.shape) == len(outputs.shape) - 1:
        labels = labels[..., tf.newaxis]
    if len(outputs.shape) == 1 and len(labels.shape) == 2 and labels.shape[-1] == 1:
        labels = labels[:, 0]
    sizes = zip(labels.shape, outputs.shape, strict=False)
    fits = all(a is None or b is None or a == b for a, b in sizes)
    if len(labels.shape) != len(outputs.shape) or not fits:
        raise ValueError(
            "Argument `labels` must have the shape of the outputs, (batch, ..., units). "
            f"Received: labels of shape {tuple(labels.shape)}, outputs of shape "
            f"{tuple(outputs.shape)}"
        )
    return labels
