"""The analytic divergence of a factorised Gaussian posterior from a Gaussian prior."""

import numbers

import tensorflow as tf


def gaussian_kl(mean, stddev, prior_stddev=1.0):
    """KL(N(mean, stddev^2) || N(0, prior_stddev^2)), summed over independent weights.

    ```
    kl = sum over k of (log(prior_stddev / stddev_k)
                        + (stddev_k^2 + mean_k^2) / (2 prior_stddev^2) - 1/2)
    ```

    Args:
        mean: Tensor of any shape.
        stddev: Positive tensor of a shape that broadcasts with `mean`'s.
        prior_stddev: Positive number.

    Returns:
        Scalar tensor, in nats, not scaled by anything: float64 for a float64 `mean`, else float32.

    Raises:
        ValueError: If `prior_stddev` is a number and not positive.

    Example:
        >>> round(float(gaussian_kl(mean=0.0, stddev=0.5)), 4)
        0.3181
    """
    if isinstance(prior_stddev, numbers.Real) and not prior_stddev > 0:
        raise ValueError(
            f"Argument `prior_stddev` must be positive. Received: prior_stddev={prior_stddev}"
        )
    mean = tf.convert_to_tensor(mean)
    dtype = tf.float64 if mean.dtype == tf.float64 else tf.float32
    mean = tf.cast(mean, dtype) / tf.cast(prior_stddev, dtype)
    stddev = tf.cast(stddev, dtype) / tf.cast(prior_stddev, dtype)
    return tf.reduce_sum(0.5 * (tf.square(stddev) + tf.square(mean) - 1.0) - tf.math.log(stddev))
