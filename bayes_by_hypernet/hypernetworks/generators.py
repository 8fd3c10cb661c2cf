"""Networks from noise z to the slices of weights: all hypernetworks are made of one of them."""

import itertools

import keras
import tensorflow as tf
from keras import ops

from bayes_by_hypernet import compat
from bayes_by_hypernet.checks import check_integer, check_integers, positive_integers, refusal

HIDDEN_UNITS = (64, 256, 512)  # paper, Section 3
LEAKY_RELU_SLOPE = 0.1  # authors' code


class SliceGenerator(keras.layers.Layer):
    """Fully connected network from `[z, c]` to a slice, for every condition c at once.

    The condition c is one-hot over the slices. With a single slice it is the constant 1: without
    it a network of zero biases and leaky relus would start as `|z| G(sign z)` (ruling 13).
    """

    def __init__(self, num_slices, slice_size, hidden_units, **kwargs):
        super().__init__(**kwargs)
        self.num_slices = num_slices
        self.condition_dim = num_slices
        policy = self.dtype_policy
        self.hidden = [
            keras.layers.Dense(units, name=f"hidden_{i + 1}", dtype=policy)
            for i, units in enumerate(hidden_units)
        ]
        self.linear = keras.layers.Dense(slice_size, name="output", dtype=policy)
        compat.attach(self, {layer.name: layer for layer in self.hidden})

    def build(self, input_shape):
        dim = _noise_dim(input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: dim})
        shape = (None, dim + self.condition_dim)
        for layer in [*self.hidden, self.linear]:
            layer.build(shape)
            shape = (None, layer.units)

    def call(self, z, matmul=None):
        dim = z.shape[-1]
        first, *rest = self.hidden
        # The first layer of [z, c] is a sum: n rows for z plus num_slices rows for c, instead of
        # n * num_slices rows [z, c].
        kernel = ops.cast(first.kernel, z.dtype)
        x = ops.expand_dims(ops.matmul(z, kernel[:dim]), 1)  # (n, 1, units)
        conditions = self.project_conditions(kernel[dim:])  # (num_slices, units)
        x = x + conditions + ops.cast(first.bias, z.dtype)  # (n, num_slices, units)
        x = ops.reshape(x, (-1, first.units))  # (n * num_slices, units)
        for layer in rest:
            x = layer(ops.leaky_relu(x, LEAKY_RELU_SLOPE))
        x = ops.leaky_relu(x, LEAKY_RELU_SLOPE)
        # Almost all parameters are in the output matrix: a training loop may replace its product.
        x = self.linear(x) if matmul is None else matmul(x, self.linear.kernel) + self.linear.bias
        return ops.reshape(x, (-1, self.num_slices, self.linear.units))

    def project_conditions(self, kernel):
        """Returns `c @ kernel` for every condition, `(num_slices, units)`."""
        return kernel  # the one-hot c picks row c


class ChunkGenerator(SliceGenerator):
    """Slice generator with a learned embedding e_c as the condition of slice c."""

    def __init__(self, num_slices, slice_size, hidden_units, embedding_dim, **kwargs):
        super().__init__(num_slices, slice_size, hidden_units, **kwargs)
        self.condition_dim = embedding_dim

    def build(self, input_shape):
        super().build(input_shape)
        # N(0, 1): see `ChunkedHypernetwork`.
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_slices, self.condition_dim),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )

    def project_conditions(self, kernel):
        return ops.matmul(ops.cast(self.embeddings, kernel.dtype), kernel)


def _noise_dim(shape):
    """Returns d of the shape `(n, d)` of noise; ValueError where it is another one."""
    dim = shape[-1] if isinstance(shape, (tuple, list)) and len(shape) == 2 else None
    if not isinstance(dim, int) or dim < 1:
        raise ValueError(
            f"Argument `z` must be a tensor (n, d) of known d, at least 1. Received: shape={shape}"
        )
    return dim


def check_noise(name, z, dtype):
    """Returns noise `(n, d)`, numbers of any type, as a tensor of this dtype; ValueError else."""
    allowed = "a dense tensor of real numbers, (n, d) with n >= 1: expected ndim=2"
    kind = keras.backend.standardize_dtype(z.dtype) if hasattr(z, "dtype") else None
    is_dense = not isinstance(z, (tf.SparseTensor, tf.RaggedTensor))
    is_real = kind is not None and ("int" in kind or "float" in kind)
    if not (is_dense and is_real) or len(z.shape) != 2 or z.shape[0] == 0:
        raise refusal(name, allowed, z)
    try:
        return ops.cast(z, dtype)
    except (TypeError, ValueError):  # SciPy's sparse arrays
        raise refusal(name, allowed, z) from None


def check_hidden_units(hidden_units):
    """Returns `hidden_units` as a tuple; ValueError unless it is one or more positive integers."""
    return check_integers("hidden_units", hidden_units)


def count_generator(noise_dim, condition_dim, hidden_units, slice_size):
    """Returns the number of kernel and bias entries of a slice generator."""
    first = check_integer("noise_dim", noise_dim, 1) + condition_dim
    units = [first, *check_hidden_units(hidden_units), slice_size]
    return sum((rows + 1) * columns for rows, columns in itertools.pairwise(units))


def check_num_slices(num_slices, size, what):
    """Returns `num_slices` as an int; ValueError unless it divides `size`, called `what`."""
    if not positive_integers((num_slices,)) or size % num_slices:
        raise ValueError(
            f"Argument `num_slices` must be a positive integer that divides {what} = {size}. "
            f"Received: num_slices={num_slices!r}"
        )
    return int(num_slices)
