"""Measures of regressions, against SciPy, properscoring where it is installed, and by hand."""

import numpy as np
import pytest
from scipy import integrate, stats

from bayes_by_hypernet import metrics


def random_case(shape=(40,), seed=0):
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=shape), rng.uniform(0.5, 2, shape)
    return mean, std, mean + rng.normal(size=shape) * std


class TestLikelihood:
    def test_equals_scipy(self):
        mean, std, targets = random_case((8, 5))
        expected = -stats.norm.logpdf(targets, mean, std).mean()
        assert metrics.gaussian_nll(mean, std, targets) == pytest.approx(expected, rel=1e-12)

    def test_mixture_equals_scipy(self):
        _, std, targets = random_case()
        means = np.random.default_rng(1).normal(size=(7, 40))
        expected = -np.log(stats.norm.pdf(targets, means, std).mean(axis=0)).mean()
        found = metrics.gaussian_mixture_nll(means, std, targets)
        assert found == pytest.approx(expected, rel=1e-12)  # float64
        every = np.broadcast_to(std, means.shape)
        assert metrics.gaussian_mixture_nll(means, every, targets) == found

    def test_one_sample_is_a_gaussian(self):
        mean, std, targets = random_case()
        expected = pytest.approx(metrics.gaussian_nll(mean, std, targets), rel=1e-12)
        assert metrics.gaussian_mixture_nll(mean[None], std, targets) == expected

    def test_far_targets_do_not_underflow(self):
        # exp(-5000) is 0 in float64.
        found = metrics.gaussian_mixture_nll([[0.0], [0.0]], 1.0, [100.0])
        assert found == pytest.approx(5000 + 0.5 * np.log(2 * np.pi))

    def test_no_spread_has_no_density(self):
        with pytest.raises(ValueError, match="`std` must be positive. Received: a smallest .* 0"):
            metrics.gaussian_nll([0.0], [0.0], [0.0])


class TestCRPS:
    def test_gaussian_equals_the_integral(self):
        for mean, std, target in ((0.0, 1.0, 0.3), (1.0, 2.0, -4.0)):

            def squared(x, mean=mean, std=std, target=target):
                return (stats.norm.cdf(x, mean, std) - (x >= target)) ** 2

            expected = sum(
                integrate.quad(squared, *ends)[0] for ends in ((-40, target), (target, 40))
            )
            found = metrics.crps_gaussian([mean], std, [target])
            assert found == pytest.approx(expected, rel=1e-6)  # of the quadrature

    def test_no_spread_is_the_distance(self):
        assert metrics.crps_gaussian([1.0, 1.0], [0.0, 0.0], [3.0, 1.0]) == 1

    def test_samples_equal_all_pairs(self):
        samples, targets = np.random.default_rng(0).normal(size=(6, 3, 4)), np.ones((3, 4))
        distances = np.abs(samples[:, None] - samples).sum(axis=(0, 1))
        first = np.abs(samples - targets).mean(axis=0)
        for estimator, pairs in (("plain", 36), ("fair", 30)):
            expected = np.mean(first - distances / (2 * pairs))
            found = metrics.crps_samples(samples, targets, estimator)
            assert found == pytest.approx(expected, rel=1e-12)  # float64

    def test_equals_properscoring(self):
        properscoring = pytest.importorskip("properscoring")
        mean, std, targets = random_case()
        expected = properscoring.crps_gaussian(targets, mean, std).mean()
        assert metrics.crps_gaussian(mean, std, targets) == pytest.approx(expected, rel=1e-10)
        samples = np.random.default_rng(1).normal(size=(9, 40))
        expected = properscoring.crps_ensemble(targets, samples.T).mean()
        assert metrics.crps_samples(samples, targets) == pytest.approx(expected, rel=1e-10)

    def test_fair_estimates_the_distributions_own(self):
        rng = np.random.default_rng(0)
        samples, targets = rng.normal(size=(3, 200_000)), rng.normal(size=200_000)
        # E|X - Y| / 2 = 1 / sqrt(pi) of two standard normals. Standard error: about 0.6 / 447.
        fair = metrics.crps_samples(samples, targets, "fair")
        assert fair == pytest.approx(1 / np.sqrt(np.pi), abs=0.006)
        plain = metrics.crps_samples(samples, targets)
        assert plain == pytest.approx((1 + 1 / 3) / np.sqrt(np.pi), abs=0.006)

    def test_a_common_offset_cancels(self):
        samples, targets = np.random.default_rng(0).normal(size=(5, 20)), np.zeros(20)
        expected = metrics.crps_samples(samples, targets, "fair")
        # 1e8 has 1.5e-8 between neighbours in float64.
        moved = metrics.crps_samples(samples + 1e8, targets + 1e8, "fair")
        assert moved == pytest.approx(expected, abs=1e-7)

    def test_one_sample(self):
        assert metrics.crps_samples([[1.0]], [3.0]) == 2
        with pytest.raises(ValueError, match=r"at least 2 samples .* shape=\(1, 1\)"):
            metrics.crps_samples([[1.0]], [3.0], "fair")
        with pytest.raises(ValueError, match="`estimator` must be"):
            metrics.crps_samples([[1.0]], [3.0], "pwm")


class TestQuantiles:
    def test_pit_equals_scipy(self):
        mean, std, targets = random_case()
        expected = stats.norm.cdf(targets, mean, std)
        np.testing.assert_allclose(metrics.gaussian_pit(mean, std, targets), expected, rtol=1e-12)

    def test_sample_pit_by_hand(self):
        samples = np.array([[0.0], [1.0], [2.0]])
        for target, expected in ((-1, 1 / 8), (0.5, 3 / 8), (1.0, 4 / 8), (9, 7 / 8)):
            assert metrics.sample_pit(samples, [target]) == [expected]

    def test_calibrated_predictions_have_small_errors(self):
        mean, std, targets = random_case((20_000,))
        pit = metrics.gaussian_pit(mean, std, targets)
        # The largest deviation of 20,000 uniforms (Kolmogorov, 1 in 1,000): 1.95 / sqrt(20,000).
        curve = metrics.quantile_calibration_curve(pit)
        assert np.abs(curve.observed - curve.nominal).max() < 0.014
        assert metrics.quantile_calibration_error(pit) < 0.014
        rng = np.random.default_rng(4)
        samples = mean + rng.normal(size=(99, 20_000)) * std
        assert metrics.quantile_calibration_error(metrics.sample_pit(samples, targets)) < 0.014

    def test_overconfidence_by_formula(self):
        mean, std, targets = random_case((50_000,))
        curve = metrics.quantile_calibration_curve(
            metrics.gaussian_pit(mean, std / 2, targets), num_levels=9
        )
        # P(z < q / 2) for quantiles q of a standard normal; standard error 0.0022.
        expected = stats.norm.cdf(stats.norm.ppf(curve.nominal) / 2)
        np.testing.assert_allclose(curve.observed, expected, atol=0.01)

    def test_by_hand(self):
        curve = metrics.quantile_calibration_curve([0.0, 0.25, 0.5, 1.0], num_levels=3)
        np.testing.assert_array_equal(curve.nominal, [0.25, 0.5, 0.75])
        np.testing.assert_array_equal(curve.observed, [0.5, 0.75, 0.75])
        assert metrics.quantile_calibration_error([0.0, 0.25, 0.5, 1.0], 3) == pytest.approx(1 / 6)

    def test_failures(self):
        with pytest.raises(ValueError, match=r"`pit` must be in \[0, 1\]"):
            metrics.quantile_calibration_error([1.5])
        with pytest.raises(ValueError, match="`num_levels` must be at least 1"):
            metrics.quantile_calibration_curve([0.5], num_levels=0)


class TestShapes:
    def test_a_column_is_no_vector(self):
        # (3, 1) and (3,) would broadcast to (3, 3), silently.
        column, vector = np.ones((3, 1)), np.ones(3)
        for measure in (metrics.gaussian_nll, metrics.crps_gaussian, metrics.gaussian_pit):
            with pytest.raises(ValueError, match=r"`targets` must have the shape of `mean`"):
                measure(column, 1.0, vector)
            with pytest.raises(ValueError, match=r"`std` must be a scalar or have shape \(3,\)"):
                measure(vector, column, vector)
        with pytest.raises(ValueError, match=r"`targets` must have shape \(3, 1\)"):
            metrics.crps_samples(np.ones((5, 3, 1)), vector)
        with pytest.raises(ValueError, match=r"`sample_means` must have shape \(samples, examples"):
            metrics.gaussian_mixture_nll(vector, 1.0, vector)

    def test_nan_and_negative(self):
        with pytest.raises(ValueError, match="`targets` must be finite"):
            metrics.gaussian_nll([0.0], [1.0], [np.nan])
        with pytest.raises(ValueError, match="`std` must not be negative"):
            metrics.crps_gaussian([0.0], [-1.0], [0.0])

    def test_small_integers_do_not_overflow(self):
        mean, targets = np.array([-100], np.int8), np.array([100], np.int8)
        assert metrics.crps_gaussian(mean, 0.0, targets) == 200
        assert metrics.crps_samples(mean[None], targets) == 200


class TestCoverage:
    def test_intervals_by_hand(self):
        intervals = [[0, 1], [-np.inf, 2], [3, 2]]
        assert metrics.interval_coverage(intervals, [1, -1e9, 2.5]) == pytest.approx(2 / 3)
        assert metrics.mean_interval_width(intervals) == np.inf
        assert metrics.mean_interval_width([[0, 1], [3, 2]]) == 0.5
        assert metrics.mean_interval_width([[np.inf, np.inf]]) == 0

    def test_sets_by_hand(self):
        sets = np.array([[True, False], [True, True], [False, False], [False, True]])
        assert metrics.set_coverage(sets, [0, 1, 0, 0]) == 0.5
        assert metrics.mean_set_size(sets) == 1
        assert metrics.set_coverage(sets.reshape(2, 2, 2), [[0, 1], [0, 0]]) == 0.5

    def test_failures(self):
        with pytest.raises(ValueError, match="`sets` must be boolean. Received: dtype=int64"):
            metrics.mean_set_size([[1, 0]])
        with pytest.raises(ValueError, match="`labels` must be integers of shape .*`sets`"):
            metrics.set_coverage([[True, False]], [0, 1])
        with pytest.raises(ValueError, match=r"`intervals` must have shape \(..., 2\)"):
            metrics.mean_interval_width([[1, 2, 3]])
        with pytest.raises(ValueError, match="`intervals` must be finite"):
            metrics.mean_interval_width([[1, np.nan]])
        with pytest.raises(ValueError, match=r"`targets` must have shape \(1,\)"):
            metrics.interval_coverage([[1, 2]], [1, 2])
