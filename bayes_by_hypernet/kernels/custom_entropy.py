"""The nearest-neighbour entropy by the C++ operation: value and gradient in one pass.

As `custom_kernel_kl`, on the CPU, and with the library that `library.load` has. Value and gradient
equal the TensorFlow form's to rounding, whatever the number of threads.
"""

import tensorflow as tf

from bayes_by_hypernet.kernels import library
from bayes_by_hypernet.kernels.custom_kernel_kl import constant_gradient


def entropy_kl(q, prior_stddev=0.0):
    """Returns minus the entropies of single weights, summed, plus a cross-entropy, in nats.

    Args:
        q: List of tensors `(n, num_weights_l)`, float32 or float64, n >= 2.
        prior_stddev: Float: the cross-entropy to N(0, prior_stddev^2) is added; 0: none.

    Raises:
        InvalidArgumentError: If n or the shapes are wrong.
    """
    with tf.device("CPU:0"):
        operation = library.load().bayes_by_hypernet_entropy_kl
        return operation(samples=q, prior_stddev=prior_stddev).kl


@tf.RegisterGradient("BayesByHypernet>EntropyKl")
def _entropy_kl_gradient(op, upstream, *unused):
    return [upstream * constant_gradient(g) for g in op.outputs[1:]]
