"""The TensorFlow form of Eq. 2: its numbers, its gradients, and what it keeps in memory."""

import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from bayes_by_hypernet.kernels import kernel_kl as ops

# Samples with the number of pairs below and above which the code is unrolled.
FEW = {"n": 5, "m": 5}
MANY = {"n": 12, "m": 3}


def samples(n, m, num_weights, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    q = 0.3 + 0.5 * rng.normal(size=(n, num_weights))
    return q.astype(dtype), rng.normal(size=(m, num_weights)).astype(dtype)


def numpy_independent(q, p):
    """Eq. 2, d = 1, one weight after the other."""
    n, m = len(q), len(p)
    total = 0.0
    for k in range(q.shape[1]):
        for i in range(n):
            to_prior = min(np.hypot(q[i, k] - p[j, k], 1e-4) for j in range(m))
            to_self = min(np.hypot(q[i, k] - q[j, k], 1e-4) for j in range(n) if j != i)
            total += np.log(to_prior / to_self) / n
        total += np.log(m / (n - 1))
    return total


def numpy_full(q, p):
    """Eq. 2, d = num_weights, one pair of samples after the other."""
    n, m = len(q), len(p)
    total = 0.0
    for i in range(n):
        to_prior = min(np.sqrt(np.sum((q[i] - p[j]) ** 2) + 1e-8) for j in range(m))
        to_self = min(np.sqrt(np.sum((q[i] - q[j]) ** 2) + 1e-8) for j in range(n) if j != i)
        total += np.log(to_prior / to_self) / n
    return q.shape[1] * total + np.log(m / (n - 1))


def full_kl(q, p):
    return ops.full_kl([q], [p])


ESTIMATORS = {
    "independent": (ops.independent_kl, numpy_independent),
    "full": (full_kl, numpy_full),
}


def value_and_gradients(kl, q, p):
    q, p = tf.convert_to_tensor(q), tf.convert_to_tensor(p)
    with tf.GradientTape() as tape:
        tape.watch([q, p])
        value = kl(q, p)
    return value, tape.gradient(value, [q, p])


def numerical_gradient(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


class KernelKLValueTest(parameterized.TestCase):
    def test_by_hand(self):
        # Nearest prior samples at 1 and 2, each other at 3: log(1/3) and log(2/3), mean
        # log(2)/2 - log(3); m / (n - 1) = 2.
        q, p = tf.constant([[0.0], [3.0]]), tf.constant([[-1.0], [5.0]])
        expected = 0.5 * np.log(2) - np.log(3) + np.log(2)
        # float32 of a few operations; the guard changes distances >= 1 by less than 1e-8.
        np.testing.assert_allclose(ops.independent_kl(q, p), expected, rtol=1e-6)
        np.testing.assert_allclose(full_kl(q, p), expected, rtol=1e-6)
        # d/dq of (log(q_0 + 1) + log(5 - q_1)) / 2 - log(q_1 - q_0).
        _, (grad_q, grad_p) = value_and_gradients(ops.independent_kl, q, p)
        np.testing.assert_allclose(grad_q, [[1 / 2 + 1 / 3], [-1 / 4 - 1 / 3]], rtol=1e-6)
        np.testing.assert_allclose(grad_p, [[-1 / 2], [1 / 4]], rtol=1e-6)

    @parameterized.product(
        estimator=list(ESTIMATORS),
        sizes=[(2, 1, 3), (2, 2, 1), (5, 5, 40), (3, 7, 11), (12, 3, 9), (100, 100, 3)],
    )
    def test_equals_numpy_twin(self, estimator, sizes):
        kl, twin = ESTIMATORS[estimator]
        q, p = samples(*sizes)
        # float64 throughout; `full` loses some digits in ||a||^2 + ||b||^2 - 2 a b.
        np.testing.assert_allclose(kl(tf.constant(q), tf.constant(p)), twin(q, p), rtol=1e-10)
        # float32: sums of up to 300 logarithms of order 1.
        q, p = q.astype(np.float32), p.astype(np.float32)
        np.testing.assert_allclose(
            kl(tf.constant(q), tf.constant(p)), twin(q, p), rtol=1e-4, atol=1e-4
        )

    def test_full_is_accurate_for_close_samples_far_from_zero(self):
        # Distances of 1e-3 around 100: float32's ||a||^2 + ||b||^2 - 2 a b would be noise.
        q, p = samples(4, 3, 500, np.float32)
        q, p = 100 + 1e-3 * q, 100 + 1e-3 * p
        expected = numpy_full(q.astype(np.float64), p.astype(np.float64))
        np.testing.assert_allclose(
            full_kl(tf.constant(q), tf.constant(p)),
            expected,
            rtol=1e-5,  # float32 of the quotient and its logarithm, times 500 weights
        )

    def test_full_adds_squared_distances_over_pieces(self):
        q, p = samples(5, 4, 30)
        pieces = [tf.split(tf.constant(x), [7, 22, 1], axis=1) for x in (q, p)]
        # float64; the pieces sum in another order.
        np.testing.assert_allclose(ops.full_kl(*pieces), numpy_full(q, p), rtol=1e-10)


class KernelKLGradientTest(parameterized.TestCase):
    @parameterized.product(estimator=list(ESTIMATORS), counts=[FEW, MANY])
    def test_equals_numerical_gradient(self, estimator, counts):
        kl, twin = ESTIMATORS[estimator]
        q, p = samples(**counts, num_weights=6)
        value, (grad_q, grad_p) = value_and_gradients(lambda q, p: 3.0 * kl(q, p), q, p)
        np.testing.assert_allclose(value, 3.0 * twin(q, p), rtol=1e-10)
        # Central differences of step 1e-6: an error of (1e-6 / distance)^2, relative, and of
        # 1e-16 * kl / 1e-6, absolute.
        numerical_q = numerical_gradient(lambda x: 3.0 * twin(x, p), q)
        numerical_p = numerical_gradient(lambda x: 3.0 * twin(q, x), p)
        np.testing.assert_allclose(grad_q, numerical_q, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(grad_p, numerical_p, rtol=1e-4, atol=1e-6)

    @parameterized.product(estimator=list(ESTIMATORS), sizes=[(2, 1), (5, 5), (12, 3)])
    def test_is_finite_and_zero_for_identical_samples(self, estimator, sizes):
        kl, _ = ESTIMATORS[estimator]
        q, p = (tf.fill((count, 7), 0.3) for count in sizes)
        value, gradients = value_and_gradients(kl, q, p)
        n, m = sizes
        terms = 7 if estimator == "independent" else 1
        np.testing.assert_allclose(value, terms * np.log(m / (n - 1)), rtol=1e-6)
        for gradient in gradients:
            # Exactly zero but for `full`: its centre is rounded, to 1e-8 of 0.3, and products
            # of float64 with coefficients of 1e8 leave 1e-16 * 1e8 of that.
            np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=1e-6)

    @parameterized.product(estimator=list(ESTIMATORS), counts=[FEW, MANY])
    def test_is_finite_for_some_duplicates(self, estimator, counts):
        kl, twin = ESTIMATORS[estimator]
        q, p = samples(**counts, num_weights=50, dtype=np.float32)
        q[1] = q[0]
        p[1] = q[2]
        value, gradients = value_and_gradients(kl, q, p)
        expected = twin(q.astype(np.float64), p.astype(np.float64))
        np.testing.assert_allclose(value, expected, rtol=1e-4)  # float32, distances down to 1e-4
        for gradient in gradients:
            self.assertTrue(np.isfinite(gradient).all())

    @parameterized.product(estimator=list(ESTIMATORS), counts=[FEW, MANY])
    def test_prior_samples_may_be_the_posterior_samples(self, estimator, counts):
        kl, twin = ESTIMATORS[estimator]
        q, _ = samples(**counts, num_weights=4)
        tensor = tf.constant(q)
        # float64; a distance of zero is 1e-4 by the guard, to which `full` adds rounding errors
        # of 1e-16 * ||w||^2 under the root.
        np.testing.assert_allclose(kl(tensor, tensor), twin(q, q), rtol=1e-7)

    @parameterized.product(estimator=list(ESTIMATORS), unrolled=[True, False])
    def test_ties_share_equally(self, estimator, unrolled):
        kl, _ = ESTIMATORS[estimator]
        # Sample 0 has prior samples at distance 1 on either side, two of them on the right; all
        # others of q are farther from it than they are from each other.
        others = [10.0] if unrolled else [10.0 + 2 * i for i in range(12)]
        q = tf.constant([[0.0], *([x] for x in others)])
        p = tf.constant([[-1.0], [1.0], [1.0], [9.0]])
        n = len(q)
        _, (_, grad_p) = value_and_gradients(kl, q, p)
        # One third each: d log|q - p| / dp = -1 / (q - p).
        expected = np.array([-1.0, 1.0, 1.0]) / (3 * n)
        np.testing.assert_allclose(grad_p[:3, 0], expected, rtol=1e-6)  # float32
        # The middle one of three equidistant samples is pulled to both sides: its own part
        # vanishes, and its neighbours' parts cancel.
        q, p = tf.constant([[-1.0], [0.0], [1.0]]), tf.constant([[-50.0], [50.0]])
        _, (grad_q, _) = value_and_gradients(kl, q, p)
        np.testing.assert_allclose(grad_q[1], [0.0], atol=1e-6)  # float32 of terms of order 1

    def test_equals_autodiff_on_ties(self):
        # Values on a coarse grid: most nearest distances are tied, and differences are exact.
        rng = np.random.default_rng(1)
        q, p = (rng.integers(-4, 5, size=(count, 200)) / 4 for count in (5, 5))

        def plain(q, p):
            to_prior = tf.reduce_min(tf.sqrt((q[:, None] - p) ** 2 + 1e-8), axis=1)
            to_self = (
                tf.sqrt((q[:, None] - q) ** 2 + 1e-8) + np.where(np.eye(5), np.inf, 0)[..., None]
            )
            to_self = tf.reduce_min(to_self, axis=1)
            log_ratio = tf.reduce_mean(tf.math.log(to_prior / to_self), axis=0)
            return tf.reduce_sum(log_ratio + np.log(5 / 4))

        value, gradients = value_and_gradients(ops.independent_kl, q, p)
        plain_value, plain_gradients = value_and_gradients(plain, q, p)
        np.testing.assert_allclose(value, plain_value, rtol=1e-12)  # float64
        for ours, theirs in zip(gradients, plain_gradients, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)  # float64

    def test_unrolled_and_looped_agree(self):
        q, p = samples(4, 3, 25)
        ours = value_and_gradients(ops._unrolled_log_ratios, q, p)
        other = value_and_gradients(ops._looped_log_ratios, q, p)
        for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)  # float64, order of sums


class KernelKLGraphTest(parameterized.TestCase):
    @parameterized.product(
        estimator=list(ESTIMATORS), counts=[FEW, MANY], jit_compile=[False, True]
    )
    def test_function_equals_eager(self, estimator, counts, jit_compile):
        kl, _ = ESTIMATORS[estimator]
        q, p = samples(**counts, num_weights=30, dtype=np.float32)
        eager = value_and_gradients(kl, q, p)
        function = tf.function(
            lambda q, p: value_and_gradients(kl, q, p), jit_compile=jit_compile, autograph=False
        )
        compiled = function(tf.constant(q), tf.constant(p))
        for a, b in zip(tf.nest.flatten(compiled), tf.nest.flatten(eager), strict=True):
            # float32 in another order; gradients hold 1 / distance, with distances near 1e-3.
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)

    @parameterized.product(estimator=list(ESTIMATORS), counts=[FEW, MANY])
    def test_unknown_number_of_weights(self, estimator, counts):
        kl, twin = ESTIMATORS[estimator]
        signature = [tf.TensorSpec((count, None), tf.float64) for count in counts.values()]
        function = tf.function(
            lambda q, p: value_and_gradients(kl, q, p), signature, autograph=False
        )
        q, p = samples(**counts, num_weights=30)
        value, (grad_q, _) = function(q, p)
        np.testing.assert_allclose(value, twin(q, p), rtol=1e-10)  # float64
        self.assertEqual(grad_q.shape, q.shape)

    @parameterized.product(estimator=list(ESTIMATORS), counts=[FEW, MANY])
    def test_no_tensor_holds_every_difference(self, estimator, counts):
        kl, _ = ESTIMATORS[estimator]
        num_weights = 1009
        signature = [tf.TensorSpec((n, num_weights), tf.float32) for n in counts.values()]
        function = tf.function(lambda q, p: value_and_gradients(kl, q, p), autograph=False)
        largest = max(elements_of_tensors(function.get_concrete_function(*signature).graph))
        # `full` joins posterior and prior samples: (n + m, num_weights).
        limit = sum(counts.values()) if estimator == "full" else max(counts.values())
        self.assertLessEqual(largest, limit * num_weights)
        # The bodies of loops were indeed looked at: theirs is the largest.
        if counts == MANY:
            self.assertEqual(largest, limit * num_weights)

    def test_prior_gradient_is_dropped_where_nobody_asks(self):
        def only_q(q, p):
            with tf.GradientTape() as tape:
                tape.watch(q)
                value = ops.independent_kl(q, p)
            return tape.gradient(value, q)

        signature = [tf.TensorSpec((n, 11), tf.float32) for n in (5, 5)]
        both = tf.function(
            lambda q, p: value_and_gradients(ops.independent_kl, q, p)[1], autograph=False
        )
        outputs = both.get_concrete_function(*signature).graph.outputs
        only_q = tf.function(only_q).get_concrete_function(*signature).graph.outputs
        # TensorFlow runs what the outputs depend on and drops the rest of a graph.
        self.assertLen(ancestors(only_q), len(ancestors(outputs[:1])))
        self.assertLess(len(ancestors(only_q)), len(ancestors(outputs)))


def elements_of_tensors(graph):
    """Number of elements of every tensor of a graph, its loops' bodies and all it calls."""
    definition = graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    for node in nodes:
        for shape in node.attr["_output_shapes"].list.shape:
            if not shape.unknown_rank:
                yield math.prod(dim.size for dim in shape.dim)


def ancestors(tensors):
    """Names of the operations that the tensors depend on."""
    found, waiting = set(), [tensor.op for tensor in tensors]
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs]
    return found
