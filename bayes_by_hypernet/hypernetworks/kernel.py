"""A hypernetwork of one weight tensor: layer-wise and sliced (paper, Table 1)."""

import math

import keras
from keras import ops

from bayes_by_hypernet.checks import check_integers
from bayes_by_hypernet.hypernetworks.generators import (
    HIDDEN_UNITS,
    SliceGenerator,
    check_hidden_units,
    check_noise,
    check_num_slices,
    count_generator,
)


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

    Example:
        >>> hypernetwork = bbh.HypernetworkKernel((784, 100), hidden_units=(16, 32))
        >>> tuple(hypernetwork(keras.random.normal((5, 1))).shape)
        (5, 784, 100)
    """

    def __init__(self, kernel_shape, hidden_units=HIDDEN_UNITS, num_slices=1, **kwargs):
        super().__init__(**kwargs)
        self.kernel_shape = check_integers("kernel_shape", kernel_shape)
        self.hidden_units = check_hidden_units(hidden_units)
        self.num_slices, slice_size = self._slice(self.kernel_shape, num_slices)
        self.generator = SliceGenerator(
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
        kernel_shape = check_integers("kernel_shape", kernel_shape)
        num_slices, slice_size = HypernetworkKernel._slice(kernel_shape, num_slices)
        return count_generator(noise_dim, num_slices, hidden_units, slice_size)

    @staticmethod
    def _slice(kernel_shape, num_slices):
        what = "the output axis, kernel_shape[-1]"
        num_slices = check_num_slices(num_slices, kernel_shape[-1], what)
        return num_slices, math.prod(kernel_shape) // num_slices

    def build(self, input_shape):
        self.generator.build(input_shape)

    def call(self, z, matmul=None):
        z = check_noise("z", z, self.compute_dtype)
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
