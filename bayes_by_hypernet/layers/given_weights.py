"""Layers whose kernel and bias are inputs: pure functions of data and weights.

A network of these is `logits = network(x, w)`, so that the loop can take gradients with respect
to weight samples, and prediction can generate its samples once.
"""

import keras
from keras import ops


def normalise_pair(value, name):
    """Returns `value`, an integer or a pair, as a pair of positive integers."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(size, int) and size > 0 for size in pair):
        raise ValueError(
            f"Argument `{name}` must be a positive integer or a pair of them. "
            f"Received: {name}={value}"
        )
    return pair


class _GivenWeights(keras.layers.Layer):
    """What dense and convolution share: the activation, and weights cast to the compute dtype."""

    def __init__(self, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)

    def build(self, inputs_shape, kernel_shape, bias_shape=None):
        # Rank and channels: a kernel of two axes is dense and takes inputs of any rank.
        rank = {"min_ndim": 2} if len(kernel_shape) == 2 else {"ndim": len(kernel_shape)}
        self.input_spec = keras.layers.InputSpec(**rank, axes={-1: kernel_shape[-2]})

    def call(self, inputs, kernel, bias=None):
        outputs = self.linear(inputs, ops.cast(kernel, inputs.dtype))
        if bias is not None:
            outputs = ops.add(outputs, ops.cast(bias, outputs.dtype))
        return self.activation(outputs)

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation}


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class DenseGivenWeights(_GivenWeights):
    """`activation(inputs @ kernel + bias)`, kernel and bias given at the call.

    Call arguments:
        inputs: `(batch, ..., inputs)`.
        kernel: `(inputs, units)`.
        bias: `(units,)` or None.

    Returns:
        `(batch, ..., units)`.
    """

    def linear(self, inputs, kernel):
        return ops.matmul(inputs, kernel)

    def compute_output_shape(self, inputs_shape, kernel_shape, bias_shape=None):
        return (*inputs_shape[:-1], kernel_shape[-1])


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class Conv2DGivenWeights(_GivenWeights):
    """Convolution of channels-last images, kernel and bias given at the call.

    Args:
        strides: Integer or pair.
        padding: `"valid"` or `"same"`.
        activation: As in Keras.

    Call arguments:
        inputs: `(batch, height, width, channels)`.
        kernel: `(kernel_height, kernel_width, channels, filters)`.
        bias: `(filters,)` or None.

    Returns:
        `(batch, new_height, new_width, filters)`.
    """

    def __init__(self, strides=1, padding="valid", activation=None, **kwargs):
        super().__init__(activation, **kwargs)
        self.strides = normalise_pair(strides, "strides")
        if padding not in ("valid", "same"):
            raise ValueError(
                f'Argument `padding` must be "valid" or "same". Received: padding={padding!r}'
            )
        self.padding = padding

    def linear(self, inputs, kernel):
        return ops.conv(inputs, kernel, self.strides, self.padding, data_format="channels_last")

    def compute_output_shape(self, inputs_shape, kernel_shape, bias_shape=None):
        shape_of = keras.layers.Conv2D(
            kernel_shape[-1], kernel_shape[:2], self.strides, self.padding, name="shape_of"
        )
        return shape_of.compute_output_shape(inputs_shape)

    def get_config(self):
        return {**super().get_config(), "strides": self.strides, "padding": self.padding}
