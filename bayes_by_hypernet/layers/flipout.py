"""Bayes by Backprop's layers: TFP's own Flipout and reparameterisation, inside Keras 3 layers.

TFP's layers are Keras 2 layers, in which Keras 3 sees neither weights nor losses. Here the Keras 3
layer owns the variables, and calls a TFP layer that it makes for the purpose and throws away.
"""

import functools
import warnings

import keras
import tensorflow as tf

from bayes_by_hypernet import compat, randomness
from bayes_by_hypernet.checks import check_flag, check_log_variance
from bayes_by_hypernet.divergences import gaussian_kl
from bayes_by_hypernet.layers.kinds import Conv2DMixin, DenseMixin
from bayes_by_hypernet.posteriors.layer import PosteriorLayer
from bayes_by_hypernet.priors import NormalPrior


class _KeyStream:
    """Replaces TFP's `SeedStream`: gives stateless keys, not integers.

    With integers TFP draws Flipout's signs from TensorFlow's stateful generator, which loses its
    state when a run is resumed.
    """

    def __init__(self, seed, salt):
        self._key = randomness.fold_in(seed, salt)
        self._count = 0

    def __call__(self):
        self._count += 1
        return randomness.fold_in(self._key, self._count)


@functools.cache
def _tfp():
    """Returns TensorFlow Probability, imported when a layer first needs it: it takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about its own code
        import tensorflow_probability as tfp

        return tfp


@functools.cache
def _tfp_class(name):
    """Returns TFP's layer class, Flipout's with signs from keys."""
    tfp_layer = getattr(_tfp().layers, name)
    return compat.with_stateless_signs(tfp_layer, _KeyStream) if "Flipout" in name else tfp_layer


class GaussianLayer(PosteriorLayer):
    """What the layers with a factorised Gaussian posterior share; see `DenseFlipout`."""

    KL_ESTIMATORS = ("analytic", None)
    TFP_LAYER: str

    def set_posterior(self, use_bias, prior_stddev, initial_log_variance):
        """Checks and stores what the posterior is."""
        _tfp_class(self.TFP_LAYER)  # here, since an import while a function is traced is traced too
        self.use_bias = check_flag("use_bias", use_bias)
        self.prior_stddev = NormalPrior(prior_stddev).stddev
        self.initial_log_variance = check_log_variance("initial_log_variance", initial_log_variance)

    def build(self, inputs_shape):
        kernel_shape = self.fix_inputs(inputs_shape)
        shapes = {"kernel": kernel_shape}
        if self.use_bias:
            shapes["bias"] = kernel_shape[-1:]
        initializers = {
            "mean": keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal"),
            "log_variance": keras.initializers.RandomNormal(self.initial_log_variance, 0.05),
        }
        # Not cast with the layer's compute dtype: an exponential's argument needs its precision.
        self._parameters = {
            weight: {
                kind: self.add_weight(
                    shape, initializer.clone(), name=f"{weight}_{kind}", autocast=False
                )
                for kind, initializer in initializers.items()
            }
            for weight, shape in shapes.items()
        }
        compat.attach(
            self, {v.name: v for kinds in self._parameters.values() for v in kinds.values()}
        )

    def _posterior(self, weight, dtype=None):
        """Returns the posterior over `"kernel"` or `"bias"`, one event of all its weights."""
        mean = self._parameters[weight]["mean"].value
        stddev = tf.exp(0.5 * self._parameters[weight]["log_variance"].value)
        if dtype:
            mean, stddev = tf.cast(mean, dtype), tf.cast(stddev, dtype)
        tfp = _tfp()
        normal = tfp.distributions.Normal(mean, stddev)
        return tfp.distributions.Independent(normal, len(mean.shape))

    def start_at(self, kernel, bias=None):
        """Sets the means of the built layer's posterior; the prior stays centred at zero."""
        for weight, value in (("kernel", kernel), ("bias", bias)):
            if value is not None:
                self._parameters[weight]["mean"].assign(value)

    def kl(self, key=None):
        """Returns the divergence of the layer's posterior from its prior, analytic, in nats."""
        return tf.add_n(
            [
                gaussian_kl(
                    parameters["mean"].value,
                    tf.exp(0.5 * parameters["log_variance"].value),
                    self.prior_stddev,
                )
                for parameters in self._parameters.values()
            ]
        )

    def sample_weights(self, num_samples, key):
        """Returns samples of kernel and bias, `[(n, *kernel_shape), (n, units)]`."""
        return [
            self._posterior(weight).sample(num_samples, seed=randomness.fold_in(key, weight))
            for weight in self._parameters
        ]

    def _tfp_layer(self, *args, **kwargs):
        """Returns a new layer of TFP's: its distributions must belong to the graph being traced."""
        key = self.next_key()

        def fixed(weight):
            posterior = self._posterior(weight, self.compute_dtype)
            return lambda dtype, shape, name, trainable, add_variable: posterior

        def draw(weight):
            return lambda posterior: posterior.sample(seed=randomness.fold_in(key, weight))

        layer = _tfp_class(self.TFP_LAYER)(
            *args,
            **kwargs,
            kernel_posterior_fn=fixed("kernel"),
            kernel_posterior_tensor_fn=draw("kernel"),
            kernel_prior_fn=None,
            bias_posterior_fn=fixed("bias") if self.use_bias else None,
            bias_posterior_tensor_fn=draw("bias"),
            bias_prior_fn=None,
            dtype=self.compute_dtype,
        )
        layer.seed = key  # its constructor would keep an integer only
        return layer

    def estimate(self, inputs, training):
        """Returns the outputs by TFP's estimator, and adds the KL in training."""
        if training:
            self.add_kl(self.kl)
        layer = self.make_tfp_layer()
        layer.build(inputs.shape)
        return self.activation(layer(inputs))

    def get_config(self):
        names = ("use_bias", "prior_stddev", "initial_log_variance")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class _Dense(DenseMixin, GaussianLayer):
    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        prior_stddev=1.0,
        initial_log_variance=-9.0,
        kl_estimator="analytic",
        num_train_examples=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(kl_estimator, num_train_examples, seed, **kwargs)
        self.set_outputs(activation, units)
        self.set_posterior(use_bias, prior_stddev, initial_log_variance)

    def make_tfp_layer(self):
        return self._tfp_layer(self.units)


class _Conv2D(Conv2DMixin, GaussianLayer):
    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        activation=None,
        use_bias=True,
        prior_stddev=1.0,
        initial_log_variance=-9.0,
        kl_estimator="analytic",
        num_train_examples=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(kl_estimator, num_train_examples, seed, **kwargs)
        self.set_outputs(activation, filters, kernel_size, strides, padding)
        self.set_posterior(use_bias, prior_stddev, initial_log_variance)

    def make_tfp_layer(self):
        return self._tfp_layer(self.filters, self.kernel_size, self.strides, self.padding)


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class DenseFlipout(_Dense):
    """Dense layer with a Gaussian posterior over kernel and bias, by TFP's `DenseFlipout`.

    Bayes by Backprop (Blundell et al., 2015; Table 3's 'BbB'): every weight is
    `N(mean, exp(log_variance))`, the prior `N(0, prior_stddev^2)`, the KL analytic. Flipout (Wen
    et al., 2018) decorrelates the perturbation of the kernel between the examples of a batch by
    random signs; the bias is drawn once a batch. Calls are random outside training, too: average
    them with `bbh.predict`.

    Args:
        units: Integer, the number of outputs.
        activation, use_bias: As in `keras.layers.Dense`.
        prior_stddev: Positive float.
        initial_log_variance: Log variances start at `N(initial_log_variance, 0.05^2)`.
        kl_estimator: `"analytic"`, or None for no KL.
        num_train_examples: Integer N; needed in training unless `kl_estimator` is None. The layer
            adds `anneal * KL / N` to the loss; see `bbh.callbacks.KLAnnealing`.
        seed: Integer or None.

    Call arguments:
        inputs: `(batch, ..., inputs)`.
        training: Boolean.

    Returns:
        `(batch, ..., units)`.

    Raises:
        ValueError: If an argument is out of range, or in training `num_train_examples` is missing.

    Example:
        >>> layer = bbh.layers.DenseFlipout(10, num_train_examples=60000)
        >>> tuple(layer(np.zeros((1, 4))).shape)
        (1, 10)
    """

    TFP_LAYER = "DenseFlipout"


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class DenseReparameterization(_Dense):
    """`DenseFlipout` by TFP's `DenseReparameterization`: one weight sample for the whole batch.

    This is what the paper's authors ran. Arguments, inputs and outputs are `DenseFlipout`'s.

    Example:
        >>> layer = bbh.layers.DenseReparameterization(10, num_train_examples=60000)
        >>> tuple(layer(np.zeros((1, 4))).shape)
        (1, 10)
    """

    TFP_LAYER = "DenseReparameterization"


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Conv2DFlipout(_Conv2D):
    """2D convolution with a Gaussian posterior, by TFP's `Convolution2DFlipout`.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or pair.
        strides: Integer or pair.
        padding: `"valid"` or `"same"`.
        activation: As in Keras.
        use_bias, prior_stddev, initial_log_variance, kl_estimator, num_train_examples, seed: As in
            `DenseFlipout`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.
        training: Boolean.

    Returns:
        `(batch, new_height, new_width, filters)`.

    Raises:
        ValueError: As `DenseFlipout`.

    Example:
        >>> layer = bbh.layers.Conv2DFlipout(2, 5, num_train_examples=60000)
        >>> tuple(layer(np.zeros((1, 28, 28, 1))).shape)
        (1, 24, 24, 2)
    """

    TFP_LAYER = "Convolution2DFlipout"


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Conv2DReparameterization(_Conv2D):
    """`Conv2DFlipout` by TFP's `Convolution2DReparameterization`: one weight sample a batch.

    Example:
        >>> layer = bbh.layers.Conv2DReparameterization(2, 5, num_train_examples=60000)
        >>> tuple(layer(np.zeros((1, 28, 28, 1))).shape)
        (1, 24, 24, 2)
    """

    TFP_LAYER = "Convolution2DReparameterization"
