"""The nearest-neighbour entropy of single weights in TensorFlow (Kozachenko and Leonenko, 1987).

Oracle and fallback of the C++ operation. `q` are samples `(n, num_weights)`. Distances are guarded
relative to the spread of each weight's samples:

```
guard[k] = (RELATIVE_GUARD / n)^2 * var over i of q[i, k] + TINY
```

so that `log(sqrt(d^2 + guard))` grows by exactly log a if all samples of a weight are multiplied by
a: its gradient widens a narrow posterior as strongly as a wide one. Without a guard 1 / d has no
finite variance, and a few weights would make up the gradient of all. `TINY` is for identical
samples only: their gradient is zero. Samples at exactly the same distance share the gradient
equally.
"""

import functools
import math

import tensorflow as tf

RELATIVE_GUARD = 1e-3  # lowers the estimate by less than 0.005 nats per weight (normal, n <= 100)
TINY = 1e-24

# Up to this many samples a weight's distances are straight-line code on single rows, which is
# faster than the loop (two CPU cores, with and without XLA).
MAX_UNROLLED = 10


def negative_entropy(q):
    """Minus the entropies of single weights, estimated from samples and summed over the weights.

    ```
    to_self[i, k] = min over j != i of |q[i, k] - q[j, k]|
    entropy = sum over k of (mean over i of log(to_self) + digamma(n) - digamma(1) + log(2))
    ```

    No tensor has more than `n * num_weights` elements.

    Args:
        q: Tensor `(n, num_weights)`, float32 or float64, n >= 2 known statically.

    Returns:
        Scalar tensor of the same dtype, in nats.
    """
    num_weights = tf.cast(tf.shape(q)[1], q.dtype)
    return -_sum_of_log_distances(q) / q.shape[0] - num_weights * entropy_offset(q.shape[0])


def entropy_offset(n):
    """Returns what the entropy of one weight is besides the mean log distance, a float.

    `digamma(n) - digamma(1)` is the harmonic number of n - 1; 2 is the length of the unit ball.
    """
    return math.fsum(1 / i for i in range(1, n)) + math.log(2)


@tf.custom_gradient
def _sum_of_log_distances(q):
    """Sum over samples and weights of `log(sqrt(to_self^2 + guard))`."""
    n = q.shape[0]
    nearest, pushes = (_nearest_of_few, _pushes_of_few)
    if n > MAX_UNROLLED:
        nearest, pushes = (_nearest_of_many, _pushes_of_many)
    to_self = nearest(q)  # (n, num_weights)
    shifted = q - q[0]  # exactly zero where all are equal, whatever their mean rounds to
    centred = shifted - tf.reduce_mean(shifted, axis=0)
    relative = (RELATIVE_GUARD / n) ** 2
    guard = relative * tf.reduce_mean(tf.square(centred), axis=0) + TINY  # (num_weights,)
    squared = tf.square(to_self) + guard

    def gradient(upstream):
        scale = upstream / squared  # (n, num_weights)
        by_guard = tf.reduce_sum(scale, axis=0) * (relative / n)
        return pushes(q, to_self, scale) + by_guard * centred

    return 0.5 * tf.reduce_sum(tf.math.log(squared)), gradient


def _nearest_of_few(q):
    """Distance of each sample to its nearest other, `(n, num_weights)`."""
    distances = _pairs(tf.unstack(q), lambda a, b: tf.abs(a - b))
    return tf.stack([functools.reduce(tf.minimum, of_one) for of_one in distances])


def _pushes_of_few(q, to_self, scale):
    """Gradient of the sum over i of `scale[i] * to_self[i]^2 / 2`: nearest samples push apart."""
    rows = list(zip(tf.unstack(q), tf.unstack(to_self), strict=True))
    hits = _pairs(rows, lambda a, b: tf.cast(tf.equal(tf.abs(a[0] - b[0]), a[1]), q.dtype))
    scales = [s / tf.add_n(h) for s, h in zip(tf.unstack(scale), hits, strict=True)]
    weights = [[s * hit for hit in of_one] for s, of_one in zip(scales, hits, strict=True)]
    gradients = []
    for i, (row, _) in enumerate(rows):
        others = [other for j, (other, _) in enumerate(rows) if j != i]
        # Sample j is nearest to i, or i to j; i is entry i - 1 of the others of an earlier j.
        of_others = [w[i - (i > j)] for j, w in enumerate(weights) if j != i]
        both = [a + b for a, b in zip(weights[i], of_others, strict=True)]
        gradients.append(
            tf.add_n([(row - other) * w for other, w in zip(others, both, strict=True)])
        )
    return tf.stack(gradients)


def _pairs(rows, function):
    """Returns for each row the list of `function(row, other)` of all others."""
    return [
        [function(row, other) for j, other in enumerate(rows) if j != i]
        for i, row in enumerate(rows)
    ]


def _distances(q, i):
    """Distances of sample i to all, infinite to itself: `(n, num_weights)`."""
    itself = tf.one_hot(i, q.shape[0], on_value=math.inf, off_value=0.0, dtype=q.dtype)
    return tf.abs(q[i] - q) + itself[:, tf.newaxis]


def _nearest_of_many(q):
    """As `_nearest_of_few`, as a loop over samples: any number makes the same small graph."""
    return tf.map_fn(
        lambda i: tf.reduce_min(_distances(q, i), axis=0),
        tf.range(q.shape[0]),
        parallel_iterations=1,  # bounds the memory
        fn_output_signature=tf.TensorSpec(q.shape[1:], q.dtype),
    )


def _pushes_of_many(q, to_self, scale):
    """As `_pushes_of_few`, as a loop."""

    def add(gradient, i):
        hits = tf.cast(tf.equal(_distances(q, i), to_self[i]), q.dtype)
        pushes = hits * (q[i] - q) * (scale[i] / tf.reduce_sum(hits, axis=0))
        own = tf.reduce_sum(pushes, axis=0)
        return tf.tensor_scatter_nd_add(gradient - pushes, [[i]], [own])

    return tf.foldl(add, tf.range(q.shape[0]), tf.zeros_like(q), parallel_iterations=1)
