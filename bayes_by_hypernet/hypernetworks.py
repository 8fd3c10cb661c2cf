"""Hypernetworks G: noise z to samples of weights, w = G(z) (paper, Section 2 and Table 1)."""

import itertools
import math
import numbers

import keras
import tensorflow as tf
from keras import ops

from bayes_by_hypernet import compat

HIDDEN_UNITS = (64, 256, 512)  # paper, Section 3
LEAKY_RELU_SLOPE = 0.1  # authors' code
# Default slices of the single hypernetwork: at most 4096 weights, and at least 1024 if they are
# equal. Shorter slices would only add rows, each with all hidden layers, for the same weights.
MAX_SLICE_SIZE = 4096
MIN_SLICE_SIZE = 1024


def check_hidden_units(hidden_units):
    """Returns `hidden_units` as a tuple; ValueError unless it is one or more positive integers."""
    return _check_integers("hidden_units", hidden_units)


def _is_positive_integer(value):
    # NumPy's integers are numbers.Integral too. So is bool, which is a mistake here.
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1


def _to_integers(values):
    """Returns `values` as a tuple of int, or () unless they are positive integers."""
    try:
        values = tuple(values)
    except TypeError:  # a number
        return ()
    return tuple(map(int, values)) if all(map(_is_positive_integer, values)) else ()


def _check_integer(name, value):
    if not _is_positive_integer(value):
        raise ValueError(
            f"Argument `{name}` must be a positive integer. Received: {name}={value!r}"
        )
    return int(value)


def _check_integers(name, values):
    checked = _to_integers(values)
    if not checked:
        raise ValueError(
            f"Argument `{name}` must be one or more positive integers. Received: {name}={values!r}"
        )
    return checked


def _check_weight_shapes(shapes):
    try:
        checked = [_to_integers(shape) for shape in shapes]
    except TypeError:  # a number
        checked = []
    if not checked or not all(checked):
        raise ValueError(
            "Argument `weight_shapes` must be a list of one or more shapes, each of them one or "
            f"more positive integers. Received: weight_shapes={shapes!r}"
        )
    return checked


def _check_num_slices(num_slices, size, what):
    if not _is_positive_integer(num_slices) or size % num_slices:
        raise ValueError(
            f"Argument `num_slices` must be a positive integer that divides {what} = {size}. "
            f"Received: num_slices={num_slices!r}"
        )
    return int(num_slices)


def _count_weights(shapes):
    return sum(math.prod(shape) for shape in shapes)


def _slice_weights(num_weights, num_slices=None):
    """Returns `(num_slices, slice_size)` of `SingleHypernetwork`."""
    if num_slices is None:
        num_slices = _default_num_slices(num_weights)
    else:
        num_slices = _check_num_slices(num_slices, num_weights, "the number of weights")
    return num_slices, math.ceil(num_weights / num_slices)


def _default_num_slices(num_weights):
    fewest = math.ceil(num_weights / MAX_SLICE_SIZE)
    for num_slices in range(fewest, num_weights // MIN_SLICE_SIZE + 1):
        if num_weights % num_slices == 0:
            return num_slices
    return fewest


def _chunk_weights(num_weights, chunk_size):
    """Returns `(num_chunks, size)` of `ChunkedHypernetwork`."""
    chunk_size = _check_integer("chunk_size", chunk_size)
    # Outputs beyond a single, shorter chunk would all be dropped.
    return math.ceil(num_weights / chunk_size), min(chunk_size, num_weights)


def _count_generator(noise_dim, condition_dim, hidden_units, slice_size):
    """Returns the number of kernel and bias entries of a slice generator."""
    first = _check_integer("noise_dim", noise_dim) + condition_dim
    units = [first, *check_hidden_units(hidden_units), slice_size]
    return sum((rows + 1) * columns for rows, columns in itertools.pairwise(units))


class _SliceGenerator(keras.layers.Layer):
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
        dim = input_shape[-1]
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


class _ChunkGenerator(_SliceGenerator):
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
        ValueError: If `num_slices` does not divide the output axis, or a size is not a positive
            integer.
    """

    def __init__(self, kernel_shape, hidden_units=HIDDEN_UNITS, num_slices=1, **kwargs):
        super().__init__(**kwargs)
        self.kernel_shape = _check_integers("kernel_shape", kernel_shape)
        self.hidden_units = check_hidden_units(hidden_units)
        self.num_slices, slice_size = self._slice(self.kernel_shape, num_slices)
        self.generator = _SliceGenerator(
            self.num_slices,
            slice_size,
            self.hidden_units,
            dtype=self.dtype_policy,
            name="generator",
        )

    @staticmethod
    def count_parameters(kernel_shape, hidden_units=HIDDEN_UNITS, num_slices=1, noise_dim=1):
        """Returns the number of trainable parameters without making them.

        `noise_dim` is the dimension d of z. The other arguments are those of the class.
        """
        kernel_shape = _check_integers("kernel_shape", kernel_shape)
        num_slices, slice_size = HypernetworkKernel._slice(kernel_shape, num_slices)
        return _count_generator(noise_dim, num_slices, hidden_units, slice_size)

    @staticmethod
    def _slice(kernel_shape, num_slices):
        what = "the output axis, kernel_shape[-1]"
        num_slices = _check_num_slices(num_slices, kernel_shape[-1], what)
        return num_slices, math.prod(kernel_shape) // num_slices

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


class _JointHypernetwork(keras.layers.Layer):
    """One generator for many weight tensors: flattened, concatenated and cut into slices.

    A subclass sets `generator`, a slice generator of at least as many outputs as weights. The
    surplus of the last slice is dropped.
    """

    def __init__(self, weight_shapes, hidden_units, **kwargs):
        super().__init__(**kwargs)
        self.weight_shapes = _check_weight_shapes(weight_shapes)
        self.hidden_units = check_hidden_units(hidden_units)
        self.sizes = [math.prod(shape) for shape in self.weight_shapes]
        self.num_weights = sum(self.sizes)

    def build(self, input_shape):
        self.generator.build(input_shape)

    def call(self, z, matmul=None):
        slices = self.generator(z, matmul=matmul)  # (n, num_slices, slice_size)
        flat = ops.reshape(slices, (-1, slices.shape[1] * slices.shape[2]))
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
        config = {"weight_shapes": self.weight_shapes, "hidden_units": self.hidden_units}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class SingleHypernetwork(_JointHypernetwork):
    """One hypernetwork for all weights of a network, sliced (paper, Section 3.1, 'Single G').

    The weight tensors are flattened, concatenated and cut into equal slices; slice c is
    `G([z, c])`, c one-hot. One z makes all weights, so their noise is shared by construction.

    Args:
        weight_shapes: List of shapes, one for each weight tensor.
        num_slices: Integer that divides the number of weights, or None: the fewest equal slices
            of 1024 to 4096 weights (130 for LeNet, 231 for ResNet-32), one slice for up to 4096
            weights. Where no number divides so, `ceil(num_weights / 4096)` slices, and the
            surplus of the last one is dropped.
        hidden_units: Tuple of integers, units of the hidden layers (leaky relu, slope 0.1).

    Call arguments:
        z: Noise `(n, d)`.
        matmul: Function `(activations, kernel variable) -> product` for the output matrix, or
            None.

    Returns:
        List of weight samples, `(n, *shape)` for each of `weight_shapes`.

    Raises:
        ValueError: If a given `num_slices` does not divide the number of weights, there are none,
            or a size is not a positive integer.
    """

    def __init__(self, weight_shapes, num_slices=None, hidden_units=HIDDEN_UNITS, **kwargs):
        super().__init__(weight_shapes, hidden_units, **kwargs)
        self.num_slices, slice_size = _slice_weights(self.num_weights, num_slices)
        self.generator = _SliceGenerator(
            self.num_slices,
            slice_size,
            self.hidden_units,
            dtype=self.dtype_policy,
            name="generator",
        )

    @staticmethod
    def count_parameters(weight_shapes, num_slices=None, hidden_units=HIDDEN_UNITS, noise_dim=1):
        """Returns the number of trainable parameters without making them.

        `noise_dim` is the dimension d of z. The other arguments are those of the class.
        """
        num_weights = _count_weights(_check_weight_shapes(weight_shapes))
        num_slices, slice_size = _slice_weights(num_weights, num_slices)
        return _count_generator(noise_dim, num_slices, hidden_units, slice_size)

    def get_config(self):
        # The default for None is not always a divisor: pass on what was asked for.
        divides = self.num_weights % self.num_slices == 0
        config = {"num_slices": self.num_slices if divides else None}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class ChunkedHypernetwork(_JointHypernetwork):
    """One hypernetwork for all weights of a network, in chunks with learned embeddings.

    The weight tensors are flattened, concatenated and cut into chunks of `chunk_size` weights.
    Each chunk c has a learned embedding e_c:

        num_chunks = ceil(num_weights / chunk_size)
        w = concatenate(G([z, e_c]) for c in 1 ... num_chunks)[:num_weights]

    One z makes all weights, so their noise is shared by construction. Not in the paper: its
    'Single G' has one-hot conditions, and its slices divide the number of weights.

    The embeddings start as N(0, 1), like z. They must be random, since equal embeddings would
    make equal chunks, and Glorot's initialisation of G assumes inputs of one scale. At the start
    z contributes `d / (d + embedding_dim)` of the variance in the first layer, so the weights of
    a large `embedding_dim` start with relatively little noise.

    Args:
        weight_shapes: List of shapes, one for each weight tensor.
        chunk_size: Integer, weights in a chunk. A single chunk has no more than there are weights.
        embedding_dim: Integer, dimension of the embeddings.
        hidden_units: Tuple of integers, units of the hidden layers (leaky relu, slope 0.1).

    Call arguments:
        z: Noise `(n, d)`.
        matmul: Function `(activations, kernel variable) -> product` for the output matrix, or
            None.

    Returns:
        List of weight samples, `(n, *shape)` for each of `weight_shapes`.

    Raises:
        ValueError: If there are no weights, or a size is not a positive integer.

    Example:
        >>> hypernetwork = ChunkedHypernetwork([(784, 100), (100,)])  # 20 chunks
        >>> kernel, bias = hypernetwork(keras.random.normal((5, 1)))
        >>> tuple(kernel.shape), tuple(bias.shape)
        ((5, 784, 100), (5, 100))

    References:
        - Ha et al., 'HyperNetworks', ICLR 2017: layer embeddings.
        - von Oswald et al., 'Continual learning with hypernetworks', ICLR 2020: chunks.
    """

    def __init__(
        self,
        weight_shapes,
        chunk_size=MAX_SLICE_SIZE,
        embedding_dim=64,
        hidden_units=HIDDEN_UNITS,
        **kwargs,
    ):
        super().__init__(weight_shapes, hidden_units, **kwargs)
        self.num_chunks, size = _chunk_weights(self.num_weights, chunk_size)
        self.chunk_size = int(chunk_size)
        self.embedding_dim = _check_integer("embedding_dim", embedding_dim)
        self.generator = _ChunkGenerator(
            self.num_chunks,
            size,
            self.hidden_units,
            self.embedding_dim,
            dtype=self.dtype_policy,
            name="generator",
        )

    @staticmethod
    def count_parameters(
        weight_shapes,
        chunk_size=MAX_SLICE_SIZE,
        embedding_dim=64,
        hidden_units=HIDDEN_UNITS,
        noise_dim=1,
    ):
        """Returns the number of trainable parameters without making them.

        `noise_dim` is the dimension d of z. The other arguments are those of the class.
        """
        num_weights = _count_weights(_check_weight_shapes(weight_shapes))
        num_chunks, size = _chunk_weights(num_weights, chunk_size)
        dim = _check_integer("embedding_dim", embedding_dim)
        return num_chunks * dim + _count_generator(noise_dim, dim, hidden_units, size)

    def get_config(self):
        config = {"chunk_size": self.chunk_size, "embedding_dim": self.embedding_dim}
        return {**super().get_config(), **config}
