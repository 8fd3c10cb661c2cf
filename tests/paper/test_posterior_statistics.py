"""Statistics of weights, against independent computations and densities that are known."""

import math

import numpy as np
import pytest
from absl.testing import parameterized
from scipy import stats

from bayes_by_hypernet.paper import posterior_statistics
from bayes_by_hypernet.paper.posterior_statistics import (
    MODE_RISE,
    effective_rank,
    independent_correlation,
    marginal_kl,
    num_modes,
    weight_statistics,
)

# A warning is how NaN and lost precision show.
pytestmark = pytest.mark.filterwarnings("error")


def mixture(rng, num_samples, means, weights, stddev=1.0):
    component = rng.choice(len(means), num_samples, p=weights)
    return np.asarray(means)[component] + stddev * rng.standard_normal(num_samples)


class WeightStatisticsTest(parameterized.TestCase):
    def test_equals_numpy_and_scipy_weight_by_weight(self):
        rng = np.random.default_rng(0)
        samples = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 4)) + [0, 1, -5, 100]
        found = weight_statistics(samples)
        np.testing.assert_allclose(found.mean, [np.mean(column) for column in samples.T])
        np.testing.assert_allclose(found.stddev, [np.std(column) for column in samples.T])
        # 1e-12: float64, with a mean of a hundred standard deviations in between.
        expected = np.corrcoef(samples, rowvar=False)
        np.testing.assert_allclose(found.correlations, expected, atol=1e-12)
        expected = [stats.normaltest(column).pvalue for column in samples.T]
        np.testing.assert_allclose(found.p_values, expected, rtol=1e-8)
        self.assertEqual(found.num_samples, 200)

    def test_normal_weights_fail_at_the_level(self):
        samples = np.random.default_rng(1).standard_normal((1000, 2000))
        # Four standard deviations of a share of 5 % among 2,000.
        share = weight_statistics(samples).summary()["non_normal_share"]
        self.assertAlmostEqual(share, 0.05, delta=0.02)

    @parameterized.parameters("uniform", "laplace", "exponential")
    def test_other_weights_fail(self, name):
        samples = getattr(np.random.default_rng(2), name)(size=(1000, 50))
        self.assertEqual(weight_statistics(samples).summary()["non_normal_share"], 1.0)

    def test_location_and_scale_do_not_matter(self):
        samples = np.random.default_rng(3).standard_normal((100, 5))
        samples[:, 0] = np.sign(samples[:, 0]) + 0.1 * samples[:, 0]
        one, other = weight_statistics(samples), weight_statistics(1e-6 * samples + 0.1)
        np.testing.assert_allclose(other.p_values, one.p_values, rtol=1e-6)  # float64, 1e5 lost
        np.testing.assert_allclose(other.correlations, one.correlations, atol=1e-9)
        np.testing.assert_array_equal(other.num_modes, one.num_modes)
        self.assertEqual(one.num_modes[0], 2)

    @parameterized.named_parameters(
        ("rank", np.zeros(5), r"shape \(num_samples, num_weights\).* Received: shape=\(5,\)"),
        ("no_samples", np.zeros((0, 5)), r"Received: shape=\(0, 5\)"),
        ("no_weights", np.zeros((5, 0)), r"Received: shape=\(5, 0\)"),
        ("nan", np.array([[0.0, np.nan]]), "must be finite. Received: 1 values"),
    )
    def test_failures(self, samples, message):
        with self.assertRaisesRegex(ValueError, message):
            weight_statistics(samples)


class SummaryTest(parameterized.TestCase):
    def test_by_hand(self):
        a = np.random.default_rng(4).standard_normal(1000)
        two = np.sign(a) + 0.1 * a
        samples = np.stack([a, 2 * a, -a, np.full(1000, 0.1), two], axis=1)
        summary = weight_statistics(samples).summary()
        r = np.corrcoef(a, two)[0, 1]
        self.assertEqual(summary["num_weights"], 5)
        self.assertEqual(summary["num_varying_weights"], 4)
        self.assertEqual(summary["median_stddev"], a.std())  # of 0, s, s, 2 s and about 1.08 s
        self.assertEqual(summary["non_normal_share"], 0.25)
        self.assertEqual(summary["multi_modal_share"], 0.25)
        # Three pairs of +-1, three with the last weight.
        self.assertAlmostEqual(summary["mean_absolute_correlation"], (3 + 3 * r) / 6, places=12)

    def test_independent_weights_correlate_as_expected(self):
        samples = np.random.default_rng(5).standard_normal((50, 100))
        summary = weight_statistics(samples).summary()
        # |r| varies by 0.76 of its mean, over 4,950 pairs: four of its standard errors are 4 %.
        ratio = summary["mean_absolute_correlation"] / summary["independent_absolute_correlation"]
        self.assertAlmostEqual(ratio, 1.0, delta=0.04)

    def test_expected_correlation(self):
        self.assertAlmostEqual(independent_correlation(2), 1.0, places=12)  # always +-1
        self.assertAlmostEqual(independent_correlation(3), 2 / math.pi, places=12)  # cos(uniform)
        approximate = math.sqrt(2 / (1000 * math.pi))
        self.assertAlmostEqual(independent_correlation(1000) / approximate, 1.0, delta=1e-3)  # 3/4n

    @parameterized.parameters(1, 10, 1000)
    def test_weights_that_do_not_vary(self, num_samples):
        samples = np.tile(np.float32([0.1, -3e-5, 0.0]), (num_samples, 1))
        found = weight_statistics(samples)
        np.testing.assert_array_equal(found.stddev, 0)
        self.assertTrue(np.isnan(found.correlations).all())
        summary = found.summary()
        self.assertEqual(summary["num_varying_weights"], 0)
        names = ("non_normal_share", "multi_modal_share", "mean_absolute_correlation")
        self.assertEqual([summary[name] for name in names], [None] * 3)
        expected = {"mean": float(np.float32(0.1)), "stddev": 0.0, "p_value": None}
        [record] = found.records(1)
        self.assertAlmostEqual(record.pop("mean"), expected.pop("mean"), places=12)
        self.assertEqual(record, {**expected, "num_modes": None})

    def test_few_samples_have_moments_and_no_tests(self):
        samples = np.random.default_rng(6).standard_normal(
            (posterior_statistics.MIN_SAMPLES - 1, 3)
        )
        summary = weight_statistics(samples).summary()
        self.assertEqual(summary["num_varying_weights"], 3)
        self.assertIsNone(summary["non_normal_share"])
        self.assertIsNone(summary["multi_modal_share"])
        self.assertGreater(summary["mean_absolute_correlation"], 0)

    def test_records_are_of_the_first_weights(self):
        samples = np.random.default_rng(7).standard_normal((30, 3))
        found = weight_statistics(samples)
        records = found.records(2)
        self.assertEqual([record["mean"] for record in records], list(found.mean[:2]))
        self.assertEqual([record["p_value"] for record in records], list(found.p_values[:2]))
        self.assertEqual(len(found.records(25)), 3)


class NumModesTest(parameterized.TestCase):
    # Densities with one mode, and the share of 500 that may be said to have more; seeded.
    @parameterized.named_parameters(
        ("normal", lambda rng, n: rng.standard_normal(n), 1000, 0.004),
        ("normal_few", lambda rng, n: rng.standard_normal(n), 50, 0.004),
        ("normal_many", lambda rng, n: rng.standard_normal(n), 10_000, 0.004),
        ("uniform", lambda rng, n: rng.uniform(size=n), 1000, 0.01),
        ("exponential", lambda rng, n: rng.exponential(size=n), 1000, 0.01),
        ("heavy_tails", lambda rng, n: rng.standard_t(2, n), 1000, 0.01),
        ("two_humps_in_one", lambda rng, n: mixture(rng, n, [-0.9, 0.9], [0.5, 0.5]), 1000, 0.01),
    )
    def test_rarely_finds_modes_that_are_not_there(self, draw, num_samples, most):
        rng = np.random.default_rng(8)
        found = [num_modes(draw(rng, num_samples)) for _ in range(500)]
        self.assertLessEqual(np.mean(np.array(found) > 1), most)

    @parameterized.named_parameters(
        ("even", [-1.75, 1.75], [0.5, 0.5], 1000),
        ("uneven", [-3, 3], [0.1, 0.9], 1000),
        ("fewer_samples", [-3, 3], [0.5, 0.5], 200),
        ("three", [-4, 0, 4], [0.3, 0.4, 0.3], 1000),
    )
    def test_finds_those_of_clear_mixtures(self, means, weights, num_samples):
        rng = np.random.default_rng(9)
        found = [num_modes(mixture(rng, num_samples, means, weights)) for _ in range(100)]
        self.assertGreaterEqual(np.mean(np.array(found) == len(means)), 0.98)

    def test_equals_the_definition_without_bins(self):
        def by_definition(values):
            bandwidth = 0.45 * values.std() * len(values) ** -0.2
            grid = np.linspace(values.min() - 4 * bandwidth, values.max() + 4 * bandwidth, 600)
            root = np.sqrt(stats.norm.pdf(grid[:, None], values, bandwidth).mean(axis=1))
            error = 0.5 / math.sqrt(2 * math.sqrt(math.pi) * len(values) * bandwidth)
            count = 0
            for i in range(1, len(grid) - 1):
                if root[i - 1] < root[i] >= root[i + 1]:
                    left = np.flatnonzero(root[:i] > root[i])
                    right = np.flatnonzero(root[i + 1 :] > root[i])
                    low_left = root[left[-1] if left.size else 0 : i].min()
                    low_right = root[i : i + 2 + right[0] if right.size else None].min()
                    count += root[i] - max(low_left, low_right) >= MODE_RISE * error
            return max(1, count)

        rng = np.random.default_rng(10)
        counts = []
        for _ in range(40):
            means = rng.uniform(-5, 5, 4)
            values = mixture(rng, 500, means, rng.dirichlet(np.ones(4)), stddev=0.5)
            counts.append((num_modes(values), by_definition(values)))
        self.assertGreater(len(set(counts)), 2)  # the cases differ
        # Bins shift a rise by some percent: now and then one that is near the limit.
        self.assertGreaterEqual(np.mean([one == other for one, other in counts]), 0.95)

    def test_mirrored_it_is_the_same(self):
        values = mixture(np.random.default_rng(11), 1000, [0, 4], [0.3, 0.7])
        self.assertEqual((num_modes(values), num_modes(1e6 - 1e4 * values)), (2, 2))


class TestMarginalKL:
    @pytest.mark.parametrize("mean, stddev, prior_stddev", [(0, 1, 1), (0, 8, 1), (0.3, 1e-3, 0.5)])
    def test_of_normal_weights_is_the_exact_divergence(self, mean, stddev, prior_stddev):
        samples = np.random.default_rng(0).normal(mean, stddev, (20_000, 50))
        kl = marginal_kl(samples, prior_stddev)
        exact = np.log(prior_stddev / stddev) - 0.5
        exact += (stddev**2 + mean**2) / (2 * prior_stddev**2)
        assert kl.shape == (50,)
        # The docstring's bias of 0.003 and standard deviation of 0.006, for 50 weights; the mean of
        # w^2 / 2, here at most 32, has a standard error of sqrt(2 / 20,000 / 50) of it.
        assert abs(kl.mean() - exact) < 0.006 + 5 * stddev**2 / 2 * np.sqrt(2 / 20_000 / 50)
        assert kl.std() < 0.01 + 2 * stddev**2 / 2 * np.sqrt(2 / 20_000)

    def test_of_a_uniform_density(self):
        # Entropy log 2, E[w^2] = 1 / 3; the spacings at the ends are the bias, 0.01.
        kl = marginal_kl(np.random.default_rng(0).uniform(-1, 1, (20_000, 20)))
        exact = 1 / 6 + 0.5 * np.log(2 * np.pi) - np.log(2)
        np.testing.assert_allclose(kl.mean(), exact, atol=0.02)

    def test_is_infinite_where_a_weight_does_not_vary(self):
        assert np.isinf(marginal_kl(np.full((100, 1), 0.3)))


class TestEffectiveRank:
    def test_of_weights_on_a_line_is_one(self):
        z = np.random.default_rng(0).normal(size=(200, 1))
        np.testing.assert_allclose(effective_rank(3 + z * np.arange(1, 9)), 1.0, rtol=1e-9)

    def test_counts_independent_directions_of_equal_width(self):
        rng = np.random.default_rng(0)
        samples = rng.normal(size=(20_000, 6)) @ np.linalg.qr(rng.normal(size=(30, 6)))[0].T
        np.testing.assert_allclose(effective_rank(samples), 6, rtol=0.01)  # spectrum to 1 %
