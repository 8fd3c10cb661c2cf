"""Thin forms of `Hypernet`: a dense layer and a 2D convolution with weights from hypernetworks."""

import keras

from bayes_by_hypernet import draws
from bayes_by_hypernet.checks import check_choice, check_flag, check_integer, refusal
from bayes_by_hypernet.hypernetworks import HIDDEN_UNITS, check_noise
from bayes_by_hypernet.layers.hypernet import Hypernet
from bayes_by_hypernet.layers.kinds import (
    dense_inputs,
    get_activation,
    image_inputs,
    normalise_pair,
    real_inputs,
)


class _ThinHypernet(Hypernet):
    """A `Hypernet` that makes the layer it wraps, and may be given z at a call.

    `OUTER` names what the constructor shares with `Hypernet`; all else is the wrapped layer's.
    """

    OUTER = (
        "noise_dim",
        "num_samples",
        "hidden_units",
        "num_slices",
        "kl_estimator",
        "prior",
        "num_likelihood_samples",
        "num_train_examples",
        "max_parameters",
        "seed",
    )
    INNER: tuple

    def __init__(self, layer, outputs, num_slices, **kwargs):
        num_slices = check_integer("num_slices", num_slices, 1)
        if outputs % num_slices:
            raise ValueError(
                f"Argument `num_slices` must divide the number of outputs, {outputs}. "
                f"Received: num_slices={num_slices}"
            )
        super().__init__(
            layer,
            architecture="sliced" if num_slices > 1 else "layerwise",
            num_slices=num_slices,
            **kwargs,
        )
        self.activation = layer.activation

    def make_input_spec(self, inputs_shape):
        """Returns the `InputSpec` of such inputs, or says what is wrong with them."""
        raise NotImplementedError

    def build_layer(self, inputs, noise=None, **kwargs):
        self.make_input_spec(inputs.shape)
        super().build_layer(inputs, **kwargs)

    def build(self, inputs_shape, noise_shape=None):
        self.input_spec = self.make_input_spec(inputs_shape)
        if noise_shape is not None:
            self.noise_dim = noise_shape[-1]
        super().build(inputs_shape)

    def call(self, inputs, noise=None, training=None):
        inputs = real_inputs(self, inputs)
        if noise is None or draws.current().given(self) is not None:
            return super().call(inputs, training=training)
        samples = self._draw_from(noise, training)
        return self.compute(samples, inputs, training=training)

    def _draw_from(self, noise, training):
        """Returns the weights of z `(n, d)`, given for kernel and bias, and adds their KL."""
        noise = check_noise("noise", noise, self.compute_dtype)
        noise = noise if training else noise[:1]
        samples = self.posterior.generate([noise] * len(self.posterior.hypernetworks))
        if training:
            self.add_kl(lambda: self.posterior.kl(samples, self.next_key()))
        return samples

    def compute_output_spec(self, inputs, noise=None, training=None):
        return super().compute_output_spec(inputs)

    def compute_output_shape(self, inputs_shape, noise_shape=None):
        return self.layer.compute_output_shape(inputs_shape)

    def get_config(self):
        config = super().get_config()
        inner = self.layer.get_config()
        kept = {name: config[name] for name in (*self.OUTER, "name", "trainable", "dtype")}
        return {**{name: inner[name] for name in self.INNER}, **kept}


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class DenseHypernet(_ThinHypernet):
    """Dense layer whose kernel and bias are samples from hypernetworks (paper, Section 2).

    `Hypernet(keras.layers.Dense(units, activation))`, see `Hypernet`, which may also be given z.

    Args:
        units, activation, use_bias: As in `keras.layers.Dense`.
        noise_dim: Integer, dimension d of z where the layer draws its own.
        num_samples: Integer, at least 2 for a KL, the number n of weight samples.
        hidden_units: Hidden units of the hypernetworks.
        num_slices: Integer that divides `units`; more than 1: the sliced hypernetwork of Table 1
            for the kernel (the bias stays unsliced).
        kl_estimator: `"independent"`, `"full"` (joint over this layer's own weights), `"entropy"`,
            or None for no KL.
        prior: As in `Hypernet`.
        num_likelihood_samples: How many of the samples the batch is divided among.
        num_train_examples: Integer N; needed in training unless `kl_estimator` is None.
        max_parameters: As in `Hypernet`.
        seed: Integer or None. Layers of the same seed draw the same z: give each its own.

    Call arguments:
        inputs: `(batch, ..., inputs)`.
        noise: z `(n, d)` for kernel and bias (shared noise), or None: a draw each. Outside
            training row 0 is used.
        training: Boolean.

    Returns:
        `(batch, ..., units)`.

    Raises:
        ValueError: If an argument is not allowed, or in training `num_train_examples` is missing.

    Example:
        >>> x = keras.Input((4,))
        >>> z = bbh.AuxiliaryNoise()(x)
        >>> layer = bbh.layers.DenseHypernet(10, hidden_units=(8, 16), num_train_examples=60000)
        >>> tuple(layer(x, noise=z).shape)
        (None, 10)
    """

    INNER = ("units", "activation", "use_bias")

    def __init__(
        self,
        units,
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
        max_parameters=None,
        seed=None,
        dtype=None,
        **kwargs,
    ):
        units = check_integer("units", units, 1)
        super().__init__(
            keras.layers.Dense(
                units,
                get_activation(activation),
                check_flag("use_bias", use_bias),
                dtype=dtype,
                name="dense",
            ),
            units,
            num_slices,
            noise_dim=noise_dim,
            num_samples=num_samples,
            hidden_units=hidden_units,
            kl_estimator=kl_estimator,
            prior=prior,
            num_likelihood_samples=num_likelihood_samples,
            num_train_examples=num_train_examples,
            max_parameters=max_parameters,
            seed=seed,
            **kwargs,
        )
        self.units, self.use_bias = units, use_bias

    def make_input_spec(self, inputs_shape):
        return dense_inputs(self.name, inputs_shape)


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Conv2DHypernet(_ThinHypernet):
    """2D convolution whose kernel and bias are samples from hypernetworks.

    `Hypernet(keras.layers.Conv2D(filters, kernel_size, ...))`, which may also be given z.

    Args:
        filters, kernel_size, strides, padding, activation, use_bias, data_format, dilation_rate,
            groups: As in `keras.layers.Conv2D`; `num_slices` must divide `filters`.
        noise_dim, num_samples, hidden_units, num_slices, kl_estimator, prior,
            num_likelihood_samples, num_train_examples, max_parameters, seed: As in
            `DenseHypernet`.

    Call arguments:
        inputs: Images, `(batch, height, width, channels)` unless `data_format` says otherwise.
        noise, training: As in `DenseHypernet`.

    Returns:
        `(batch, new_height, new_width, filters)`, in the format of the inputs.

    Raises:
        ValueError: As `DenseHypernet`.

    Example:
        >>> layer = bbh.layers.Conv2DHypernet(2, 5, hidden_units=(8, 16), num_train_examples=60000)
        >>> tuple(layer(np.zeros((1, 28, 28, 1))).shape)
        (1, 24, 24, 2)
    """

    INNER = (
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "data_format",
        "dilation_rate",
        "groups",
        "activation",
        "use_bias",
    )

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        activation=None,
        use_bias=True,
        data_format=None,
        dilation_rate=1,
        groups=1,
        noise_dim=1,
        num_samples=5,
        hidden_units=HIDDEN_UNITS,
        num_slices=1,
        kl_estimator="independent",
        prior=None,
        num_likelihood_samples=1,
        num_train_examples=None,
        max_parameters=None,
        seed=None,
        dtype=None,
        **kwargs,
    ):
        filters = check_integer("filters", filters, 1)
        groups = check_integer("groups", groups, 1)
        if filters % groups:
            raise refusal("groups", f"a divisor of `filters`={filters}", groups)
        layer = keras.layers.Conv2D(
            filters,
            normalise_pair(kernel_size, "kernel_size"),
            normalise_pair(strides, "strides"),
            check_choice("padding", padding, ("valid", "same")),
            check_choice("data_format", data_format, (None, "channels_last", "channels_first")),
            normalise_pair(dilation_rate, "dilation_rate"),
            groups,
            get_activation(activation),
            check_flag("use_bias", use_bias),
            dtype=dtype,
            name="conv2d",
        )
        super().__init__(
            layer,
            filters,
            num_slices,
            noise_dim=noise_dim,
            num_samples=num_samples,
            hidden_units=hidden_units,
            kl_estimator=kl_estimator,
            prior=prior,
            num_likelihood_samples=num_likelihood_samples,
            num_train_examples=num_train_examples,
            max_parameters=max_parameters,
            seed=seed,
            **kwargs,
        )
        self.filters, self.kernel_size = filters, layer.kernel_size
        self.strides, self.padding = layer.strides, padding

    def make_input_spec(self, inputs_shape):
        channels_axis = -1 if self.layer.data_format == "channels_last" else 1
        return image_inputs(self.name, inputs_shape, channels_axis)
