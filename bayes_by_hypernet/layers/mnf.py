"""Multiplicative normalising flows: Gaussian weights, their means multiplied by a random z."""

import math

import keras
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.checks import check_integer, check_positive
from bayes_by_hypernet.divergences import gaussian_kl
from bayes_by_hypernet.layers.flows import MaskedRealNVP
from bayes_by_hypernet.layers.kinds import Conv2DMixin, DenseMixin
from bayes_by_hypernet.posteriors.layer import PosteriorLayer
from bayes_by_hypernet.priors import NormalPrior

_LOG_2PI = math.log(2 * math.pi)


class MNFLayer(PosteriorLayer):
    """What the layers of multiplicative normalising flows share; see `DenseMNF`.

    A subclass says how z meets the weights: `_multiplied`, `_outputs_mean` and `_projection`.
    """

    KL_ESTIMATORS = ("auxiliary", None)
    use_bias = True

    def set_posterior(self, prior_stddev, max_stddev, flow_units):
        """Checks and stores what the posterior is, and makes its flows."""
        self.prior_stddev = NormalPrior(prior_stddev).stddev
        self.max_stddev = check_positive("max_stddev", max_stddev)
        self.flow_units = check_integer("flow_units", flow_units, 1)
        # Variances near 1e-8 are beyond half precision: there the layer computes in float32.
        self._parameter_dtype = "float64" if self.variable_dtype == "float64" else "float32"
        self.flow_q, self.flow_r = (
            MaskedRealNVP(hidden_units=units, dtype=self._parameter_dtype, name=name)
            for name, units in (("flow_q", flow_units), ("flow_r", 2 * flow_units))
        )

    def build(self, inputs_shape):
        kernel_shape = self.fix_inputs(inputs_shape)
        num_factors = self._num_factors(kernel_shape)
        normal, constant = keras.initializers.RandomNormal, keras.initializers.Constant
        means = keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")
        bias_shape, z_shape = kernel_shape[-1:], (num_factors,)
        self.kernel_mean = self._add("kernel_mean", kernel_shape, means)
        self.kernel_log_std = self._add("kernel_log_std", kernel_shape, normal(-9.0, 0.05))
        self.bias_mean = self._add("bias_mean", bias_shape, "zeros")
        self.bias_log_variance = self._add("bias_log_variance", bias_shape, normal(-9.0, 0.05))
        # Near 1: a noisy deterministic layer. Near 0 training begins late, see `DenseMNF`.
        self.q0_mean = self._add("q0_mean", z_shape, normal(1.0, 0.05))
        self.q0_log_variance = self._add("q0_log_variance", z_shape, constant(math.log(0.1)))
        self.aux_input_weights, self.aux_mean_weights, self.aux_log_precision_weights = (
            self._add(name, z_shape, normal(0.0, 0.05))
            for name in ("aux_input_weights", "aux_mean_weights", "aux_log_precision_weights")
        )
        for flow in (self.flow_q, self.flow_r):
            flow.build((None, num_factors))

    def _add(self, name, shape, initializer):
        return self.add_weight(
            shape, initializer, name=name, dtype=self._parameter_dtype, autocast=False
        )

    def _stddevs(self):
        return tf.exp(self.kernel_log_std), tf.exp(0.5 * self.bias_log_variance)

    def _drawn_variances(self):
        """Returns the variances that draws have: those of clipped standard deviations."""
        return [tf.square(tf.minimum(stddev, self.max_stddev)) for stddev in self._stddevs()]

    def _factors(self, num_samples, key):
        """Draws z_T ~ q(z): samples `(n, d)` and the log determinants of q's flow `(n,)`."""
        mean = tf.broadcast_to(self.q0_mean, (num_samples, self.q0_mean.shape[0]))  # (n, d)
        z = _normal(mean, tf.exp(self.q0_log_variance), randomness.fold_in(key, "q0"))
        return self.flow_q(z, randomness.fold_in(key, "flow_q"))

    def start_at(self, kernel, bias=None):
        """Sets the means of the built layer's posterior; the prior stays centred at zero."""
        self.kernel_mean.assign(kernel)
        if bias is not None:
            self.bias_mean.assign(bias)

    def kl(self, key):
        """One draw's estimate of the bound of KL(q(W) || p(W)), in nats.

        ```
        E over q(z) and q(W | z) of KL(q(W | z) || p(W)) + log q(z) - log r(z | W)
        log q(z_T)     = log q0(z_0) - log det of flow_q     (of log q0 its mean, -entropy)
        log r(z_T | W) = log N(flow_r(z_T); mean, precision) + log det of flow_r
        mean = b1 * mean(a),  log precision = b2 * mean(a),  a = a projection of W by c
        ```

        with c, b1, b2 the `aux_input_weights`, `aux_mean_weights`, `aux_log_precision_weights`.

        Args:
            key: Stateless seed `(2,)`.

        Returns:
            Scalar tensor, unscaled.
        """
        z, log_det = self._factors(1, randomness.fold_in(key, "z"))
        kernel_mean, bias_mean = self._multiplied(z)  # (1, *kernel_shape), (1, units)
        stddevs = self._stddevs()
        conditional = gaussian_kl(kernel_mean, stddevs[0], self.prior_stddev)
        conditional += gaussian_kl(bias_mean, stddevs[1], self.prior_stddev)

        log_q = -0.5 * tf.reduce_sum(_LOG_2PI + 1.0 + self.q0_log_variance) - log_det[0]

        projection = self._projection(
            kernel_mean[0],
            bias_mean[0],
            *(tf.square(stddev) for stddev in stddevs),
            randomness.fold_in(key, "projection"),
        )
        summary = tf.reduce_mean(projection)
        log_precision = summary * self.aux_log_precision_weights  # (d,)
        z, log_det = self.flow_r(z, randomness.fold_in(key, "flow_r"))
        deviation = z[0] - summary * self.aux_mean_weights  # (d,)
        log_r = log_det[0] + 0.5 * tf.reduce_sum(
            log_precision - _LOG_2PI - tf.exp(log_precision) * tf.square(deviation)
        )
        return conditional + log_q - log_r

    def sample_weights(self, num_samples, key):
        """Returns samples of kernel and bias, `[(n, *kernel_shape), (n, units)]`.

        Args:
            num_samples: Integer n or scalar tensor.
            key: Stateless seed `(2,)`.
        """
        z, _ = self._factors(num_samples, randomness.fold_in(key, "z"))
        names, means = ("kernel", "bias"), self._multiplied(z)
        return [
            _normal(mean, variance, randomness.fold_in(key, name))
            for name, mean, variance in zip(names, means, self._drawn_variances(), strict=True)
        ]

    def estimate(self, inputs, training):
        """Returns the outputs by local reparameterisation, and adds the KL in training."""
        key = self.next_key()
        if training:
            self.add_kl(lambda: self.kl(randomness.fold_in(key, "kl")))
        x = tf.cast(inputs, self._parameter_dtype)
        z, _ = self._factors(tf.shape(x)[0], randomness.fold_in(key, "z"))  # (batch, d)
        z = tf.reshape(z, (-1, *[1] * (len(x.shape) - 2), z.shape[-1]))  # (batch, 1, ..., d)
        # Local reparameterisation: the outputs are drawn, not the weights.
        mean = self._outputs_mean(x, z)
        variance = self.linear(tf.square(x), *self._drawn_variances())
        outputs = _normal(mean, variance, randomness.fold_in(key, "outputs"))
        return self.activation(tf.cast(outputs, self.compute_dtype))

    def get_config(self):
        names = ("prior_stddev", "max_stddev", "flow_units")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class DenseMNF(DenseMixin, MNFLayer):
    """Dense layer whose posterior is a multiplicative normalising flow (Louizos & Welling, 2017).

    "Multiplicative Normalizing Flows for Variational Bayesian Neural Networks", arXiv:1703.01961,
    Sections 2.1 to 2.3. With one factor z for each input, through a flow of masked RealNVP steps,

    ```
    z_0 ~ N(q0_mean, exp(q0_log_variance)),  z = flow_q(z_0)
    kernel[i, j] ~ N(z[i] * kernel_mean[i, j], exp(kernel_log_std[i, j])^2)
    bias[j] ~ N(bias_mean[j], exp(bias_log_variance[j]))
    ```

    Each example of a batch has its own z, and outputs are drawn by local reparameterisation:
    `N((x * z) @ kernel_mean + bias_mean, x^2 @ kernel variance + bias variance)`. Positions of
    inputs of a higher rank share z and draw their noise independently. Calls are random outside
    training, too; those under one held key draw the same for the same place in a batch.

    The KL is one draw of the bound with an auxiliary posterior r(z | W), see `kl`. The authors of
    Bayes by Hypernet lost that of the convolutions, which never entered their loss, and had a prior
    of log variance 1; here it enters, and the prior is `N(0, prior_stddev^2)`, standard normal.

    z starts near 1, which is `kernel_mean` with multiplicative noise. Louizos & Welling's code
    starts it near 0, where most of its entries have either sign at random: LeNet on MNIST then
    stays at chance for its first 200 steps, in which this start gets to 3 % error.

    Args:
        units: Integer, the number of outputs.
        activation: As in `keras.layers.Dense`. There always is a bias.
        prior_stddev: Positive float.
        max_stddev: Positive float, at which the standard deviations of weights are clipped where
            they are drawn; the KL sees them unclipped.
        flow_units: Integer, hidden units of q's flow; r's has twice as many.
        kl_estimator: `"auxiliary"`, or None for no KL.
        num_train_examples: Integer N; needed in training unless `kl_estimator` is None. The layer
            adds `anneal * KL / N` to the loss; see `bbh.callbacks.KLAnnealing`.
        seed: Integer or None. Layers of the same seed draw the same: give each its own.

    Call arguments:
        inputs: `(batch, ..., inputs)`.
        training: Boolean.

    Returns:
        `(batch, ..., units)`.

    Raises:
        ValueError: If an argument is out of range, or in training `num_train_examples` is missing.

    Example:
        >>> layer = bbh.layers.DenseMNF(10, num_train_examples=60000)
        >>> tuple(layer(np.zeros((1, 4))).shape)
        (1, 10)
    """

    def __init__(
        self,
        units,
        activation=None,
        prior_stddev=1.0,
        max_stddev=0.5,
        flow_units=50,
        kl_estimator="auxiliary",
        num_train_examples=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(kl_estimator, num_train_examples, seed, **kwargs)
        self.set_outputs(activation, units)
        self.set_posterior(prior_stddev, max_stddev, flow_units)

    def _num_factors(self, kernel_shape):
        return kernel_shape[0]  # one for each input

    def _multiplied(self, z):
        kernel_mean = z[:, :, tf.newaxis] * self.kernel_mean  # (n, inputs, units)
        return kernel_mean, tf.broadcast_to(self.bias_mean, (tf.shape(z)[0], self.units))

    def _outputs_mean(self, x, z):
        return self.linear(x * z, self.kernel_mean.value, self.bias_mean.value)

    def _projection(self, kernel_mean, bias_mean, kernel_variance, bias_variance, key):
        """Draws a = tanh(c @ kernel), `(units,)`."""
        c = tf.convert_to_tensor(self.aux_input_weights)  # (inputs,)
        mean = tf.tensordot(c, kernel_mean, 1)
        variance = tf.tensordot(tf.square(c), kernel_variance, 1)
        return tf.tanh(_normal(mean, variance, key))


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Conv2DMNF(Conv2DMixin, MNFLayer):
    """2D convolution whose posterior is a multiplicative normalising flow; see `DenseMNF`.

    z has one factor for each filter, which multiplies the means of the filter's kernel and of its
    bias (as in the authors' forward pass and KL). Positions draw their noise independently:
    `N((conv(x, kernel_mean) + bias_mean) * z, conv(x^2, kernel variance) + bias variance)`.

    Args:
        filters: Integer, the number of output channels.
        kernel_size, strides, padding, activation: As in `keras.layers.Conv2D`; channels last.
        prior_stddev, max_stddev, flow_units, kl_estimator, num_train_examples, seed: As in
            `DenseMNF`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.
        training: Boolean.

    Returns:
        `(batch, new_height, new_width, filters)`.

    Raises:
        ValueError: As `DenseMNF`.

    Example:
        >>> layer = bbh.layers.Conv2DMNF(2, 5, num_train_examples=60000)
        >>> tuple(layer(np.zeros((1, 28, 28, 1))).shape)
        (1, 24, 24, 2)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        activation=None,
        prior_stddev=1.0,
        max_stddev=0.5,
        flow_units=50,
        kl_estimator="auxiliary",
        num_train_examples=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(kl_estimator, num_train_examples, seed, **kwargs)
        self.set_outputs(activation, filters, kernel_size, strides, padding)
        self.set_posterior(prior_stddev, max_stddev, flow_units)

    def _num_factors(self, kernel_shape):
        return kernel_shape[-1]  # one for each filter

    def _multiplied(self, z):
        kernel_mean = z[:, tf.newaxis, tf.newaxis, tf.newaxis] * self.kernel_mean
        return kernel_mean, z * self.bias_mean  # (n, *kernel_shape), (n, filters)

    def _outputs_mean(self, x, z):
        return self.linear(x, self.kernel_mean.value, self.bias_mean.value) * z

    def _projection(self, kernel_mean, bias_mean, kernel_variance, bias_variance, key):
        """Draws a = kernel @ c + bias @ c, one bias for all, `(*kernel_size, channels)`."""
        c = tf.convert_to_tensor(self.aux_input_weights)  # (filters,)

        def draw(name, mean, variance):
            mean, variance = tf.tensordot(mean, c, 1), tf.tensordot(variance, tf.square(c), 1)
            return _normal(mean, variance, randomness.fold_in(key, name))

        kernel = draw("kernel", kernel_mean, kernel_variance)
        return kernel + draw("bias", bias_mean, bias_variance)


def _normal(mean, variance, key):
    """Draws from N(mean, variance), in `mean`'s shape."""
    # The square root has no gradient at 0, where a variance has underflowed.
    stddev = tf.sqrt(tf.maximum(variance, 1e-30))
    return mean + stddev * tf.random.stateless_normal(tf.shape(mean), key, dtype=mean.dtype)
