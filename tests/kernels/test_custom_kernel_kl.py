"""The C++ form of Eq. 2 against its twin in TensorFlow, on the same prior samples."""

import numpy as np
import pytest
import tensorflow as tf
from kernel_kl_cases import (
    DTYPES,
    SEARCHES,
    WIDTHS,
    draw,
    largest_terms,
    value_and_gradients,
)

from bayes_by_hypernet.kernels import custom_kernel_kl as ops
from bayes_by_hypernet.kernels import kernel_kl as twin

pytestmark = pytest.mark.usefixtures("cpp_operations")

COUNTS = [(2, 1), (5, 5), (7, 3), (32, 32), (33, 32), (100, 100), (2, 100), (100, 1)]


def joined_twin(q, p):
    return twin.independent_kl(tf.concat(q, 1), tf.concat(p, 1))


def assert_gradients_agree(ours, theirs, q, p):
    for a, b, tolerance in zip(ours, theirs, map(largest_terms, q, p), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape and np.isfinite(a).all()
        # Differences of the same two numbers round alike in both forms. What is left is the
        # rounding of each term and of a sum of up to n + m of them, which may cancel.
        num_terms = len(q[0]) + len(p[0])
        assert (np.abs(a - b) <= 2 * num_terms * np.finfo(a.dtype).eps * tolerance).all()


def assert_equals_twin(q, p):
    """Compares both gradients with the twin's, and the value with the twin's in float64."""
    ours, theirs = (value_and_gradients(kl, q, p) for kl in (ops.independent_kl, joined_twin))
    assert_gradients_agree(ours[1], theirs[1], q, p)
    assert_gradients_agree(ours[2], theirs[2], q, p)
    expected = joined_twin(*([np.asarray(x, np.float64) for x in pieces] for pieces in (q, p)))
    # A distance rounds by half a unit in the last place; its square, their quotient and its
    # logarithm by some more, for each weight. Double precision adds up the logarithms.
    ulp = np.finfo(ours[0].dtype.as_numpy_dtype).eps
    num_weights = sum(x.shape[1] for x in q)
    np.testing.assert_allclose(ours[0], expected, rtol=4 * ulp, atol=8 * ulp * num_weights)


class TestEqualsTwin:
    def test_by_hand(self):
        # As in test_kernel_kl: nearest prior samples at 1 and 2, each other at 3.
        value, [grad_q], [grad_p] = value_and_gradients(
            ops.independent_kl, [[[0.0], [3.0]]], [[[-1.0], [5.0]]]
        )
        # float32 of a few operations; the guard changes distances >= 1 by less than 1e-8.
        np.testing.assert_allclose(value, 1.5 * np.log(2) - np.log(3), rtol=1e-6)
        np.testing.assert_allclose(grad_q, [[1 / 2 + 1 / 3], [-1 / 4 - 1 / 3]], rtol=1e-6)
        np.testing.assert_allclose(grad_p, [[-1 / 2], [1 / 4]], rtol=1e-6)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("n, m", COUNTS)
    def test_pieces_of_many_widths(self, n, m, dtype):
        # The twin takes seconds for many samples of the widest piece.
        widths = WIDTHS if n < 100 else WIDTHS[:-1]
        assert_equals_twin(*draw(n, m, widths, dtype))

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("extent", [0, 1, 4, 30, 300])
    @SEARCHES
    def test_ties(self, n, m, extent, dtype):
        # On a grid of exact numbers, from all identical to few duplicates and many equal distances.
        rng = np.random.default_rng(1)
        q, p = ([rng.integers(-extent, extent + 1, (k, 400)) / dtype(8)] for k in (n, m))
        assert_equals_twin(q, p)

    @pytest.mark.parametrize("dtype", DTYPES)
    @SEARCHES
    def test_clusters(self, n, m, dtype):
        # One sample at 0 between clusters at -1 and 1 of the others, at -2 and 2 of the prior's.
        q = np.resize(np.array([-1, 1, 1], dtype), (n, 1))
        p = np.resize(np.array([-2, 2, 2, 2], dtype), (m, 1))
        q[4] = 0
        assert_equals_twin([q], [p])
        _, [grad_q], [grad_p] = value_and_gradients(ops.independent_kl, [q], [p])
        # For the sample at 0, d log|d| / dd = 1 / d is the mean over all m prior samples, at
        # distance 2, less that over all n - 1 others, at distance 1. Those push nobody: another of
        # their cluster is at distance 0.
        from_prior = ((p < 0).sum() - (p > 0).sum()) / (2 * m)
        from_others = ((q < 0).sum() - (q > 0).sum()) / (n - 1)
        np.testing.assert_allclose(grad_q[4, 0], (from_prior - from_others) / n, rtol=1e-5)
        # A prior sample at 2 shares the pulls of all at 1 with all at 2, that of 0 with all m.
        at_2 = (p > 0).sum()
        pull = (q > 0).sum() / at_2 + 1 / (2 * m)
        np.testing.assert_allclose(grad_p[p > 0], np.full(at_2, pull / n), rtol=1e-5)

    @pytest.mark.parametrize("dtype", DTYPES)
    @SEARCHES
    def test_far_from_zero(self, n, m, dtype):
        # Within some 50 units in the last place: distances are exact, and many of them equal.
        q, p = draw(n, m, (333,))
        scale = 1000 * np.finfo(dtype).eps
        q, p = ([(100 + scale * x[0]).astype(dtype)] for x in (q, p))
        assert_equals_twin(q, p)

    @pytest.mark.parametrize("dtype", DTYPES)
    @SEARCHES
    def test_identical_samples(self, n, m, dtype):
        q, p = ([np.full((count, 21), 0.3, dtype)] for count in (n, m))
        value, *gradients = value_and_gradients(ops.independent_kl, q, p)
        np.testing.assert_allclose(value, 21 * np.log(m / (n - 1)), rtol=1e-6)  # float32
        for [gradient] in gradients:
            np.testing.assert_array_equal(gradient, np.zeros_like(gradient))

    @SEARCHES
    def test_numerical_gradient(self, n, m):
        q, p = draw(n, m, (3,))
        _, *gradients = value_and_gradients(ops.independent_kl, q, p, upstream=3.0)
        for samples, [gradient] in zip((q, p), gradients, strict=True):
            # Central differences of step 1e-6: an error of (1e-6 / distance)^2, relative, and of
            # 1e-16 * kl / 1e-6, absolute.
            for index in [(0, 0), (1, 2), (len(samples[0]) - 1, 1)]:
                values = []
                for step in (1e-6, -1e-6):
                    samples[0][index] += step
                    values.append(3.0 * float(ops.independent_kl(q, p)))
                    samples[0][index] -= step
                numerical = (values[0] - values[1]) / 2e-6
                np.testing.assert_allclose(gradient[index], numerical, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
@SEARCHES
def test_what_is_not_finite_is_not_lost(n, m, dtype, bad):
    # One number among many, in the middle and in the tail of a vector, in any piece.
    widths = (5, 37)
    for which, samples in enumerate((n, m)):
        for sample in (0, samples - 1):
            for piece, weight in ((0, 4), (1, 0), (1, 36)):
                arguments = draw(n, m, widths, dtype)
                arguments[which][piece][sample, weight] = bad
                assert not np.isfinite(ops.independent_kl(*arguments))


def both_forms(q, p):
    """Value and gradients of both operations, as a list of arrays."""
    keys = [[7, i] for i in range(len(q))]
    drawn = value_and_gradients(
        lambda q, _: ops.independent_kl_normal_prior(q, keys, len(p[0]), 0.7), q, []
    )
    return tf.nest.flatten([value_and_gradients(ops.independent_kl, q, p), drawn])


@SEARCHES
def test_the_same_bits_again_and_in_a_function(n, m):
    q, p = draw(n, m, dtype=np.float32)
    first, again, compiled = both_forms(q, p), both_forms(q, p), tf.function(both_forms)(q, p)
    for a, b, c in zip(first, again, compiled, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


class TestGraph:
    @SEARCHES
    def test_unknown_number_of_weights(self, n, m):
        @tf.function(input_signature=[tf.TensorSpec((k, None), tf.float64) for k in (n, m)])
        def function(q, p):
            value, [grad_q], [grad_p] = value_and_gradients(ops.independent_kl, [q], [p])
            drawn = ops.independent_kl_normal_prior([q], [[1, 2]], m, 1.0)
            assert (value.shape, drawn.shape) == ((), ())
            assert (grad_q.shape.as_list(), grad_p.shape.as_list()) == ([n, None], [m, None])
            return value

        [q], [p] = draw(n, m, (30,))
        np.testing.assert_array_equal(function(q, p), ops.independent_kl([q], [p]))

    def test_prior_gradient_is_dropped_where_nobody_asks(self):
        @tf.function
        def function(q, p, which):
            return value_and_gradients(ops.independent_kl, [q], [p])[1 + which]

        for which in (0, 1):
            concrete = function.get_concrete_function(tf.ones((5, 8)), tf.ones((5, 8)), which)
            types = {op.type for op in concrete.graph.get_operations()}
            assert "BayesByHypernet>IndependentKlPriorGradient" in types
            # TensorFlow runs what the outputs depend on and drops the rest of a graph.
            waiting, needed = [tensor.op for tensor in concrete.graph.outputs], set()
            while waiting:
                op = waiting.pop()
                needed.add(op.type)
                waiting += [tensor.op for tensor in op.inputs]
            assert ("BayesByHypernet>IndependentKlPriorGradient" in needed) == bool(which)

    @pytest.mark.parametrize("drawn", [False, True])
    @pytest.mark.parametrize("graph", [False, True])
    def test_second_derivative_is_refused(self, drawn, graph):
        def second(q, p):
            with tf.GradientTape() as outer:
                outer.watch(q)
                with tf.GradientTape() as inner:
                    inner.watch(q)
                    if drawn:
                        kl = ops.independent_kl_normal_prior([q], [[1, 2]], 3, 1.0)
                    else:
                        kl = ops.independent_kl([q], [p])
                gradient = inner.gradient(kl, q)
            return outer.gradient(gradient, q)

        with pytest.raises(NotImplementedError, match="implementation='tensorflow'"):
            (tf.function(second) if graph else second)(tf.ones((4, 6)), tf.zeros((3, 6)))


class TestFailure:
    @pytest.mark.parametrize(
        "q, p, message",
        [
            ([(1, 4)], [(3, 4)], "at least 2 posterior samples.*got 1 and 3"),
            ([(3, 4)], [(0, 4)], "1 prior sample, got 3 and 0"),
            ([(3,)], [(3, 4)], r"posterior samples must be matrices, got \[3\]"),
            ([(3, 4), (2, 4)], [(3, 4), (3, 4)], r"must be \(3, num_weights\), got \[2,4\]"),
            ([(3, 4), (3, 4, 1)], [(3, 4), (3, 4)], r"must be \(3, num_weights\), got \[3,4,1\]"),
            ([(3, 4)], [(3, 5)], r"prior samples must be \(3, 4\), got \[3,5\]"),
            ([(3, 4)], [(3, 4, 1)], r"prior samples must be \(3, 4\), got \[3,4,1\]"),
            ([(3, 4), (3, 2)], [(3, 4), (2, 2)], r"prior samples must be \(3, 2\), got \[2,2\]"),
            ([(3, 4)], [()], "got 3 and 0"),
        ],
    )
    def test_samples(self, q, p, message):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            ops.independent_kl([tf.ones(shape) for shape in q], [tf.ones(shape) for shape in p])

    @pytest.mark.parametrize(
        "shape, keys, m, message",
        [
            ((3, 4), [[1, 2], [3, 4]], 3, r"seeds must be \(1, 2\), got \[2,2\]"),
            ((3, 4), [[1, 2, 3]], 3, r"seeds must be \(1, 2\), got \[1,3\]"),
            ((3, 4), [[1, 2]], 0, "num_prior_samples.*0.*minimum 1"),
            ((1, 4), [[1, 2]], 3, "at least 2 posterior samples"),
        ],
    )
    def test_drawn(self, shape, keys, m, message):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            ops.independent_kl_normal_prior([tf.ones(shape)], keys, m, 1.0)
