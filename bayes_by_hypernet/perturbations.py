"""Gradient steps on inputs, as functions of a loss: adversarial training and attacks."""

import tensorflow as tf


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
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        value = loss(inputs)
    return tf.stop_gradient(inputs + epsilon * tf.sign(tape.gradient(value, inputs)))
