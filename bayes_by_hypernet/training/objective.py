"""The objective, negative ELBO per example (Eq. 1), and its gradients through weight samples."""

from typing import NamedTuple

import tensorflow as tf

from bayes_by_hypernet import randomness


class Terms(NamedTuple):
    """Terms of one step's loss; scalars.

    Attributes:
        loss: `nll + kl_scale * kl`, and what layers of the model add; nats per example.
        nll: Mean negative log-likelihood of the batch, nats per example.
        kl: Divergence from the prior, nats, unscaled.
        accuracy: Share of the batch that the mean prediction gets right; 0 in a regression.
    """

    loss: tf.Tensor
    nll: tf.Tensor
    kl: tf.Tensor
    accuracy: tf.Tensor


class NonFiniteLossError(FloatingPointError):
    """A term of the loss became NaN or infinite."""


class Step(NamedTuple):
    """What `gradients` returns.

    Attributes:
        kl: Divergence from the prior, nats, unscaled.
        sums: What the likelihood's part returned besides its loss, summed over replicas.
        gradients: Of the loss, one for each variable of the model, equal on every replica; None
            for a matrix that the backward pass of `matmul` has updated.
    """

    kl: tf.Tensor
    sums: list
    gradients: list


def gradients(model, likelihood_loss, key, kl_scale, matmul=None):
    """Returns the gradients of one step's loss, `likelihood_loss + kl_scale * kl`.

    To be called in a replica context. The objective first maps variables to sampled parameters,
    which is the same on every replica, then parameters and data to a loss, which is not. Replicas
    sum the gradients with respect to the sampled parameters: for a hypernetwork n weight vectors,
    which are far smaller than its variables.

    Args:
        model: `BayesianModel`.
        likelihood_loss: Function `(parameters, key) -> (loss, sums)`: this replica's share of the
            loss that depends on the data, a scalar, and a list of tensors to be summed over
            replicas. Its key differs between replicas.
        key: Stateless seed of the step, the same on every replica.
        kl_scale: What the KL is multiplied by, `temperature * anneal / N`, or a function that
            returns it, which is called after `likelihood_loss`.
        matmul: Of `Posterior.sample`.

    Returns:
        `Step`.
    """
    context = tf.distribute.get_replica_context()
    estimator = model.estimator
    if estimator is not None and not estimator.updates_in_backward:
        matmul = None
    with tf.GradientTape() as generation:
        parameters = model.sampled_parameters(key, matmul)
    with tf.GradientTape() as likelihood:
        likelihood.watch(parameters)
        replica_key = randomness.fold_in(key, context.replica_id_in_sync_group)
        loss, sums = likelihood_loss(parameters, replica_key)
    likelihood_gradients = likelihood.gradient(loss, parameters, unconnected_gradients="zero")
    # Of samples that the likelihood has not seen nothing is exchanged: `_values`.
    reduced = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [*map(_values, likelihood_gradients), *sums]
    )
    values, sums = reduced[: len(parameters)], reduced[len(parameters) :]
    with tf.GradientTape() as divergence:
        divergence.watch(parameters)
        kl = model.kl(parameters, key)
        scaled_kl = tf.cast(kl_scale() if callable(kl_scale) else kl_scale, kl.dtype) * kl
    kl_gradients = divergence.gradient(scaled_kl, parameters, unconnected_gradients="zero")
    parameter_gradients = [
        _add(kl_gradient, gradient, value)
        for kl_gradient, gradient, value in zip(
            kl_gradients, likelihood_gradients, values, strict=True
        )
    ]
    variables = [variable.value for variable in model.fitted_variables]
    result = generation.gradient(parameters, variables, output_gradients=parameter_gradients)
    if estimator is not None:
        result = estimator.process(result)
    return Step(kl, sums, result)


def _values(gradient):
    """Returns a gradient without the rows that are zero, where it says which those are."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def _add(total, gradient, values):
    """Returns `total + gradient`, where `values` stand for those of the gradient."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.tensor_scatter_nd_add(total, gradient.indices[:, tf.newaxis], values)
    return total + values
