"""How a KL enters the loss: the one place in the package where a KL is scaled."""

import numbers

import tensorflow as tf


def scaled_kl(kl, num_train_examples, anneal=1.0, temperature=1.0):
    """The KL's share of a loss that is a mean over examples (Eq. 1 divided by N).

    ```
    loss = mean over examples of -log p(y | x, w) + temperature * anneal * KL / N
    ```

    Args:
        kl: Scalar, a number or a tensor, in nats.
        num_train_examples: Number N of training examples, positive: all, not those of a batch.
        anneal: Factor in [0, 1] of the training step, see `linear_annealing`.
        temperature: Constant factor; 1 is the evidence lower bound.

    Returns:
        Scalar, in nats per example.

    Raises:
        ValueError: If `num_train_examples` is a number and not positive.

    Example:
        >>> scaled_kl(1000.0, num_train_examples=500, anneal=0.5)
        1.0
    """
    if isinstance(num_train_examples, numbers.Real) and not num_train_examples > 0:
        raise ValueError(
            "Argument `num_train_examples` must be positive. "
            f"Received: num_train_examples={num_train_examples}"
        )
    return temperature * anneal * kl / num_train_examples


def linear_annealing(step, steps_per_epoch, start_epoch, num_epochs):
    """Factor that is 0 until `start_epoch` and rises to 1 over `num_epochs`.

    ```
    clip((step / steps_per_epoch - start_epoch) / num_epochs, 0, 1)
    ```

    The paper's MNIST runs of MNF and BbH start at epoch 5 and take 15 epochs.

    Args:
        step: Number of finished training steps, a number or a scalar tensor.
        steps_per_epoch: Steps in an epoch, a positive number.
        start_epoch: Number, in epochs, may be fractional.
        num_epochs: Number, in epochs, at least 0. 0: the factor is 1 from `start_epoch` on.

    Returns:
        Float for a number; a float32 scalar tensor for a tensor.

    Raises:
        ValueError: If `steps_per_epoch` is not positive or `num_epochs` is negative.

    Example:
        >>> linear_annealing(step=150, steps_per_epoch=100, start_epoch=1, num_epochs=2)
        0.25
    """
    if not steps_per_epoch > 0:
        raise ValueError(
            "Argument `steps_per_epoch` must be positive. "
            f"Received: steps_per_epoch={steps_per_epoch}"
        )
    if num_epochs < 0:
        raise ValueError(
            f"Argument `num_epochs` must be at least 0. Received: num_epochs={num_epochs}"
        )
    if isinstance(step, numbers.Real):
        since_start = step / steps_per_epoch - start_epoch
        if num_epochs == 0:
            return 1.0 if since_start >= 0 else 0.0
        return float(min(max(since_start / num_epochs, 0.0), 1.0))
    since_start = tf.cast(step, tf.float32) / steps_per_epoch - start_epoch
    if num_epochs == 0:
        return tf.cast(since_start >= 0, tf.float32)
    return tf.clip_by_value(since_start / num_epochs, 0.0, 1.0)
