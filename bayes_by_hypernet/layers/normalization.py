"""Batch normalisation with the statistics of an image, of the batch, or of the past."""

import keras
import tensorflow as tf

# Whose mean and variance normalise an image: its own, the batch's in prediction too, or the
# batch's in training and their moving average in prediction.
STATISTICS = ("instance", "batch", "moving")


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class BatchNormalization(keras.layers.Layer):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each channel (Ioffe & Szegedy).

    gamma and beta are point estimates. The authors' ResNet normalises each image by itself in
    every method but layer-wise BbH, which always uses the batch's statistics (ruling 10); under
    those an answer depends on the images that it is asked with.

    Args:
        statistics: `"instance"`, `"batch"` or `"moving"`.
        momentum: Of the moving average.
        epsilon: Added to the variance.

    Input and output: `(batch, height, width, channels)`.
    """

    keeps_points = True  # `posteriors.selection` leaves its parameters points

    def __init__(self, statistics="moving", momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        if statistics not in STATISTICS:
            raise ValueError(
                f"Argument `statistics` must be one of {STATISTICS}. "
                f"Received: statistics={statistics!r}"
            )
        self.statistics = statistics
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, inputs_shape):
        channels = inputs_shape[-1:]
        self.gamma = self.add_weight(name="gamma", shape=channels, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=channels, initializer="zeros")
        if self.statistics == "moving":
            self.moving_mean = self._add_moving("moving_mean", "zeros")
            self.moving_variance = self._add_moving("moving_variance", "ones")

    def _add_moving(self, name, initializer):
        # Replicas assign their own, which are averaged where they are read; `add_weight` has none.
        return keras.Variable(
            keras.initializers.get(initializer),
            self.gamma.shape,
            self.variable_dtype,
            trainable=False,
            autocast=False,
            aggregation="mean",
            synchronization="on_read",
            name=name,
        )

    def call(self, x, training=None):
        gamma, beta = (keras.ops.cast(v, x.dtype) for v in (self.gamma, self.beta))
        if self.statistics == "moving" and not training:
            mean, variance = (
                keras.ops.cast(v, x.dtype) for v in (self.moving_mean, self.moving_variance)
            )
        else:
            axes = [1, 2] if self.statistics == "instance" else [0, 1, 2]
            mean, variance = tf.nn.moments(x, axes, keepdims=True)
            if self.statistics == "moving":
                self._move(self.moving_mean, mean)
                self._move(self.moving_variance, variance)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)

    def _move(self, moving, value):
        value = tf.cast(tf.reshape(value, moving.shape), moving.dtype)
        moving.assign(self.momentum * moving.value + (1 - self.momentum) * value)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        config = {name: getattr(self, name) for name in ("statistics", "momentum", "epsilon")}
        return {**super().get_config(), **config}
