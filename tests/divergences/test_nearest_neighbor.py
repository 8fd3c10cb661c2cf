"""Eq. 2 against the authors' numbers, against known divergences, and its contract."""

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

import bayes_by_hypernet as bbh
from bayes_by_hypernet import randomness
from bayes_by_hypernet.divergences import (
    gaussian_kl,
    nearest_neighbor_kl,
    nearest_neighbor_kl_to_prior,
)
from bayes_by_hypernet.priors import NormalPrior

KEY = tf.constant([1, 2], tf.int32)
CASES = ("n5_w1000", "n2_w64", "n20_w333", "n5_w1")


def normal(shape, mean=0.0, stddev=1.0, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(mean, stddev, shape).astype(dtype)


@pytest.mark.parametrize("estimator", ["independent", "full"])
@pytest.mark.parametrize("case", CASES)
def test_equals_authors_code(golden, case, estimator):
    q, p = (tf.constant(golden[f"kl/{case}/{name}"]) for name in ("q", "p"))
    n, num_weights = q.shape
    with tf.GradientTape() as tape:
        tape.watch(q)
        kl = nearest_neighbor_kl(q, p, estimator)
    expected = golden[f"kl/{case}/{estimator}/kl"]
    if estimator == "full":  # the authors add this once per weight, Eq. 2 once (ruling 8)
        expected = expected - (num_weights - 1) * np.log(n / (n - 1))
    # The authors guard quotient and logarithm with 1e-8 besides: at the smallest distance that
    # there is, 1e-4, a relative 1e-4 of that sample's term and gradient, else far less.
    np.testing.assert_allclose(kl, expected, rtol=1e-5)
    expected = golden[f"kl/{case}/{estimator}/grad_q"]
    deviation = np.abs(tape.gradient(kl, q) - expected) / np.abs(expected).max(axis=0)
    assert deviation.max() < 3e-4  # of the largest gradient of each weight


class NearestNeighborKLLawTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("prior", 0.0, 1.0, 0.03),
        ("narrow", 0.0, 0.1, 0.09),
        ("narrow_and_far", 2.0, 0.1, -0.27),
    )
    def test_analytic_divergence_within_known_bias(self, mean, stddev, bias):
        num_weights = 400_000
        q = normal((5, num_weights), mean, stddev, seed=1)
        p = normal((5, num_weights), seed=2)
        analytic = gaussian_kl(mean, stddev)
        estimate = nearest_neighbor_kl(q, p) / num_weights
        # The bias is known to two decimals (0.005); the standard error of the mean over the
        # weights is below 0.002, as one weight's estimate has a standard deviation near 1.
        np.testing.assert_allclose(estimate - analytic, bias, atol=0.011)

    def test_full_approaches_divergence_with_many_samples(self):
        # Two dimensions, KL = 2 * 0.8069 nats; the averages over 2,000 samples of a logarithm of
        # standard deviation near 1 in each of two distances: standard error 2 * 1.5 / sqrt(2000).
        q, p = normal((2000, 2), 0.0, 0.3, seed=3), normal((2000, 2), seed=4)
        analytic = gaussian_kl(np.zeros(2), np.full(2, 0.3))
        np.testing.assert_allclose(nearest_neighbor_kl(q, p, "full"), analytic, atol=0.2)

    @parameterized.parameters("independent", "full")
    def test_does_not_depend_on_origin_unit_or_order(self, estimator):
        q, p = normal((4, 6), dtype=np.float64), normal((3, 6), seed=1, dtype=np.float64)
        kl = nearest_neighbor_kl(q, p, estimator)
        # Distances near 0.1 feel the guard, 1e-8, by (1e-4 / 0.1)^2 when the unit changes.
        np.testing.assert_allclose(
            nearest_neighbor_kl(7 * q + 2, 7 * p + 2, estimator), kl, rtol=1e-4
        )
        np.testing.assert_allclose(
            nearest_neighbor_kl(q[::-1], p[::-1], estimator), kl, rtol=1e-12
        )  # sums


class NearestNeighborKLContractTest(parameterized.TestCase):
    @parameterized.parameters("independent", "full")
    def test_lists_of_tensors_are_one_network(self, estimator):
        shapes = [(3, 2), (), (4,), (2, 1, 3)]
        q = [normal((5, *shape), seed=i, dtype=np.float64) for i, shape in enumerate(shapes)]
        p = [normal((3, *shape), seed=9 + i, dtype=np.float64) for i, shape in enumerate(shapes)]
        joined = [np.concatenate([x.reshape(len(x), -1) for x in xs], 1) for xs in (q, p)]
        expected = nearest_neighbor_kl(*joined, estimator)
        np.testing.assert_allclose(
            nearest_neighbor_kl(q, p, estimator), expected, rtol=1e-12
        )  # float64
        np.testing.assert_allclose(
            nearest_neighbor_kl(tuple(q), tuple(p), estimator), expected, rtol=1e-12
        )
        if estimator == "independent":
            single = sum(nearest_neighbor_kl(a, b) for a, b in zip(q, p, strict=True))
            np.testing.assert_allclose(single, expected, rtol=1e-12)  # float64

    @parameterized.parameters("independent", "full")
    def test_gradient_has_shape_and_dtype_of_each_tensor(self, estimator):
        q = [tf.constant(normal((5, 3, 2)), tf.float16), tf.constant(normal((5, 4)))]
        p = [tf.constant(normal((2, 3, 2), seed=1)), tf.constant(normal((2, 4), seed=1))]
        with tf.GradientTape() as tape:
            tape.watch([q, p])
            kl = nearest_neighbor_kl(q, p, estimator)
        self.assertEqual(kl.dtype, tf.float32)
        gradients = tf.nest.flatten(tape.gradient(kl, [q, p]))
        for gradient, samples in zip(gradients, [*q, *p], strict=True):
            self.assertEqual((gradient.shape, gradient.dtype), (samples.shape, samples.dtype))
            self.assertTrue(np.isfinite(gradient).all() and np.any(gradient))

    @parameterized.product(estimator=["independent", "full"], dtype=["float16", "bfloat16"])
    def test_half_precision_is_computed_in_float32(self, estimator, dtype):
        q, p = tf.cast(normal((5, 300)), dtype), tf.cast(normal((5, 300), seed=1), dtype)
        kl = nearest_neighbor_kl(q, p, estimator)
        expected = nearest_neighbor_kl(tf.cast(q, tf.float32), tf.cast(p, tf.float32), estimator)
        self.assertEqual(kl.dtype, tf.float32)
        self.assertEqual(float(kl), float(expected))

    def test_dtype_is_the_posteriors(self):
        double, single = normal((3, 4), dtype=np.float64), normal((3, 4), seed=1)
        self.assertEqual(nearest_neighbor_kl(double, single).dtype, tf.float64)
        self.assertEqual(nearest_neighbor_kl(single, double).dtype, tf.float32)
        self.assertEqual(nearest_neighbor_kl(single, single).shape, ())

    def test_nested_lists_of_numbers_are_one_tensor(self):
        # n = 2, m = 1: log of (1 / 3 * 4 / 3) / 2, and log(m / (n - 1)) = 0.
        kl = nearest_neighbor_kl([[0.0], [3.0]], [[-1.0]])
        np.testing.assert_allclose(kl, 0.5 * np.log(4 / 9), rtol=1e-6)  # float32

    def test_runs_under_mirrored_strategy(self):
        q, p = normal((5, 20)), normal((5, 20), seed=1)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        per_replica = tf.function(
            lambda: strategy.run(nearest_neighbor_kl, (q, p)), autograph=False
        )()
        for value in strategy.experimental_local_results(per_replica):
            np.testing.assert_allclose(
                value, nearest_neighbor_kl(q, p), rtol=1e-5
            )  # float32, fusion


class NearestNeighborKLFailureTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("estimator", (5, 4), (5, 4), {"estimator": "joint"}, "`estimator` must be one of"),
        ("implementation", (5, 4), (5, 4), {"implementation": "c"}, "`implementation` must be"),
        ("one_sample", (1, 4), (5, 4), {}, "at least 2 samples, since the .*num_samples=1"),
        ("no_prior_sample", (5, 4), (0, 4), {}, "`prior_samples` must hold at least 1 .*=0"),
        ("num_weights", (5, 4), (5, 3), {}, r"agree on `num_weights`.*\[4\] and \[3\]"),
        ("no_dimension", (), (5, 4), {}, "`posterior_samples` must have a statically known"),
    )
    def test_message_names_argument(self, q_shape, p_shape, options, message):
        with self.assertRaisesRegex(ValueError, message):
            nearest_neighbor_kl(
                np.ones(q_shape, np.float32), np.ones(p_shape, np.float32), **options
            )

    def test_integers(self):
        with self.assertRaisesRegex(ValueError, "must be floating-point. Received: dtype=int32"):
            nearest_neighbor_kl(tf.ones((5, 4), tf.int32), tf.ones((5, 4)))

    def test_lists_that_do_not_match(self):
        q, p = [tf.ones((5, 4)), tf.ones((5, 2))], [tf.ones((5, 4))]
        with self.assertRaisesRegex(ValueError, r"for each tensor .*\[4, 2\] and \[4\]"):
            nearest_neighbor_kl(q, p)
        with self.assertRaisesRegex(ValueError, "`prior_samples` must hold tensors with the same"):
            nearest_neighbor_kl(q, [tf.ones((5, 4)), tf.ones((4, 2))])
        with self.assertRaisesRegex(ValueError, "`posterior_samples` must hold at least one"):
            nearest_neighbor_kl([], [])

    @parameterized.parameters(0, 1)
    def test_unknown_number_of_samples(self, position):
        signature = [tf.TensorSpec((5, 4)), tf.TensorSpec((5, 4))]
        signature[position] = tf.TensorSpec((None, 4))
        with self.assertRaisesRegex(ValueError, "statically known number of samples"):
            tf.function(nearest_neighbor_kl, signature).get_concrete_function()


class ShiftedPrior(NormalPrior):
    """A prior that draws otherwise than what it derives from."""

    def __call__(self, shape, seed):
        return 3.0 + super().__call__(shape, seed)


def half_precision_prior(shape, seed):
    return tf.random.stateless_uniform(shape, seed, dtype=tf.float16)


@pytest.mark.parametrize("estimator", ["independent", "full"])
def test_the_old_name_works_and_warns(estimator):
    q, p = normal((5, 20)), normal((4, 20), seed=1)
    with pytest.warns(DeprecationWarning, match="now called `bbh.nearest_neighbor_kl`"):
        old = bbh.kernel_kl(q, p, estimator, implementation="tensorflow")
    expected = bbh.nearest_neighbor_kl(q, p, estimator, implementation="tensorflow")
    np.testing.assert_array_equal(old, expected)
    with pytest.warns(DeprecationWarning):
        traced = tf.function(bbh.kernel_kl)(tf.constant(q), tf.constant(p), estimator)
    np.testing.assert_allclose(traced, expected, rtol=1e-5)  # float32, fusion


class TestToPrior:
    SHAPES = [(3, 4), (), (5, 1, 41)]

    def expected(self, samples, prior, **options):
        """From the samples that the docstring says."""
        key = randomness.fold_in(KEY, "prior")
        priors = [prior(s.shape, randomness.fold_in(key, i)) for i, s in enumerate(samples)]
        return nearest_neighbor_kl(samples, priors, **options)

    @pytest.mark.parametrize("implementation", ["custom_op", "tensorflow"])
    @pytest.mark.parametrize(
        "prior", [NormalPrior(), NormalPrior(0.3), ShiftedPrior(), half_precision_prior]
    )
    @pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float32, tf.float64])
    def test_is_kernel_kl_of_fresh_samples(self, prior, implementation, dtype, cpp_operations):
        samples = [
            tf.cast(normal((6, *shape), seed=i), dtype) for i, shape in enumerate(self.SHAPES)
        ]
        kl = nearest_neighbor_kl_to_prior(samples, prior, KEY, implementation=implementation)
        expected = self.expected(samples, prior, implementation="tensorflow")
        assert kl.dtype == expected.dtype == (tf.float64 if dtype == tf.float64 else tf.float32)
        # Draws inside the C++ operation differ by up to 1e-6, as the rounding of float32: for each
        # of 218 weights an error of 1e-6 / distance, to either side.
        np.testing.assert_allclose(kl, expected, rtol=1e-5, atol=1e-3)

    def test_full(self):
        samples = [tf.constant(normal((6, *shape), seed=3)) for shape in self.SHAPES]
        kl = nearest_neighbor_kl_to_prior(samples, NormalPrior(0.3), KEY, "full")
        expected = self.expected(samples, NormalPrior(0.3), estimator="full")
        assert float(kl) == float(expected)

    def test_a_normal_prior_is_no_tensor(self, cpp_operations):
        def operations(implementation):
            function = tf.function(
                lambda q: nearest_neighbor_kl_to_prior(
                    [q], NormalPrior(), KEY, "independent", implementation
                )
            )
            graph = function.get_concrete_function(tf.ones((5, 1000))).graph
            return {op.type for op in graph.get_operations()}

        draw = "StatelessRandomNormalV2"
        assert draw in operations("tensorflow") and draw not in operations("custom_op")

    @pytest.mark.parametrize("implementation", ["custom_op", "tensorflow"])
    def test_gradients_reach_each_tensor(self, implementation, cpp_operations):
        samples = [tf.constant(normal((5, 3, 2)), dtype) for dtype in (tf.float16, tf.float32)]
        with tf.GradientTape() as tape:
            tape.watch(samples)
            kl = nearest_neighbor_kl_to_prior(
                samples, NormalPrior(), KEY, implementation=implementation
            )
        for gradient, sample in zip(tape.gradient(kl, samples), samples, strict=True):
            assert (gradient.shape, gradient.dtype) == (sample.shape, sample.dtype)
            assert np.isfinite(gradient).all() and np.any(gradient)

    @pytest.mark.parametrize("implementation", ["auto", "tensorflow"])
    def test_failures_name_the_argument(self, implementation):
        def kl(samples):
            return nearest_neighbor_kl_to_prior(
                samples, NormalPrior(), KEY, implementation=implementation
            )

        with pytest.raises(ValueError, match="at least 2 samples.*num_samples=1"):
            kl([tf.ones((1, 4))])
        with pytest.raises(ValueError, match="must hold tensors with the same number"):
            kl([tf.ones((5, 4)), tf.ones((4, 4))])
        with pytest.raises(ValueError, match="must be floating-point.*int32"):
            kl([tf.ones((5, 4), tf.int32)])
        with pytest.raises(ValueError, match="`implementation` must be one of"):
            nearest_neighbor_kl_to_prior([tf.ones((5, 4))], NormalPrior(), KEY, implementation="c")
