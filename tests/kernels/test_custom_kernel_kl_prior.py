"""The C++ form of Eq. 2 against samples of a normal prior that never exist as a tensor."""

import numpy as np
import pytest
import tensorflow as tf
from kernel_kl_cases import DTYPES, SEARCHES, draw, largest_terms, value_and_gradients

from bayes_by_hypernet.kernels import custom_kernel_kl as ops
from bayes_by_hypernet.kernels.kernel_kl import GUARD

pytestmark = pytest.mark.usefixtures("cpp_operations")


class TestNormalPrior:
    KEYS = [[1, 2], [-3, 4], [2**31 - 1, -(2**31)], [0, -1]]

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("m", [1, 3, 70])
    def test_draws_are_those_of_stateless_normal(self, m, dtype):
        # With q = 0 twice the gradient is d / (2 (d^2 + guard)), d being the distance to the
        # nearest prior sample, which tells d.
        widths, stddev = (1, 7, 1026, 2049), 0.5
        q = [tf.zeros((2, width), dtype) for width in widths]
        with tf.GradientTape() as tape:
            tape.watch(q)
            kl = ops.independent_kl_normal_prior(q, self.KEYS, m, stddev)
        for gradient, key, width in zip(tape.gradient(kl, q), self.KEYS, widths, strict=True):
            p = stddev * tf.random.stateless_normal((m, width), key).numpy()
            nearest = p[np.abs(p).argmin(axis=0), range(width)].astype(np.float64)
            g = gradient[0].numpy().astype(np.float64)
            root = np.sqrt(np.maximum(1 - 16 * g**2 * GUARD, 0))
            # TensorFlow's sine and logarithm in float32 round otherwise, by some units in the last
            # place. Below the guard's 1e-4 the gradient falls again.
            far = np.abs(nearest) > 1e-3
            # For float32 the gradient itself is one more such number.
            np.testing.assert_allclose(-(1 + root[far]) / (4 * g[far]), nearest[far], rtol=1e-6)
            assert far.sum() > 0.8 * width - 1

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("stddev", [1.0, 0.3])
    @SEARCHES
    def test_equals_independent_kl_with_those_draws(self, n, m, stddev, dtype):
        widths = (1, 3, 1025, 2050)
        q, _ = draw(n, 1, widths, dtype)
        draws = [
            tf.cast(stddev * tf.random.stateless_normal((m, width), key), dtype)
            for width, key in zip(widths, self.KEYS, strict=True)
        ]
        value, gradients, _ = value_and_gradients(
            lambda q, _: ops.independent_kl_normal_prior(q, self.KEYS, m, stddev), q, []
        )
        expected, expected_gradients, _ = value_and_gradients(ops.independent_kl, q, draws)
        # Draws differ by up to 1e-6, the logarithm of a distance d by up to 1e-6 / d, to either
        # side: averaged over samples and weights far less than this.
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6 * sum(widths))
        for a, b, x, p in zip(gradients, expected_gradients, q, draws, strict=True):
            # 1 / (n d) changes by 1e-6 / (n d^2); twice in a thousand samples another is nearest.
            tolerance = 1e-6 * n * largest_terms(x, p.numpy()) ** 2 + 1e-5
            assert (np.abs(a - b) <= tolerance).mean() > 0.998

    def test_a_key_for_each_piece(self):
        q, _ = draw(3, 1, (40, 40))
        q[1] = q[0]
        one = ops.independent_kl_normal_prior(q[:1], [[5, 6]], 4, 1.0)
        same = ops.independent_kl_normal_prior(q, [[5, 6], [5, 6]], 4, 1.0)
        other = ops.independent_kl_normal_prior(q, [[5, 6], [5, 7]], 4, 1.0)
        np.testing.assert_allclose(same, 2 * one, rtol=1e-12)  # float64
        assert abs(float(other - same)) > 1.0

    def test_law(self):
        # q = p = N(0, 1), n = m = 5: the estimator's bias is +0.03 nats per weight (kernel_kl).
        q = [tf.random.stateless_normal((5, 100_000), [i, 0]) for i in range(4)]
        kls = [ops.independent_kl_normal_prior([x], [[i, 1]], 5, 1.0) for i, x in enumerate(q)]
        # Two decimals (0.005), and four standard errors: the estimate of one weight has a standard
        # deviation near 1.
        np.testing.assert_allclose(np.sum(kls) / 4e5, 0.03, atol=0.005 + 4 / np.sqrt(4e5))
