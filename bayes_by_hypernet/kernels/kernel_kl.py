"""Eq. 2 of the paper in TensorFlow: nearest-neighbour estimates of KL(q || p) from samples.

Oracle and fallback of faster implementations. `n`, `m` are the numbers of posterior and prior
samples, `q` and `p` the samples themselves. Every distance d is guarded as `sqrt(d^2 + GUARD)`, so
that identical samples have a finite logarithm and a finite gradient (zero: they do not push each
other apart). Samples at exactly the same distance share the gradient equally, like `tf.reduce_min`.
"""

import functools
import math

import tensorflow as tf

# Added to squared distances; the number is the authors' (ruling 9 of the protocol).
GUARD = 1e-8

# Up to this many pairs of samples the independent estimator becomes straight-line code on
# single rows, twice as fast as the loop (two CPU cores, with and without XLA); 8 + 8 samples fit.
MAX_UNROLLED_PAIRS = 128


def independent_kl(q, p):
    """Eq. 2 with d = 1 for each weight, summed over the weights.

    ```
    to_prior[i, k] = min over j of |q[i, k] - p[j, k]|
    to_self[i, k]  = min over j != i of |q[i, k] - q[j, k]|
    kl = sum over k of (mean over i of log(to_prior / to_self) + log(m / (n - 1)))
    ```

    Autodiff would keep every difference of every pair of samples, `n * (n + m) * num_weights`
    numbers, several times. This keeps the nearest distances only and recomputes the rest for the
    gradient; no tensor has more than `max(n, m) * num_weights` elements. The gradient for `p` is a
    separate part, which a `tf.function` drops if it is not used.

    Args:
        q: Tensor `(n, num_weights)`, float32 or float64, n >= 2 known statically.
        p: Tensor `(m, num_weights)`, of the same dtype, m >= 1 known statically.

    Returns:
        Scalar tensor of the same dtype, in nats.
    """
    n, m = q.shape[0], p.shape[0]
    few = n * (n + m) <= MAX_UNROLLED_PAIRS
    sum_of_log_ratios = _unrolled_log_ratios if few else _looped_log_ratios
    num_weights = tf.cast(tf.shape(q)[1], q.dtype)
    return sum_of_log_ratios(q, p) / n + num_weights * math.log(m / (n - 1))


@tf.custom_gradient
def _unrolled_log_ratios(q, p):
    """Sum over samples and weights of log(to_prior / to_self), as code on rows `(num_weights,)`.

    Rows spare TensorFlow the broadcasts and reductions over samples, and XLA fuses the whole.
    """
    q_rows, p_rows = tf.unstack(q), tf.unstack(p)
    n, m = len(q_rows), len(p_rows)

    def nearest(row, others):
        return functools.reduce(tf.minimum, [tf.abs(row - other) for other in others])

    def other_rows(i):
        return q_rows[:i] + q_rows[i + 1 :]

    to_prior = [nearest(row, p_rows) for row in q_rows]
    to_self = [nearest(row, other_rows(i)) for i, row in enumerate(q_rows)]

    def pulls(row, others, nearest, upstream):
        """Derivatives of upstream * log(nearest) by `row`, split over what it is nearest to."""
        differences = [row - other for other in others]
        hits = [tf.cast(tf.equal(tf.abs(d), nearest), d.dtype) for d in differences]
        scale = upstream / (tf.add_n(hits) * (tf.square(nearest) + GUARD))
        return [hit * d * scale for hit, d in zip(hits, differences, strict=True)]

    def gradient(upstream):
        from_prior = [pulls(q_rows[i], p_rows, to_prior[i], upstream) for i in range(n)]
        from_self = [pulls(q_rows[i], other_rows(i), to_self[i], upstream) for i in range(n)]
        for i, row in enumerate(from_self):
            row.insert(i, None)  # now from_self[i][j] is between samples i and j
        grad_q = [
            tf.add_n(from_prior[i])
            + tf.add_n([from_self[j][i] for j in range(n) if j != i])
            - tf.add_n([from_self[i][j] for j in range(n) if j != i])
            for i in range(n)
        ]
        grad_p = [-tf.add_n([row[j] for row in from_prior]) for j in range(m)]
        return tf.stack(grad_q), tf.stack(grad_p)

    sums = [_sum_of_logs(a, b) for a, b in zip(to_prior, to_self, strict=True)]
    return tf.add_n(sums), gradient


@tf.custom_gradient
def _looped_log_ratios(q, p):
    """The same as a loop over the posterior samples, on arrays `(n or m, num_weights)`.

    Any number of samples makes the same small graph; one iteration at a time bounds the memory.
    """
    n = q.shape[0]

    def distances(i, others, skip_itself):
        distance = tf.abs(q[i] - others)  # (n or m, num_weights)
        if not skip_itself:
            return distance
        not_itself = tf.one_hot(i, n, on_value=math.inf, off_value=0.0, dtype=q.dtype)
        return distance + not_itself[:, tf.newaxis]

    def nearest(others, skip_itself):
        return tf.map_fn(
            lambda i: tf.reduce_min(distances(i, others, skip_itself), axis=0),
            tf.range(n),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec(q.shape[1:], q.dtype),
        )  # (n, num_weights)

    to_prior, to_self = nearest(p, skip_itself=False), nearest(q, skip_itself=True)

    def pulls(i, others, nearest, upstream, skip_itself):
        hits = tf.cast(tf.equal(distances(i, others, skip_itself), nearest[i]), q.dtype)
        scale = upstream / (tf.reduce_sum(hits, axis=0) * (tf.square(nearest[i]) + GUARD))
        return hits * (q[i] - others) * scale  # (n or m, num_weights)

    def gradient(upstream):
        def add_to_grad_q(grad_q, i):
            from_prior = pulls(i, p, to_prior, upstream, skip_itself=False)
            from_self = pulls(i, q, to_self, upstream, skip_itself=True)
            own = tf.reduce_sum(from_prior, axis=0) - tf.reduce_sum(from_self, axis=0)
            return tf.tensor_scatter_nd_add(grad_q + from_self, [[i]], [own])

        def add_to_grad_p(grad_p, i):
            return grad_p - pulls(i, p, to_prior, upstream, skip_itself=False)

        def over_samples(step, start):
            return tf.foldl(step, tf.range(n), start, parallel_iterations=1)

        grad_q = over_samples(add_to_grad_q, tf.zeros_like(q))
        return grad_q, over_samples(add_to_grad_p, tf.zeros_like(p))

    return _sum_of_logs(to_prior, to_self), gradient


def _sum_of_logs(to_prior, to_self):
    """Sum of log(to_prior / to_self), from distances that the guard has not entered yet."""
    ratio = (tf.square(to_prior) + GUARD) / (tf.square(to_self) + GUARD)
    return 0.5 * tf.reduce_sum(tf.math.log(ratio))


def full_kl(q, p):
    """Eq. 2 with d = num_weights: nearest neighbours in the joint space of all weights.

    ```
    to_prior[i] = min over j of ||q[i] - p[j]||
    to_self[i]  = min over j != i of ||q[i] - q[j]||
    kl = num_weights * mean over i of log(to_prior / to_self) + log(m / (n - 1))
    ```

    Args:
        q: List of tensors `(n, num_weights_l)`, float32 or float64, n >= 2 known statically: the
            weights of a network in as many pieces as one likes, since squared distances add up.
        p: List of tensors `(m, num_weights_l)`, of the same dtype, m >= 1 known statically.

    Returns:
        Scalar tensor of the same dtype, in nats.
    """
    n, m, dtype = q[0].shape[0], p[0].shape[0], q[0].dtype
    squared = _squared_distances([tf.concat(pair, 0) for pair in zip(q, p, strict=True)], n)
    distances = tf.cast(tf.sqrt(squared + GUARD), dtype)  # (n, n + m)
    not_itself = tf.linalg.set_diag(distances[:, :n], tf.fill([n], tf.constant(math.inf, dtype)))
    to_prior = tf.reduce_min(distances[:, n:], axis=1)  # (n,)
    to_self = tf.reduce_min(not_itself, axis=1)  # (n,)
    num_weights = tf.cast(tf.add_n([tf.shape(piece)[1] for piece in q]), dtype)
    mean_log_ratio = tf.reduce_mean(tf.math.log(to_prior / to_self))
    return num_weights * mean_log_ratio + math.log(m / (n - 1))


def _squared_distances(pieces, n):
    """Squared distances of the first n rows to all rows, summed over the pieces: `(n, rows)`.

    ||a - b||^2 = ||a||^2 + ||b||^2 - 2 a b loses all digits for close samples in float32. Float64
    about the samples' centre leaves an error of some 1e-16 * ||w||^2, far below the guard. Even
    so it can fall below zero, hence the clipping.
    """
    products = tf.add_n([_centred_products(piece) for piece in pieces])  # (rows, rows)
    norms = tf.linalg.diag_part(products)  # (rows,)
    return tf.maximum(norms[:n, tf.newaxis] + norms - 2.0 * products[:n], 0.0)


@tf.custom_gradient
def _centred_products(samples):
    """Inner products of samples `(rows, num_weights)` about their mean: `(rows, rows)`, float64.

    The gradient treats the centre as a constant: distances do not depend on it. Autodiff would
    need two matrix products and a sum for what is one product.
    """
    # Cast first: float32 would round what is left of close samples far from the centre.
    centre = tf.cast(tf.reduce_mean(samples, axis=0), tf.float64)
    centred = tf.cast(samples, tf.float64) - centre  # (rows, num_weights)

    def gradient(upstream):
        return tf.cast(tf.matmul(upstream + tf.transpose(upstream), centred), samples.dtype)

    return tf.matmul(centred, centred, transpose_b=True), gradient
