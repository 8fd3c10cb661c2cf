"""Normalising flows: invertible maps that turn a simple density into a richer one."""

import keras
import tensorflow as tf

from bayes_by_hypernet import compat, randomness
from bayes_by_hypernet.checks import check_integer


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class MaskedRealNVP(keras.layers.Layer):
    """RealNVP steps with random masks (Louizos & Welling, 2017, Eq. 9; Dinh et al., 2017).

    Each step keeps the entries of z that its mask picks, and moves the others by them:

    ```
    h = tanh(dense(mask * z)),  shift = dense(h),  g = sigmoid(dense(h))
    z' = mask * z + (1 - mask) * (z * g + (1 - g) * shift)
    log |det dz'/dz| = sum((1 - mask) * log g)
    ```

    Masks are Bernoulli(1/2), drawn for every step, row and key.

    Args:
        num_steps: Integer, at least 1.
        hidden_units: Integer, at least 1, the size of h.

    Call arguments:
        z: `(n, d)`.
        key: Stateless seed `(2,)`, which decides the masks.

    Returns:
        z' `(n, d)` and the log determinant `(n,)`, in nats.

    Raises:
        ValueError: If an argument is less than 1.
    """

    def __init__(self, num_steps=2, hidden_units=50, **kwargs):
        super().__init__(**kwargs)
        self.num_steps = check_integer("num_steps", num_steps, 1)
        self.hidden_units = check_integer("hidden_units", hidden_units, 1)

    def build(self, z_shape, key_shape=None):
        dim = z_shape[-1]
        self.hidden, self.shift, self.scale = [], [], []
        for i in range(self.num_steps):
            self.hidden.append(self._dense(f"hidden_{i}", dim, self.hidden_units, "tanh"))
            self.shift.append(self._dense(f"shift_{i}", self.hidden_units, dim))
            # g = sigmoid(2) = 0.88: a step starts near the identity.
            self.scale.append(self._dense(f"scale_{i}", self.hidden_units, dim, bias=2.0))
        compat.attach(self, {one.name: one for one in [*self.hidden, *self.shift, *self.scale]})
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: dim})

    def _dense(self, name, inputs, units, activation=None, bias=0.0):
        layer = keras.layers.Dense(
            units,
            activation,
            kernel_initializer=keras.initializers.VarianceScaling(
                1.0, "fan_in", "truncated_normal"
            ),
            bias_initializer=keras.initializers.Constant(bias),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, inputs))
        return layer

    def call(self, z, key):
        log_det = tf.zeros(tf.shape(z)[:1], z.dtype)  # (n,)
        for i in range(self.num_steps):
            uniform = tf.random.stateless_uniform(tf.shape(z), randomness.fold_in(key, i))
            mask = tf.cast(uniform < 0.5, z.dtype)  # (n, d)
            hidden = self.hidden[i](mask * z)  # (n, hidden_units)
            shift, scale = self.shift[i](hidden), self.scale[i](hidden)  # (n, d)
            g = tf.sigmoid(scale)
            z = mask * z + (1 - mask) * (z * g + (1 - g) * shift)
            log_det += tf.reduce_sum((1 - mask) * tf.math.log_sigmoid(scale), axis=-1)
        return z, log_det

    def compute_output_shape(self, z_shape, key_shape=None):
        return tuple(z_shape), tuple(z_shape[:1])

    def get_config(self):
        config = {"num_steps": self.num_steps, "hidden_units": self.hidden_units}
        return {**super().get_config(), **config}
