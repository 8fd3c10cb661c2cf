"""Dense layers and convolutions with estimators of their own: what does not depend on which.

Each is mixed into a layer that has the weights: `class DenseX(DenseMixin, XLayer)`.
"""

import keras
import tensorflow as tf
from keras import ops

from bayes_by_hypernet import draws
from bayes_by_hypernet.checks import check_choice, check_integer, positive_integers, refusal


def normalise_pair(value, name):
    """Returns `value`, an integer or a pair, as a pair of positive integers."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    checked = positive_integers(pair)
    if len(checked) != 2:
        raise refusal(name, "a positive integer or a pair of them", value)
    return checked


def dense_inputs(name, shape):
    """Returns the `InputSpec` of the inputs of a dense layer called `name`; checks their shape."""
    if len(shape) < 2 or shape[-1] is None:
        raise ValueError(
            f"Layer {name!r} needs inputs (batch, ..., inputs) with a known last axis. "
            f"Received: shape {tuple(shape)}"
        )
    return keras.layers.InputSpec(min_ndim=2, axes={-1: shape[-1]})


def image_inputs(name, shape, channels_axis=-1):
    """Returns the `InputSpec` of the images that a convolution takes; checks their shape."""
    if len(shape) != 4 or shape[channels_axis] is None:
        axes = "height, width, channels" if channels_axis == -1 else "channels, height, width"
        raise ValueError(
            f"Layer {name!r} needs inputs (batch, {axes}) with known channels. "
            f"Received: shape {tuple(shape)}"
        )
    return keras.layers.InputSpec(ndim=4, axes={channels_axis: shape[channels_axis]})


def real_inputs(layer, inputs):
    """Returns the inputs of a layer, numbers of any type, as a dense tensor of its dtype."""
    kind = keras.backend.standardize_dtype(inputs.dtype) if hasattr(inputs, "dtype") else None
    is_dense = not isinstance(inputs, (tf.SparseTensor, tf.RaggedTensor))
    if kind is None or kind in ("string", "object") or "complex" in kind or not is_dense:
        allowed = f"a dense tensor of real numbers, as layer {layer.name!r} takes"
        raise refusal("inputs", allowed, inputs)
    return keras.ops.cast(inputs, layer.compute_dtype)


def get_activation(activation):
    """Returns an activation function by name; ValueError where there is none."""
    try:
        return keras.activations.get(activation)
    except (TypeError, ValueError):
        allowed = "None, a function or the name of one in keras.activations"
        raise refusal("activation", allowed, activation) from None


class GivenWeightsMixin:
    """Computes with the weights that a forward pass gives the layer, where it gives some.

    A layer's constructor calls `set_outputs` of its kind after `super().__init__`.
    """

    def call(self, inputs, training=None):
        inputs = real_inputs(self, inputs)
        given = draws.current().given(self)
        if given is not None:
            return self.activation(self.linear(inputs, *given))
        return self.estimate(inputs, training)

    @property
    def weight_names(self):
        names = ["kernel", "bias"] if self.use_bias else ["kernel"]
        return [f"{self.name}/{name}" for name in names]

    @property
    def weight_shapes(self):
        shapes = [self.kernel_shape, self.kernel_shape[-1:]]
        return shapes if self.use_bias else shapes[:1]

    def get_config(self):
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}


class DenseMixin(GivenWeightsMixin):
    """`(batch, ..., inputs)` to `(batch, ..., units)`."""

    def set_outputs(self, activation, units):
        """Checks and stores what the outputs are."""
        self.activation = get_activation(activation)
        self.units = check_integer("units", units, 1)
        self.supports_masking = True

    def linear(self, inputs, kernel, bias=None):
        """Returns `inputs @ kernel + bias`."""
        outputs = ops.matmul(inputs, ops.cast(kernel, inputs.dtype))
        return outputs if bias is None else ops.add(outputs, ops.cast(bias, outputs.dtype))

    def fix_inputs(self, inputs_shape):
        """Checks the shape of the inputs, holds the layer to it, keeps the kernel's shape."""
        self.input_spec = dense_inputs(self.name, inputs_shape)
        self.kernel_shape = (inputs_shape[-1], self.units)
        return self.kernel_shape

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Conv2DMixin(GivenWeightsMixin):
    """`(batch, height, width, channels)` to `(batch, new_height, new_width, filters)`."""

    def set_outputs(self, activation, filters, kernel_size, strides, padding):
        """Checks and stores what the outputs are."""
        self.activation = get_activation(activation)
        self.filters = check_integer("filters", filters, 1)
        self.kernel_size = normalise_pair(kernel_size, "kernel_size")
        self.strides = normalise_pair(strides, "strides")
        self.padding = check_choice("padding", padding, ("valid", "same"))
        if keras.config.image_data_format() != "channels_last":
            raise ValueError(
                f"{type(self).__name__} takes images with channels last; for channels first wrap "
                "Keras's layer, Hypernet(keras.layers.Conv2D(...)) or MeanField(...). Received: "
                f"keras.config.image_data_format()={keras.config.image_data_format()!r}"
            )

    def linear(self, inputs, kernel, bias=None):
        """Returns the convolution of `inputs` with `kernel`, plus `bias`."""
        kernel = ops.cast(kernel, inputs.dtype)
        outputs = ops.conv(inputs, kernel, self.strides, self.padding, data_format="channels_last")
        return outputs if bias is None else ops.add(outputs, ops.cast(bias, outputs.dtype))

    def fix_inputs(self, inputs_shape):
        """Checks the shape of the inputs, holds the layer to it, keeps the kernel's shape."""
        self.input_spec = image_inputs(self.name, inputs_shape)
        self.kernel_shape = (*self.kernel_size, inputs_shape[-1], self.filters)
        return self.kernel_shape

    def compute_output_shape(self, inputs_shape):
        shape_of = keras.layers.Conv2D(
            self.filters, self.kernel_size, self.strides, self.padding, name="shape_of"
        )
        return shape_of.compute_output_shape(inputs_shape)

    def get_config(self):
        names = ("filters", "kernel_size", "strides", "padding")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
