"""The objective, negative ELBO per example (Eq. 1), and its gradients through the edges."""

from typing import NamedTuple

import tensorflow as tf

from bayes_by_hypernet import randomness

# Of the gradients with the adversarial estimate (authors' code).
CLIP = 5.0


class Terms(NamedTuple):
    """Terms of one step's loss; scalars.

    Attributes:
        loss: `nll + kl_scale * kl`, nats per example.
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


def gradients(method, images, labels, key, kl_scale, batch_size, multiply=None):
    """Returns the `Terms` of one step and the gradients of the loss, equal on every replica.

    To be called in a replica context. The likelihood's gradient with respect to the edges is
    summed over replicas; all before (the hypernetworks) and beside it (the KL) is computed alike
    on each. With a hypernetwork as generator that is a sum of n weight vectors, in place of the
    generator's far more parameters.

    Args:
        method: `Method`.
        images, labels: This replica's part of the batch.
        key: Stateless seed of the step, the same on every replica. What the examples' part of
            the network draws is keyed by the replica as well.
        kl_scale: What the KL is multiplied by: `temperature * anneal / N`.
        batch_size: Global batch size.
        multiply: Of `Method.edges`; a kernel that going back over it updates has the gradient
            None.
    """
    context = tf.distribute.get_replica_context()
    with tf.GradientTape() as generation:
        # Clipping needs the gradients themselves.
        edges = method.edges(key, None if method.adversarial_kl else multiply)
    with tf.GradientTape() as likelihood:
        likelihood.watch(edges)
        replica_key = randomness.fold_in(key, context.replica_id_in_sync_group)
        logits = method.training_logits(images, labels, edges, replica_key)  # (k, batch, classes)
        losses = method.likelihood.negative_log_likelihood(labels, logits)  # (k, batch)
        # Log-likelihoods are averaged over samples, not likelihoods (ruling 11).
        nll = tf.reduce_sum(tf.reduce_mean(losses, axis=0)) / batch_size
    likelihood_gradients = likelihood.gradient(nll, edges, unconnected_gradients="zero")
    correct = tf.reduce_sum(method.likelihood.correct(labels, logits)) / batch_size
    # Of samples that the likelihood has not seen nothing is exchanged: `_values`.
    *values, nll, correct = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [*map(_values, likelihood_gradients), nll, correct]
    )
    with tf.GradientTape() as divergence:
        divergence.watch(edges)
        kl = method.kl(edges, key)
        scaled_kl = kl_scale * kl
    kl_gradients = divergence.gradient(scaled_kl, edges, unconnected_gradients="zero")
    edge_gradients = [
        _add(kl_gradient, gradient, value)
        for kl_gradient, gradient, value in zip(
            kl_gradients, likelihood_gradients, values, strict=True
        )
    ]
    variables = [variable.value for variable in method.trainable_variables]
    terms = Terms(nll + scaled_kl, nll, kl, correct)
    variable_gradients = generation.gradient(edges, variables, output_gradients=edge_gradients)
    if method.adversarial_kl:
        variable_gradients = clipped(variable_gradients)
    return terms, variable_gradients


def _values(gradient):
    """Returns a gradient without the rows that are zero, where it says which those are."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def _add(total, gradient, values):
    """Returns `total + gradient`, where `values` stand for those of the gradient."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.tensor_scatter_nd_add(total, gradient.indices[:, tf.newaxis], values)
    return total + values


def discriminator_gradients(method, key):
    """Returns the gradients of the discriminator's loss on fresh posterior samples.

    Nothing here depends on the data: replicas need not exchange anything.
    """
    estimator = method.adversarial_kl
    draws = method.draw(method.options.num_kl_samples, randomness.fold_in(key, "posterior"))
    with tf.GradientTape() as tape:
        loss = estimator.loss(list(draws.values()), key)
    variables = [v.value for v in estimator.discriminator.trainable_variables]
    return clipped(tape.gradient(loss, variables))


def clipped(gradients):
    """Clips each component, of both networks of the adversarial estimate (protocol)."""
    return [tf.clip_by_value(gradient, -CLIP, CLIP) for gradient in gradients]
