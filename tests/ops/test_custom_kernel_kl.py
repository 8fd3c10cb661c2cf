"""The C++ form of Eq. 2 against its twin in TensorFlow, on the same prior samples."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.ops import custom_kernel_kl as ops
from bayes_by_hypernet.ops import kernel_kl as twin

pytestmark = pytest.mark.usefixtures("cpp_operations")

DTYPES = (np.float32, np.float64)
# Up to n + m = 64 each sample is compared with each; beyond, they are sorted.
COUNTS = [(2, 1), (5, 5), (7, 3), (32, 32), (33, 32), (100, 100), (2, 100), (100, 1)]
SEARCHES = pytest.mark.parametrize("n, m", [(6, 7), (40, 30)], ids=["all_pairs", "sorted"])
# Ends of vectors (4 to 16 weights) and of tiles (1024), and nothing at all.
WIDTHS = (1, 3, 0, 17, 1024, 1025, 4097)
# Differences of the same two numbers round alike in both forms. What is left is the rounding of a
# quotient, and of up to n + 1 such terms that may cancel: so many units in the last place of the
# largest gradient of the same weight.
GRADIENT_ULPS = 40


def draw(n, m, widths=WIDTHS, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    q = [(0.3 + 0.5 * rng.normal(size=(n, width))).astype(dtype) for width in widths]
    return q, [rng.normal(size=(m, width)).astype(dtype) for width in widths]


def joined_twin(q, p):
    return twin.independent_kl(tf.concat(q, 1), tf.concat(p, 1))


def value_and_gradients(kl, q, p, upstream=1.0):
    """Returns the value and the gradients for q and for p, lists as they are."""
    q, p = [[tf.convert_to_tensor(x) for x in pieces] for pieces in (q, p)]
    with tf.GradientTape() as tape:
        tape.watch([q, p])
        value = upstream * kl(q, p)
    return value, *tape.gradient(value, [q, p])


def assert_gradients_agree(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape and np.isfinite(a).all()
        if a.size:
            tolerance = GRADIENT_ULPS * np.finfo(a.dtype).eps * np.abs(b).max(axis=0)
            assert (np.abs(a - b) <= tolerance).all()


def assert_equals_twin(q, p):
    """Compares the value and both gradients; the value with the twin's in float64."""
    ours, theirs = (value_and_gradients(kl, q, p) for kl in (ops.independent_kl, joined_twin))
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        assert_gradients_agree(a, b)
    double = [[np.asarray(x, np.float64) for x in pieces] for pieces in (q, p)]
    # A distance rounds by half a unit in the last place, its square, their quotient and its
    # logarithm by some more, for each weight; double precision adds up those logarithms.
    ulp = np.finfo(ours[0].dtype.as_numpy_dtype).eps
    num_weights = sum(x.shape[1] for x in q)
    expected = joined_twin(*double)
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
        assert_equals_twin(*draw(n, m, dtype=dtype))

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
        # One sample between two clusters is as far from all of them, of either kind.
        q = np.where(np.arange(n) % 2, dtype(1), dtype(-1))
        q[2] = 0
        p = np.where(np.arange(m) % 3, dtype(2), dtype(-2))
        q, p = q[:, None] * np.array([1, 0.7], dtype), p[:, None] * np.array([1, 0.7], dtype)
        assert_equals_twin([q], [p])
        _, [grad_q], [grad_p] = value_and_gradients(ops.independent_kl, [q], [p])
        # 1 / (n * distance), shared: from its nearest others, and from its nearest prior samples.
        on_left = (q[:, 0] == -1).sum() / (n - 1)
        np.testing.assert_allclose(
            grad_q[2, 0] * n,
            (m - 2 * (p[:, 0] > 0).sum()) / m / 2 - (1 - 2 * on_left) * -1,
            rtol=1e-5,
        )
        assert np.unique(np.asarray(grad_p)[p[:, 0] > 0, 0]).size == 1

    @pytest.mark.parametrize("dtype", DTYPES)
    @SEARCHES
    def test_far_from_zero(self, n, m, dtype):
        # Some 50 units in the last place apart: distances are exact, and many of them equal.
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
