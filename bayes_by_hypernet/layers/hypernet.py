"""Drop-in layers whose kernel and bias are samples from hypernetworks, w = G(z)."""

import keras
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.divergences import kernel_kl_to_prior
from bayes_by_hypernet.hypernetworks import HIDDEN_UNITS, HypernetworkKernel, check_hidden_units
from bayes_by_hypernet.kernels import library
from bayes_by_hypernet.layers.kinds import Conv2DKind, DenseKind
from bayes_by_hypernet.layers.variational import VariationalLayer
from bayes_by_hypernet.noise import AuxiliaryNoise
from bayes_by_hypernet.priors import NormalPrior


class HypernetLayer(VariationalLayer):
    """What the hypernet layers share: noise, hypernetworks, the KL; see `DenseHypernet`."""

    KL_ESTIMATORS = ("independent", "full", None)

    def __init__(
        self,
        activation=None,
        use_bias=True,
        noise_dim=1,
        num_samples=5,
        hidden_units=HIDDEN_UNITS,
        num_slices=1,
        kl_estimator="independent",
        prior=None,
        num_likelihood_samples=1,
        num_train_examples=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(kl_estimator, num_train_examples, **kwargs)
        _check_sampling(kl_estimator, noise_dim, num_samples, num_likelihood_samples)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.noise_dim = noise_dim
        self.num_samples = num_samples
        self.hidden_units = check_hidden_units(hidden_units)
        self.num_slices = num_slices
        self.prior = NormalPrior() if prior is None else prior
        self.num_likelihood_samples = num_likelihood_samples
        self.seed = seed
        self.kernel_noise = self._make_noise("kernel_noise", seed)
        self.bias_noise = None
        if use_bias:
            # Any other seed will do, as long as it follows from the first.
            bias_seed = None if seed is None else (seed ^ 0x5DEECE66) & 0x7FFFFFFF
            self.bias_noise = self._make_noise("bias_noise", bias_seed)
        self.prior_seed_generator = keras.random.SeedGenerator(seed)
        # Left to itself the KL avoids the C++ operation inside XLA; insisted on, XLA is avoided:
        # Keras asks this where `compile` may choose `jit_compile` itself.
        forced = kl_estimator == "independent" and library.choice() == "custom_op"
        self.supports_jit = not forced

    def _make_noise(self, name, seed):
        return AuxiliaryNoise(
            self.noise_dim, self.num_samples, seed, dtype=self.dtype_policy, name=name
        )

    def _make_hypernetwork(self, name, shape, num_slices):
        return HypernetworkKernel(
            shape, self.hidden_units, num_slices, dtype=self.dtype_policy, name=name
        )

    def build(self, inputs_shape, noise_shape=None):
        self._build_weights(self.fix_inputs(inputs_shape), noise_shape)

    def _build_weights(self, kernel_shape, noise_shape):
        """Makes the hypernetworks of a kernel and, with `use_bias`, of its bias (unsliced)."""
        dim = self.noise_dim if noise_shape is None else noise_shape[-1]
        self.kernel_hypernetwork = self._make_hypernetwork("kernel", kernel_shape, self.num_slices)
        self.kernel_hypernetwork.build((None, dim))
        self.bias_hypernetwork = None
        if self.use_bias:
            self.bias_hypernetwork = self._make_hypernetwork("bias", kernel_shape[-1:], 1)
            self.bias_hypernetwork.build((None, dim))

    def sample_weights(self, noise=None, num_samples=None):
        """Returns samples of kernel and bias, `[(n, *kernel_shape), (n, units)]`.

        Args:
            noise: z `(n, d)` for kernel and bias, or None: each draws its own.
            num_samples: How many to draw where `noise` is None; default: the constructor's.
        """
        weights = []
        for source, hypernetwork in (
            (self.kernel_noise, self.kernel_hypernetwork),
            (self.bias_noise, self.bias_hypernetwork),
        ):
            if hypernetwork is not None:
                z = source(num_samples=num_samples) if noise is None else noise
                weights.append(hypernetwork(z))
        return weights

    def forward(self, inputs, *weights):
        """Returns the outputs with one sample of the weights."""
        return self.activation(self.linear(inputs, *weights))

    def call(self, inputs, noise=None, training=None):
        if not training:
            weights = self.sample_weights(None if noise is None else noise[:1], num_samples=1)
            return self.forward(inputs, *(w[0] for w in weights))
        weights = self.sample_weights(noise)
        self.add_kl(self._kl, weights)
        count = self.num_likelihood_samples
        if count == 1:
            return self.forward(inputs, *(w[0] for w in weights))
        # Sample i predicts the i-th part of the batch: in expectation the mean over the samples
        # of the log-likelihood, at the cost of one.
        batch = tf.shape(inputs)[0]
        parts = []
        for i in range(count):
            first, last = i * batch // count, (i + 1) * batch // count
            # TensorFlow's fused convolutions give empty batches a wrong shape: a part without
            # examples is computed on one and cut off.
            part = inputs[first : tf.maximum(last, first + 1)]
            parts.append(self.forward(part, *(w[i] for w in weights))[: last - first])
        return tf.concat(parts, axis=0)

    def _kl(self, weights):
        key = randomness.next_key(self.prior_seed_generator)
        return kernel_kl_to_prior(weights, self.prior, key, self.kl_estimator)

    def get_config(self):
        config = {
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "noise_dim": self.noise_dim,
            "num_samples": self.num_samples,
            "hidden_units": self.hidden_units,
            "num_slices": self.num_slices,
            "prior": keras.saving.serialize_keras_object(self.prior),
            "num_likelihood_samples": self.num_likelihood_samples,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        prior = keras.saving.deserialize_keras_object(config["prior"])
        return cls(**{**config, "prior": prior})


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class DenseHypernet(DenseKind, HypernetLayer):
    """Dense layer whose kernel and bias are samples from hypernetworks (paper, Section 2).

    In training every call draws `num_samples` samples of z and so of the weights. All enter the
    kernel KL of Eq. 2, with as many fresh prior samples; the first one computes the outputs. The
    layer adds `anneal * KL / num_train_examples`, in nats, to the loss; `anneal` is 1 unless
    `bbh.callbacks.KLAnnealing` sets it. Outside training one fresh weight sample is used, so
    predictions vary from call to call: average them with `bbh.predict`.

    Args:
        units: Integer, the number of outputs.
        activation, use_bias: As in `keras.layers.Dense`.
        noise_dim: Integer, dimension d of z where the layer draws its own.
        num_samples: Integer, at least 2 for a KL, the number n of weight samples.
        hidden_units: Hidden units of the hypernetworks.
        num_slices: Integer that divides `units`; more than 1: the sliced hypernetwork of Table 1
            for the kernel (the bias stays unsliced).
        kl_estimator: `"independent"`, `"full"` (joint over this layer's own weights), or None for
            no KL.
        prior: Callable `(shape, seed) -> samples`; None: standard normal.
        num_likelihood_samples: How many of the samples the batch is divided among.
        num_train_examples: Integer N; needed in training unless `kl_estimator` is None.
        seed: Integer or None. Layers of the same seed draw the same z: give each its own.

    Call arguments:
        inputs: `(batch, ..., inputs)`.
        noise: z `(n, d)` for kernel and bias (shared noise), or None: a draw each. Outside
            training row 0 is used.
        training: Boolean. As for Keras's dropout, a subclassed model must take `training` in its
            `call`, or `fit` calls its layers as outside training: without the KL.

    Returns:
        `(batch, ..., units)`.
    """

    def __init__(self, units, activation=None, **kwargs):
        super().__init__(units, activation, **kwargs)
        _check_divides(self.num_slices, units, "units")


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Conv2DHypernet(Conv2DKind, HypernetLayer):
    """2D convolution whose kernel and bias are samples from hypernetworks.

    Args:
        filters: Integer, the number of output channels; `num_slices` must divide it.
        kernel_size, strides, padding, activation: As in `keras.layers.Conv2D`; channels last.
        **kwargs: As in `DenseHypernet`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.
        noise, training: As in `DenseHypernet`.

    Returns:
        `(batch, new_height, new_width, filters)`.
    """

    def __init__(self, filters, kernel_size, strides=1, padding="valid", activation=None, **kwargs):
        super().__init__(filters, kernel_size, strides, padding, activation, **kwargs)
        _check_divides(self.num_slices, filters, "filters")


def _check_sampling(kl_estimator, noise_dim, num_samples, num_likelihood_samples):
    if noise_dim < 1:
        raise ValueError(
            f"Argument `noise_dim` must be at least 1. Received: noise_dim={noise_dim}"
        )
    if num_samples < 1:
        raise ValueError(
            f"Argument `num_samples` must be at least 1. Received: num_samples={num_samples}"
        )
    if kl_estimator is not None and num_samples < 2:
        raise ValueError(
            "Argument `num_samples` must be at least 2, since Eq. 2 compares each sample with its "
            f"nearest other. Received: num_samples={num_samples}"
        )
    if not 1 <= num_likelihood_samples <= num_samples:
        raise ValueError(
            "Argument `num_likelihood_samples` must be between 1 and `num_samples`="
            f"{num_samples}. Received: num_likelihood_samples={num_likelihood_samples}"
        )


def _check_divides(num_slices, size, name):
    if num_slices < 1 or size % num_slices:
        raise ValueError(
            f"Argument `num_slices` must be at least 1 and divide `{name}`={size}. "
            f"Received: num_slices={num_slices}"
        )
