"""Dense layers and convolutions: what is the same wherever their weights come from.

Each is mixed into a layer that has the weights: `class DenseX(DenseKind, XLayer)`.
"""

import keras

from bayes_by_hypernet.layers.given_weights import (
    Conv2DGivenWeights,
    DenseGivenWeights,
    normalise_pair,
)


class DenseKind:
    """`(batch, ..., inputs)` to `(batch, ..., units)`.

    Attributes:
        linear: Computes outputs, without the activation, from given weights.
    """

    def __init__(self, units, activation=None, **kwargs):
        super().__init__(activation=activation, **kwargs)
        check_count("units", units)
        self.units = units
        self.linear = DenseGivenWeights(dtype=self.linear_dtype, name="linear")

    def fix_inputs(self, inputs_shape):
        """Checks the shape of the inputs, holds the layer to it, returns the kernel's shape."""
        if len(inputs_shape) < 2 or inputs_shape[-1] is None:
            raise ValueError(
                f"Layer {self.name!r} needs inputs (batch, ..., inputs) with a known last axis. "
                f"Received: shape {tuple(inputs_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: inputs_shape[-1]})
        return (inputs_shape[-1], self.units)

    def compute_output_shape(self, inputs_shape, **other_shapes):
        return (*inputs_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Conv2DKind:
    """`(batch, height, width, channels)` to `(batch, new_height, new_width, filters)`.

    Attributes:
        linear: Computes outputs, without the activation, from given weights.
    """

    def __init__(self, filters, kernel_size, strides=1, padding="valid", activation=None, **kwargs):
        super().__init__(activation=activation, **kwargs)
        check_count("filters", filters)
        self.filters = filters
        self.kernel_size = normalise_pair(kernel_size, "kernel_size")
        self.linear = Conv2DGivenWeights(strides, padding, dtype=self.linear_dtype, name="linear")
        self.strides = self.linear.strides
        self.padding = padding

    def fix_inputs(self, inputs_shape):
        """Checks the shape of the inputs, holds the layer to it, returns the kernel's shape."""
        if len(inputs_shape) != 4 or inputs_shape[-1] is None:
            raise ValueError(
                f"Layer {self.name!r} needs inputs (batch, height, width, channels) with known "
                f"channels. Received: shape {tuple(inputs_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: inputs_shape[-1]})
        return (*self.kernel_size, inputs_shape[-1], self.filters)

    def compute_output_shape(self, inputs_shape, **other_shapes):
        kernel_shape = (*self.kernel_size, inputs_shape[-1], self.filters)
        return self.linear.compute_output_shape(inputs_shape, kernel_shape)

    def get_config(self):
        config = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
        }
        return {**super().get_config(), **config}


def check_count(name, value):
    """Raises a ValueError where a number of things is less than 1."""
    if value < 1:
        raise ValueError(f"Argument `{name}` must be at least 1. Received: {name}={value}")
