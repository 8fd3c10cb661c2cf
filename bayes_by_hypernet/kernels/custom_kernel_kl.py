"""Eq. 2 with d = 1 by the C++ operation: value and gradient in one pass over the weights.

The operations run on the CPU, whatever the device around them, and need the library: callers ask
`library.load` first. Forward and gradient equal the TensorFlow form's to rounding, for the same
prior samples, whatever the number of threads.
"""

import tensorflow as tf

from bayes_by_hypernet.kernels import library


def independent_kl(q, p):
    """Returns Eq. 2 with d = 1 for each weight, summed, in nats.

    Args:
        q: List of tensors `(n, num_weights_l)`, float32 or float64, n >= 2.
        p: List of tensors `(m, num_weights_l)`, of the same dtype, m >= 1.

    Raises:
        InvalidArgumentError: If n, m or the shapes are wrong.
    """
    with tf.device("CPU:0"):
        return library.load().bayes_by_hypernet_independent_kl(posterior=q, prior=p).kl


def independent_kl_normal_prior(q, keys, num_prior_samples, prior_stddev):
    """Returns the same against samples of N(0, prior_stddev^2) that never exist as a tensor.

    Args:
        q: As in `independent_kl`.
        keys: List of stateless seeds, int32 `(2,)`: the samples of piece l are
            `prior_stddev * tf.random.stateless_normal((m, num_weights_l), keys[l])`, float32, to
            rounding.
        num_prior_samples: Integer m >= 1.
        prior_stddev: Float.
    """
    with tf.device("CPU:0"):
        return (
            library.load()
            .bayes_by_hypernet_independent_kl_normal_prior(
                posterior=q,
                seeds=tf.stack(keys),
                num_prior_samples=num_prior_samples,
                prior_stddev=prior_stddev,
            )
            .kl
        )


@tf.RegisterGradient("BayesByHypernet>IndependentKl")
def _independent_kl_gradient(op, upstream, *unused):
    count = len(op.outputs) - 1
    q, p = list(op.inputs[:count]), list(op.inputs[count:])
    with tf.device("CPU:0"):
        # Prior samples are usually constants: a graph drops this if it is not used.
        for_prior = library.load().bayes_by_hypernet_independent_kl_prior_gradient(
            posterior=q, prior=p
        )
    return [upstream * constant_gradient(g) for g in [*op.outputs[1:], *for_prior]]


@tf.RegisterGradient("BayesByHypernet>IndependentKlNormalPrior")
def _independent_kl_normal_prior_gradient(op, upstream, *unused):
    return [*(upstream * constant_gradient(g) for g in op.outputs[1:]), None]  # None: the seeds


@tf.custom_gradient
def constant_gradient(gradient):
    """The gradient itself. Second derivatives raise: they would silently be zero."""

    def second_derivative(upstream):
        raise NotImplementedError(
            "The C++ operations for estimates of the KL have no second derivative. Pass "
            "implementation='tensorflow' to the estimate, or set BBH_CPP_OPS=tensorflow."
        )

    return tf.identity(gradient), second_derivative
