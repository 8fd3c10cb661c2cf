"""Gradient steps on inputs, as functions of a loss: adversarial training and attacks."""

import numpy as np
import tensorflow as tf


def cross_entropy(labels, logits):
    """Cross-entropy whose gradient is right where the model is certain.

    That of the usual form contains `p - 1`, which float32 rounds to 0 for a label with p within
    6e-8 of 1, as for many test images; the gradient then lacks the label's part. Here it is

    ```
    softplus(log sum over c != label of exp(logit_c) - logit_label)
    ```

    whose gradient is exact to rounding while p is within e^-87 of 1.

    Args:
        labels: Integer tensor `(batch,)`.
        logits: Tensor `(batch, classes)`, at least 2 classes.

    Returns:
        Tensor `(batch,)`, nats.

    Raises:
        InvalidArgumentError: If a label is none of the classes.
    """
    return tf.nn.softplus(cross_entropy_margin(labels, logits))


def cross_entropy_margin(labels, logits):
    """Returns by how much the other classes together exceed the label; see `cross_entropy`.

    The cross-entropy is softplus of `log sum over c != label of exp(logit_c) - logit_label`.

    Args:
        labels: Integer tensor `(batch, ...)`.
        logits: Tensor `(batch, ..., classes)`, at least 2 classes.

    Returns:
        Tensor `(batch, ...)`, nats.

    Raises:
        InvalidArgumentError: If a label is none of the classes.
    """
    num_classes = tf.shape(logits)[-1]
    labels = known_classes(labels, num_classes)
    is_label = tf.one_hot(labels, num_classes, on_value=True, off_value=False)
    others = tf.reduce_logsumexp(tf.where(is_label, -np.inf, logits), axis=-1)  # (batch, ...)
    return others - tf.reduce_sum(tf.where(is_label, logits, 0.0), axis=-1)


def known_classes(labels, num_classes):
    """Returns labels as int32; InvalidArgumentError if one is none of the classes."""
    num_classes = tf.cast(num_classes, tf.int64)
    labels = tf.cast(labels, tf.int64)  # before int32 wraps what is beyond
    is_known = tf.reduce_all((labels >= 0) & (labels < num_classes))
    message = "Argument `labels` must be at least 0 and less than the number of classes. Received:"
    with tf.control_dependencies([tf.debugging.Assert(is_known, [message, labels, num_classes])]):
        return tf.cast(labels, tf.int32)


def input_gradient(inputs, loss):
    """Returns the gradient of `loss(inputs)`, a scalar or `(batch,)`, in the shape of `inputs`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        value = loss(inputs)
    return tape.gradient(value, inputs)


def scaled_gradients(inputs, loss):
    """Returns gradients with respect to several inputs, and what the loss says besides.

    Args:
        inputs: List of tensors of floats.
        loss: Function of such a list that returns a loss `(batch,)` and another tensor.

    Returns:
        Gradients, a list like `inputs` (zeros for inputs that do not matter), and the tensor.

    Raises:
        ValueError: If no input has a gradient.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        value, other = loss(inputs)
    gradients = tape.gradient(value, inputs) if inputs else []
    if all(gradient is None for gradient in gradients):
        raise ValueError(
            "The model's outputs have no gradient with respect to its inputs: integers (token ids, "
            "categories) and strings cannot be moved by a small step, nor can what the model casts "
            "to integers. Attack the model from its embeddings on."
        )
    pairs = zip(inputs, gradients, strict=True)
    return [tf.zeros_like(x) if g is None else tf.convert_to_tensor(g) for x, g in pairs], other


def fast_sign(inputs, epsilon, loss):
    """One step of the fast sign method (Goodfellow et al., 2015).

    ```
    x_adv = x + epsilon * sign(d loss(x) / d x)
    ```

    Args:
        inputs: Tensor x.
        epsilon: Number, in units of `inputs`.
        loss: Function of `inputs` that returns a scalar, or losses of the examples `(batch,)`.

    Returns:
        Tensor of the shape of `inputs`, through which no gradient flows.
    """
    return tf.stop_gradient(inputs + epsilon * tf.sign(input_gradient(inputs, loss)))


def projected_gradient(inputs, epsilon, gradient, num_steps, step_size, start, clip=None):
    """Sign steps that stay within `epsilon` of the inputs in every pixel (Madry et al., 2018).

    ```
    x_adv = project(x_adv + step_size * sign(gradient(x_adv)))
    ```

    Args:
        inputs: Tensor x.
        epsilon: Number, in units of `inputs`.
        gradient: Function of a tensor like `inputs` that returns the gradient of a loss there.
        num_steps: Integer.
        step_size: Number, in units of `inputs`.
        start: Tensor like `inputs`, where the first step begins; it is projected too.
        clip: Pair, the range of valid inputs, or None.

    Returns:
        Tensor of the shape of `inputs`.
    """

    def project(x):
        x = inputs + tf.clip_by_value(x - inputs, -epsilon, epsilon)
        return x if clip is None else tf.clip_by_value(x, *clip)

    x = project(start)
    for _ in range(num_steps):
        x = project(x + step_size * tf.sign(gradient(x)))
    return x
