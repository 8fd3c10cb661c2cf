"""One hypernetwork for all weight tensors of a network: single (paper, Table 1) and chunked."""

import math

import keras
import tensorflow as tf
from keras import ops

from bayes_by_hypernet.checks import check_integer, positive_integers
from bayes_by_hypernet.hypernetworks.generators import (
    HIDDEN_UNITS,
    ChunkGenerator,
    SliceGenerator,
    check_hidden_units,
    check_noise,
    check_num_slices,
    count_generator,
)

# Default slices of the single hypernetwork: at most 4096 weights, and at least 1024 if they are
# equal. Shorter slices would only add rows, each with all hidden layers, for the same weights.
MAX_SLICE_SIZE = 4096
MIN_SLICE_SIZE = 1024


class JointHypernetwork(keras.layers.Layer):
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
        z = check_noise("z", z, self.compute_dtype)
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
class SingleHypernetwork(JointHypernetwork):
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

    Example:
        >>> hypernetwork = bbh.SingleHypernetwork([(784, 100), (100,)], hidden_units=(16, 32))
        >>> kernel, bias = hypernetwork(keras.random.normal((5, 1)))
        >>> hypernetwork.num_slices, tuple(kernel.shape), tuple(bias.shape)
        (20, (5, 784, 100), (5, 100))
    """

    def __init__(self, weight_shapes, num_slices=None, hidden_units=HIDDEN_UNITS, **kwargs):
        super().__init__(weight_shapes, hidden_units, **kwargs)
        self.num_slices, slice_size = _slice_weights(self.num_weights, num_slices)
        self.generator = SliceGenerator(
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
        return count_generator(noise_dim, num_slices, hidden_units, slice_size)

    def get_config(self):
        # The default for None is not always a divisor: pass on what was asked for.
        divides = self.num_weights % self.num_slices == 0
        config = {"num_slices": self.num_slices if divides else None}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class ChunkedHypernetwork(JointHypernetwork):
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
        self.embedding_dim = check_integer("embedding_dim", embedding_dim, 1)
        self.generator = ChunkGenerator(
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
        dim = check_integer("embedding_dim", embedding_dim, 1)
        return num_chunks * dim + count_generator(noise_dim, dim, hidden_units, size)

    def get_config(self):
        config = {"chunk_size": self.chunk_size, "embedding_dim": self.embedding_dim}
        return {**super().get_config(), **config}


def _check_weight_shapes(shapes):
    try:
        checked = [positive_integers(shape) for shape in shapes]
    except TypeError:  # a number
        checked = []
    if not checked or not all(checked):
        raise ValueError(
            "Argument `weight_shapes` must be a list of one or more shapes, each of them one or "
            f"more positive integers. Received: weight_shapes={shapes!r}"
        )
    return checked


def _count_weights(shapes):
    return sum(math.prod(shape) for shape in shapes)


def _slice_weights(num_weights, num_slices=None):
    """Returns `(num_slices, slice_size)` of `SingleHypernetwork`."""
    if num_slices is None:
        num_slices = _default_num_slices(num_weights)
    else:
        num_slices = check_num_slices(num_slices, num_weights, "the number of weights")
    return num_slices, math.ceil(num_weights / num_slices)


def _default_num_slices(num_weights):
    fewest = math.ceil(num_weights / MAX_SLICE_SIZE)
    for num_slices in range(fewest, num_weights // MIN_SLICE_SIZE + 1):
        if num_weights % num_slices == 0:
            return num_slices
    return fewest


def _chunk_weights(num_weights, chunk_size):
    """Returns `(num_chunks, size)` of `ChunkedHypernetwork`."""
    chunk_size = check_integer("chunk_size", chunk_size, 1)
    # Outputs beyond a single, shorter chunk would all be dropped.
    return math.ceil(num_weights / chunk_size), min(chunk_size, num_weights)
