"""Batch normalisation with the statistics of an image, of the batch, or of the past."""

import keras
import tensorflow as tf

from bayes_by_hypernet.checks import check_between, check_choice, check_positive
from bayes_by_hypernet.layers.kinds import image_inputs, real_inputs

# Which mean and variance normalise an image: its own, the batch's in prediction too, or the
# batch's in training and their moving average in prediction.
STATISTICS = ("instance", "batch", "moving")


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class BatchNormalization(keras.layers.Layer):
    """`gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each channel (Ioffe & Szegedy).

    gamma and beta are point estimates. The authors' ResNet normalises each image by itself in
    every method but layer-wise BbH, which always uses the batch's statistics (ruling 10). With
    those a prediction depends on the other images in the batch.

    In training the batch is the global one: replicas of a `tf.distribute` strategy exchange their
    sums, so that their number makes no difference. In prediction each replica uses its own images.

    Args:
        statistics: `"instance"`, `"batch"` or `"moving"`.
        momentum: Number in [0, 1], of the moving average.
        epsilon: Positive number, added to the variance.

    Input and output: `(batch, height, width, channels)`.

    Example:
        >>> layer = bbh.layers.BatchNormalization("instance")
        >>> x = np.random.normal(3.0, 2.0, size=(2, 8, 8, 1))
        >>> np.abs(np.mean(layer(x), axis=(1, 2))).max() < 1e-3
        np.True_
    """

    keeps_points = True  # `posteriors.selection` leaves its parameters points

    def __init__(self, statistics="moving", momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.statistics = check_choice("statistics", statistics, STATISTICS)
        self.momentum = check_between("momentum", momentum, 0, 1, closed=True)
        self.epsilon = check_positive("epsilon", epsilon)

    def build(self, inputs_shape):
        self.input_spec = image_inputs(self.name, inputs_shape)
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
        x = real_inputs(self, x)
        gamma, beta = (keras.ops.cast(v, x.dtype) for v in (self.gamma, self.beta))
        if self.statistics == "moving" and not training:
            mean, variance = (
                keras.ops.cast(v, x.dtype) for v in (self.moving_mean, self.moving_variance)
            )
        else:
            if self.statistics == "instance":
                mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
            else:
                mean, variance = _batch_moments(x, training)
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


def _batch_moments(x, training):
    """Returns each channel's mean and variance, `(1, 1, 1, channels)`: see the layer."""
    axes = [0, 1, 2]
    context = tf.distribute.get_replica_context()  # None: between replicas
    if not training or context is None or context.num_replicas_in_sync == 1:
        return tf.nn.moments(x, axes, keepdims=True)

    def all_sum(values):
        return context.all_reduce(tf.distribute.ReduceOp.SUM, values)

    # Sums of many half-precision numbers would overflow; `tf.nn.moments` does the same.
    precise = tf.cast(x, tf.float64 if x.dtype == tf.float64 else tf.float32)
    count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), precise.dtype)
    total, count = all_sum([tf.reduce_sum(precise, axes, keepdims=True), count])
    mean = total / count
    # About the mean: E(x^2) - mean^2 would lose the digits of a variance that is small beside
    # mean^2. The mean is a constant here, since the derivative by it is zero.
    squares = tf.math.squared_difference(precise, tf.stop_gradient(mean))
    variance = all_sum(tf.reduce_sum(squares, axes, keepdims=True)) / count
    return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)
