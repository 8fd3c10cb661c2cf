"""Which implementation computes a KL estimate: the C++ operation or TensorFlow's own."""

import tensorflow as tf

from bayes_by_hypernet.checks import check_choice
from bayes_by_hypernet.kernels import library, xla

IMPLEMENTATIONS = ("auto", "custom_op", "tensorflow")


def use_custom_op(implementation) -> bool:
    """Whether the C++ operation computes the estimate; loads its library if so.

    Args:
        implementation: One of `IMPLEMENTATIONS`. `"auto"`: what the environment variable
            `BBH_CPP_OPS` says, and without it the C++ operation where there is one and neither XLA
            nor an accelerator.

    Raises:
        ValueError: If it is none of them.
        RuntimeError: If it is `"custom_op"` and there is no C++ operation; says why.
    """
    check_choice("implementation", implementation, IMPLEMENTATIONS)
    if implementation == "custom_op":
        return library.require() is not None
    if implementation == "tensorflow":
        return False
    if library.choice() == "auto" and (xla.inside_xla() or _accelerators()):
        return False
    return library.load() is not None


def _accelerators():
    return tf.config.list_logical_devices("GPU") + tf.config.list_logical_devices("TPU")
