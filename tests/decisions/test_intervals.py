"""Conformal prediction intervals."""

import numpy as np
import pytest
from scipy import stats

from bayes_by_hypernet import decisions, metrics


def draw(num, seed):
    """Means, standard deviations that are too small by half, and targets of unequal spread."""
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=num), rng.uniform(0.1, 2, num)
    return mean, std / 2, mean + std * rng.standard_t(3, num)


def predict(kind, fit, new, alpha):
    mean, std, targets = fit
    if kind == "absolute":
        return decisions.fit_conformal_intervals(mean, targets, alpha=alpha)(new[0])
    if kind == "normalized":
        return decisions.fit_conformal_intervals(mean, targets, std, alpha)(new[0], new[1])
    fitted = decisions.fit_conformal_quantiles(mean - std, mean + std, targets, alpha)
    return fitted(new[0] - new[1], new[0] + new[1])


KINDS = ["absolute", "normalized", "quantiles"]


@pytest.mark.parametrize("alpha", [0.1, 0.4])
@pytest.mark.parametrize("kind", KINDS)
def test_coverage_is_as_promised_over_repeated_draws(kind, alpha):
    covered, repeats = 0, 200
    for seed in range(repeats):
        fit, new = draw(99, seed), draw(100, 10_000 + seed)
        intervals = predict(kind, fit, new, alpha)
        covered += metrics.interval_coverage(intervals, new[2]) / repeats
    # As for sets: Beta(k, n + 1 - k) given the calibration set, binomial of 100 targets.
    k = round(100 * (1 - alpha))
    variance = stats.beta.var(k, 100 - k) + alpha * (1 - alpha) / 100
    assert covered == pytest.approx(1 - alpha, abs=4 * np.sqrt(variance / repeats))


def test_intervals_by_hand():
    # Errors 1, 2, 3, 4 and the third: ceil(5 * 0.6).
    fitted = decisions.fit_conformal_intervals([0, 0, 0, 0], [1, -2, 3, -4], alpha=0.4)
    np.testing.assert_array_equal(fitted([10, 20]), [[7, 13], [17, 23]])
    # In standard deviations 1, 1, 1.5, 1, and the fourth of these.
    std = np.array([1, 2, 2, 4])
    fitted = decisions.fit_conformal_intervals([0, 0, 0, 0], [1, -2, 3, -4], std, alpha=0.2)
    np.testing.assert_array_equal(fitted([10], [2]), [[7, 13]])


def test_quantiles_by_hand():
    # Scores max(lower - y, y - upper): 1, -0.5, 2 and the second of these.
    fitted = decisions.fit_conformal_quantiles([0, 0, 0], [1, 1, 1], [2, 0.5, 3], alpha=0.5)
    assert fitted.threshold == 1
    np.testing.assert_array_equal(fitted([0], [1]), [[-1, 2]])


def test_quantiles_that_are_too_far_apart_come_closer_but_do_not_cross():
    fitted = decisions.fit_conformal_quantiles([-5] * 9, [5] * 9, np.arange(9) / 10, alpha=0.5)
    assert fitted.threshold == pytest.approx(-4.6)
    np.testing.assert_allclose(fitted([-5, 0], [5, 2]), [[-0.4, 0.4], [1, 1]])


def test_width_follows_the_standard_deviation():
    fit = draw(500, 0)
    intervals = predict("normalized", fit, fit, 0.1)
    width = intervals[:, 1] - intervals[:, 0]
    np.testing.assert_allclose(width / fit[1], width[0] / fit[1][0])
    same = predict("absolute", fit, fit, 0.1)
    np.testing.assert_allclose(same[:, 1] - same[:, 0], same[0, 1] - same[0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_examples_give_infinite_intervals(kind):
    with pytest.warns(UserWarning, match="8 calibration examples are too few for alpha=0.1"):
        intervals = predict(kind, draw(8, 0), draw(3, 1), 0.1)
    np.testing.assert_array_equal(intervals, [[-np.inf, np.inf]] * 3)
    assert metrics.interval_coverage(intervals, [0, 1e300, -1e300]) == 1


def test_equals_mapie():
    regression = pytest.importorskip("mapie.regression")
    from sklearn.base import BaseEstimator, RegressorMixin

    class Given(RegressorMixin, BaseEstimator):
        """Returns its inputs as the means."""

        def fit(self, x, y):
            self.n_features_in_ = 1
            return self

        def predict(self, x):
            return np.asarray(x)[:, 0]

    mean, _, targets = draw(300, 0)
    theirs = regression.SplitConformalRegressor(
        Given().fit(None, None), confidence_level=0.9, prefit=True
    ).conformalize(mean[:200, None], targets[:200])
    _, expected = theirs.predict_interval(mean[200:, None])
    ours = decisions.fit_conformal_intervals(mean[:200], targets[:200])(mean[200:])
    np.testing.assert_allclose(ours, expected[:, :, 0], rtol=1e-12)


def test_failures():
    with pytest.raises(ValueError, match=r"`mean` must have shape \(examples,\), one output"):
        decisions.fit_conformal_intervals([[1.0]], [[1.0]])
    with pytest.raises(ValueError, match=r"`targets` must have the shape of `mean`, \(2,\)"):
        decisions.fit_conformal_intervals([1.0, 2.0], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="`std` must be positive. Received: a smallest value of 0"):
        decisions.fit_conformal_intervals([1.0], [1.0], [0.0])
    with pytest.raises(ValueError, match="`targets` must be finite"):
        decisions.fit_conformal_quantiles([0.0], [1.0], [np.nan])
    with pytest.raises(ValueError, match="Argument `alpha` must be .*alpha=2"):
        decisions.fit_conformal_intervals([1.0], [1.0], alpha=2)
    plain = decisions.ConformalIntervals(1.0, 0.1)
    with pytest.raises(ValueError, match="`std` must be None, as in the calibration"):
        plain([1.0], [1.0])
    with pytest.raises(ValueError, match="`std` must be given, as in the calibration"):
        decisions.ConformalIntervals(1.0, 0.1, normalized=True)([1.0])
