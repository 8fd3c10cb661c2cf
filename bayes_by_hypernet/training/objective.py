"""The objective, negative ELBO per example (Eq. 1), and its gradients through the edges."""

from typing import NamedTuple

import tensorflow as tf


class Terms(NamedTuple):
    """Terms of one step's loss; scalars.

    Attributes:
        loss: `nll + kl_scale * kl`, nats per example.
        nll: Mean negative log-likelihood of the batch, nats per example.
        kl: Divergence from the prior, nats, unscaled.
        accuracy: Share of the batch that the mean prediction gets right.
    """

    loss: tf.Tensor
    nll: tf.Tensor
    kl: tf.Tensor
    accuracy: tf.Tensor


class NonFiniteLossError(FloatingPointError):
    """A term of the loss became NaN or infinite."""


def gradients(method, images, labels, key, kl_scale, batch_size):
    """Returns the `Terms` of one step and the gradients of the loss, equal on every replica.

    To be called in a replica context. The likelihood's gradient with respect to the edges is
    summed over replicas; all before (the hypernetworks) and beside it (the KL) is computed alike
    on each. With a hypernetwork as generator that is a sum of n weight vectors, in place of the
    generator's far more parameters.

    Args:
        method: `Method`.
        images, labels: This replica's part of the batch.
        key: Stateless seed of the step, the same on every replica.
        kl_scale: What the KL is multiplied by: `temperature * anneal / N`.
        batch_size: Global batch size.
    """
    context = tf.distribute.get_replica_context()
    with tf.GradientTape() as generation:
        edges = method.edges(key)
    with tf.GradientTape() as likelihood:
        likelihood.watch(edges)
        logits = method.training_logits(images, edges, key)  # (k, batch, classes)
        nll = tf.reduce_sum(_negative_log_likelihood(labels, logits)) / batch_size
    likelihood_gradients = likelihood.gradient(nll, edges, unconnected_gradients="zero")
    correct = tf.reduce_sum(_correct(labels, logits)) / batch_size
    *likelihood_gradients, nll, correct = context.all_reduce(
        tf.distribute.ReduceOp.SUM, [*likelihood_gradients, nll, correct]
    )
    with tf.GradientTape() as divergence:
        divergence.watch(edges)
        kl = method.kl(edges, key)
    kl_gradients = divergence.gradient(kl, edges, unconnected_gradients="zero")
    edge_gradients = [
        a + kl_scale * b for a, b in zip(likelihood_gradients, kl_gradients, strict=True)
    ]
    variables = [variable.value for variable in method.trainable_variables]
    terms = Terms(nll + kl_scale * kl, nll, kl, correct)
    return terms, generation.gradient(edges, variables, output_gradients=edge_gradients)


def _negative_log_likelihood(labels, logits):
    """Returns `-log p(y | x, w)`, averaged over the k samples of w (ruling 11); `(batch,)`."""
    labels = tf.broadcast_to(labels, tf.shape(logits)[:2])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return tf.reduce_mean(losses, axis=0)


def _correct(labels, logits):
    mean = tf.reduce_mean(tf.nn.softmax(logits), axis=0)  # (batch, classes)
    return tf.cast(tf.argmax(mean, axis=-1) == labels, tf.float32)
