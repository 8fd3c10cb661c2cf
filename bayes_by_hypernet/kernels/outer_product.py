"""The output matrix of a hypernetwork, in C++: few rows times the matrix, and Adam on it.

A layer-wise hypernetwork's output matrix holds almost all of its parameters, and its gradient is an
outer product: `left^T right`, of the n hidden activations and n gradients of the outputs. Here the
gradient stays in its factors, and the update walks over the matrix and Adam's moments once.
"""

import tensorflow as tf

from bayes_by_hypernet.kernels import library

# Rows of the factors up to which that is worth while: with more, the arithmetic outgrows the way
# from memory (measured at 512 rows of the matrix).
MAX_RANK = 32


def thin_product(left, variable):
    """Returns `left @ variable`, which reads the variable once.

    Args:
        left: Tensor `(rank, rows)`, float32 or float64.
        variable: `tf.Variable` `(rows, columns)` of the same dtype, on a CPU.
    """
    with tf.device(variable.device):
        return library.load().bayes_by_hypernet_thin_product(
            left=left, matrix=variable.handle, columns=variable.shape[1]
        )


def apply_outer_product_adam(
    variable, momentum, velocity, left, right, alpha, beta_1, beta_2, epsilon
):
    """Updates a variable by Adam from the gradient `left^T right`, in place.

    ```
    momentum += (gradient - momentum) * (1 - beta_1)
    velocity += (gradient^2 - velocity) * (1 - beta_2)
    variable -= alpha * momentum / (sqrt(velocity) + epsilon)
    ```

    Args:
        variable, momentum, velocity: `tf.Variable`s `(rows, columns)` of one dtype, float32 or
            float64, on a CPU.
        left: Tensor `(rank, rows)`.
        right: Tensor `(rank, columns)`.
        alpha: Learning rate with Adam's bias corrections; a scalar tensor, as those that follow.
        beta_1, beta_2, epsilon: Of Adam.

    Returns:
        `right @ variable^T`, `(rank, rows)`, with the variable before its update: the gradient
        for `left`.
    """
    with tf.device(variable.device):
        return library.load().bayes_by_hypernet_apply_outer_product_adam(
            matrix=variable.handle,
            momentum=momentum.handle,
            velocity=velocity.handle,
            alpha=alpha,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            left=left,
            right=right,
        )
