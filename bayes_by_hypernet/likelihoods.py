"""How labels are distributed given a network's outputs, p(y | x, w): what training needs of it."""

import dataclasses
import math

import tensorflow as tf


class Categorical:
    """Classes; the network's outputs are logits."""

    def negative_log_likelihood(self, labels, outputs):
        """Returns `-log p(y | x, w)` of each example.

        Args:
            labels: Integers `(batch,)`.
            outputs: Logits `(k, batch, classes)` under k samples of w, or `(batch, classes)`.

        Returns:
            Tensor `(k, batch)` or `(batch,)`, nats.
        """
        labels = tf.broadcast_to(labels, tf.shape(outputs)[:-1])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs)

    def correct(self, labels, outputs):
        """Returns 1 for the examples that the mean prediction gets right and 0 for the others.

        Args:
            labels: Integers `(batch,)`.
            outputs: Logits `(k, batch, classes)`.

        Returns:
            Tensor `(batch,)`, float32.
        """
        mean = tf.reduce_mean(tf.nn.softmax(outputs), axis=0)  # (batch, classes)
        return tf.cast(tf.argmax(mean, axis=-1) == labels, tf.float32)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """A regression with noise of a known size; the network's outputs are the labels' means.

    ```
    -log p(y | x, w) = sum over outputs of ((y - f(x, w)) / stddev)^2 / 2 + log(stddev sqrt(2 pi))
    ```

    Attributes:
        stddev: Standard deviation of the noise, in units of the labels.
    """

    stddev: float

    def negative_log_likelihood(self, labels, outputs):
        """Returns `-log p(y | x, w)` of each example, constants included.

        Args:
            labels: `(batch, outputs)`.
            outputs: Means `(k, batch, outputs)` under k samples of w, or `(batch, outputs)`.

        Returns:
            Tensor `(k, batch)` or `(batch,)`, nats.

        Raises:
            ValueError: If the labels have another shape, which would be broadcast.
        """
        num_outputs = outputs.shape[-1]
        if len(labels.shape) != 2 or labels.shape[-1] != num_outputs:
            raise ValueError(
                f"Argument `labels` must have the shape (batch, {num_outputs}), as the network has "
                f"outputs. Received: shape {tuple(labels.shape)}"
            )
        errors = (tf.cast(labels, outputs.dtype) - outputs) / self.stddev
        constant = math.log(self.stddev * math.sqrt(2 * math.pi))
        return tf.reduce_sum(errors**2 / 2 + constant, axis=-1)

    def correct(self, labels, outputs):
        """Returns zeros `(batch,)`: no prediction of a density is right or wrong."""
        return tf.zeros(tf.shape(outputs)[-2:-1])
