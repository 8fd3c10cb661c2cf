"""Hypernetworks G: noise z to samples of weights, w = G(z) (paper, Section 2 and Table 1)."""

import math

import keras
import tensorflow as tf
from keras import ops

HIDDEN_UNITS = (64, 256, 512)  # paper, Section 3
LEAKY_RELU_SLOPE = 0.1  # authors' code
# Slices of the single hypernetwork, by the number of weights: LeNet's and ResNet-32's.
SINGLE_NUM_SLICES = {431_080: 130, 462_693: 231}
MAX_SLICE_SIZE = 4096


def check_hidden_units(hidden_units):
    """Returns `hidden_units` as a tuple; ValueError unless it is one or more positive integers."""
    hidden_units = tuple(int(units) for units in hidden_units)
    if not hidden_units or min(hidden_units) < 1:
        raise ValueError(
            "Argument `hidden_units` must be one or more positive integers. "
            f"Received: hidden_units={hidden_units}"
        )
    return hidden_units


def _check_shape(name, shape):
    checked = tuple(int(size) for size in shape)
    if not checked or min(checked) < 1:
        raise ValueError(
            f"Argument `{name}` must be one or more positive integers for each weight tensor. "
            f"Received: {shape}"
        )
    return checked


def _check_num_slices(num_slices, size, what):
    if num_slices < 1 or size % num_slices:
        raise ValueError(
            f"Argument `num_slices` must be at least 1 and divide {what} = {size}. "
            f"Received: num_slices={num_slices}"
        )


class _SliceGenerator(keras.layers.Layer):
    """Fully connected network from `[z, c]` to a slice, for every condition c at once.

    The condition c is one-hot over the slices. With a single slice it is the constant 1: without
    it a network of zero biases and leaky relus would start as `|z| G(sign z)` (ruling 13).
    """

    def __init__(self, num_slices, slice_size, hidden_units, **kwargs):
        super().__init__(**kwargs)
        self.num_slices = num_slices
        policy = self.dtype_policy
        self.hidden = [
            keras.layers.Dense(units, name=f"hidden_{i + 1}", dtype=policy)
            for i, units in enumerate(hidden_units)
        ]
        self.linear = keras.layers.Dense(slice_size, name="output", dtype=policy)

    def build(self, input_shape):
        dim = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: dim})
        shape = (None, dim + self.num_slices)
        for layer in [*self.hidden, self.linear]:
            layer.build(shape)
            shape = (None, layer.units)

    def call(self, z, matmul=None):
        dim = z.shape[-1]
        first, *rest = self.hidden
        # The first layer of [z, c] without forming c: the one-hot picks a row of its kernel.
        kernel = ops.cast(first.kernel, z.dtype)
        x = ops.expand_dims(ops.matmul(z, kernel[:dim]), 1)  # (n, 1, units)
        x = x + kernel[dim:] + ops.cast(first.bias, z.dtype)  # (n, num_slices, units)
        x = ops.reshape(x, (-1, first.units))  # (n * num_slices, units)
        for layer in rest:
            x = layer(ops.leaky_relu(x, LEAKY_RELU_SLOPE))
        x = ops.leaky_relu(x, LEAKY_RELU_SLOPE)
        # The output matrix holds almost all parameters: a training loop may have its own product.
        x = self.linear(x) if matmul is None else matmul(x, self.linear.kernel) + self.linear.bias
        return ops.reshape(x, (-1, self.num_slices, self.linear.units))


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class HypernetworkKernel(keras.layers.Layer):
    """Hypernetwork of one weight tensor, `w_l = G_l(z)` (paper, Section 3.1, 'Architectures').

    Layer-wise (`num_slices=1`) the whole tensor is one output. Sliced, slice c of the tensor's
    last (output) axis is `G_l([z, c])`, c one-hot. The authors' code interleaves slices over the
    flattened tensor; here a slice is an index of the output axis, as the paper says (ruling 7).

    Args:
        kernel_shape: Tuple of integers, the shape of the weight tensor.
        hidden_units: Tuple of integers, units of the hidden layers (leaky relu, slope 0.1).
        num_slices: Integer that divides `kernel_shape[-1]`.

    Call arguments:
        z: Noise `(n, d)`.
        matmul: Function `(activations, kernel variable) -> product` for the output matrix, or
            None.

    Returns:
        Weight samples `(n, *kernel_shape)`.

    Raises:
        ValueError: If `num_slices` does not divide the output axis, or a size is not positive.
    """

    def __init__(self, kernel_shape, hidden_units=HIDDEN_UNITS, num_slices=1, **kwargs):
        super().__init__(**kwargs)
        self.kernel_shape = _check_shape("kernel_shape", kernel_shape)
        self.hidden_units = check_hidden_units(hidden_units)
        _check_num_slices(num_slices, self.kernel_shape[-1], "the output axis, kernel_shape[-1]")
        self.num_slices = num_slices
        self.generator = _SliceGenerator(
            num_slices,
            math.prod(self.kernel_shape) // num_slices,
            self.hidden_units,
            dtype=self.dtype_policy,
            name="generator",
        )

    def build(self, input_shape):
        self.generator.build(input_shape)

    def call(self, z, matmul=None):
        slices = self.generator(z, matmul=matmul)  # (n, num_slices, slice_size)
        if self.num_slices > 1:
            *leading, outputs = self.kernel_shape
            width = outputs // self.num_slices
            slices = ops.reshape(slices, (-1, self.num_slices, math.prod(leading), width))
            slices = ops.transpose(slices, (0, 2, 1, 3))  # (n, leading, num_slices, width)
        return ops.reshape(slices, (-1, *self.kernel_shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.kernel_shape)

    def get_config(self):
        config = {
            "kernel_shape": self.kernel_shape,
            "hidden_units": self.hidden_units,
            "num_slices": self.num_slices,
        }
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class SingleHypernetwork(keras.layers.Layer):
    """One hypernetwork for all weights of a network, sliced (paper, Section 3.1, 'Single G').

    The weight tensors are flattened, concatenated and cut into equal slices; slice c is
    `G([z, c])`, c one-hot. One z makes all weights, so their noise is shared by construction.

    Args:
        weight_shapes: List of shapes, one for each weight tensor.
        num_slices: Integer that divides the number of weights, or None: 130 for LeNet's, 231 for
            ResNet-32's weights, else `ceil(num_weights / 4096)` with the surplus of the last
            slice dropped.
        hidden_units: Tuple of integers, units of the hidden layers (leaky relu, slope 0.1).

    Call arguments:
        z: Noise `(n, d)`.
        matmul: Function `(activations, kernel variable) -> product` for the output matrix, or
            None.

    Returns:
        List of weight samples, `(n, *shape)` for each of `weight_shapes`.

    Raises:
        ValueError: If a given `num_slices` does not divide the number of weights, there are none,
            or a size is not positive.
    """

    def __init__(self, weight_shapes, num_slices=None, hidden_units=HIDDEN_UNITS, **kwargs):
        super().__init__(**kwargs)
        self.weight_shapes = [_check_shape("weight_shapes", shape) for shape in weight_shapes]
        if not self.weight_shapes:
            raise ValueError("Argument `weight_shapes` must name at least one shape. Received: []")
        self.hidden_units = check_hidden_units(hidden_units)
        self.sizes = [math.prod(shape) for shape in self.weight_shapes]
        self.num_weights = sum(self.sizes)
        if num_slices is None:
            default = math.ceil(self.num_weights / MAX_SLICE_SIZE)
            num_slices = SINGLE_NUM_SLICES.get(self.num_weights, default)
        else:
            _check_num_slices(num_slices, self.num_weights, "the number of weights")
        self.num_slices = num_slices
        self.generator = _SliceGenerator(
            num_slices,
            math.ceil(self.num_weights / num_slices),
            self.hidden_units,
            dtype=self.dtype_policy,
            name="generator",
        )

    def build(self, input_shape):
        self.generator.build(input_shape)

    def call(self, z, matmul=None):
        slices = self.generator(z, matmul=matmul)  # (n, num_slices, slice_size)
        flat = ops.reshape(slices, (-1, self.num_slices * slices.shape[-1]))
        if flat.shape[1] > self.num_weights:
            flat = flat[:, : self.num_weights]  # (n, num_weights)
        pieces = tf.split(flat, self.sizes, axis=1)
        return [
            ops.reshape(piece, (-1, *shape))
            for piece, shape in zip(pieces, self.weight_shapes, strict=True)
        ]

    def compute_output_shape(self, input_shape):
        return [(input_shape[0], *shape) for shape in self.weight_shapes]

    def get_config(self):
        # The default for None is not always a divisor: pass on what was asked for.
        divides = self.num_weights % self.num_slices == 0
        config = {
            "weight_shapes": self.weight_shapes,
            "num_slices": self.num_slices if divides else None,
            "hidden_units": self.hidden_units,
        }
        return {**super().get_config(), **config}
