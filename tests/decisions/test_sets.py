"""Conformal prediction sets."""

import warnings

import numpy as np
import pytest
from scipy import stats

from bayes_by_hypernet import decisions, metrics
from bayes_by_hypernet.decisions.sets import METHODS


def draw(num, seed, classes=6, power=0.5):
    """Probabilities, and labels that follow a power of them: a model that is not calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num, classes)) * 2
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = probs**power / np.sum(probs**power, axis=1, keepdims=True)
    labels = (rng.random((num, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return probs, labels


class TestQuantile:
    def test_by_hand(self):
        scores = [5, 1, 4, 2, 3, 9, 8, 7, 6]
        assert decisions.conformal_quantile(scores, 0.1) == 9  # ceil(10 * 0.9) = 9
        assert decisions.conformal_quantile(scores, 0.5) == 5
        assert decisions.conformal_quantile(scores, 0.45) == 6  # ceil(5.5)

    @pytest.mark.parametrize("alpha", [0.1, 0.2, 0.3, 0.05, 0.01])
    def test_exact_products_are_not_rounded_up(self, alpha):
        # In integers: alpha = percent / 100, k = ceil((n + 1) (100 - percent) / 100).
        percent = round(100 * alpha)
        for n in range(round(100 / percent), 400):
            k = -((n + 1) * (percent - 100) // 100)
            if k <= n:
                assert decisions.conformal_quantile(np.arange(1, n + 1), alpha) == k

    def test_too_few_examples_give_infinity_and_say_how_many_it_takes(self):
        with pytest.warns(UserWarning, match="8 calibration examples .* alpha=0.1: .* at least 9."):
            assert decisions.conformal_quantile(np.arange(8), 0.1) == np.inf
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert decisions.conformal_quantile(np.arange(9), 0.1) == 8

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 2, np.nan, None, True])
    def test_alpha(self, alpha):
        with pytest.raises(ValueError, match="Argument `alpha` must be a number above 0"):
            decisions.conformal_quantile([1, 2], alpha)
        with pytest.raises(ValueError, match="Argument `alpha` must be a number above 0"):
            decisions.fit_conformal_sets([[0.5, 0.5]], [0], alpha)

    def test_scores(self):
        for scores in ([], [[1.0]], [np.nan], [np.inf]):
            with pytest.raises(ValueError, match="Argument `scores` must"):
                decisions.conformal_quantile(scores, 0.1)


class TestCoverage:
    @pytest.mark.parametrize("alpha", [0.1, 0.3])
    @pytest.mark.parametrize("method", METHODS)
    def test_is_as_promised_over_repeated_draws(self, method, alpha):
        n, num_test, repeats = 99, 100, 200
        covered = 0
        for seed in range(repeats):
            probs, labels = draw(n + num_test, seed)
            settings = {"method": method, "seed": seed, "k_reg": 2, "regularization": 0.05}
            fitted = decisions.fit_conformal_sets(probs[:n], labels[:n], alpha, **settings)
            sets = fitted(probs[n:], seed=seed)
            covered += metrics.set_coverage(sets, labels[n:]) / repeats
        # Coverage given the calibration set is Beta(k, n + 1 - k); without ties its mean is
        # exactly 1 - alpha. Its variance and that of 100 labels, over 200 draws; 4 deviations.
        k = round(100 * (1 - alpha))
        variance = stats.beta.var(k, n + 1 - k) + alpha * (1 - alpha) / num_test
        assert covered == pytest.approx(1 - alpha, abs=4 * np.sqrt(variance / repeats))

    @pytest.mark.parametrize("method", ["aps", "raps"])
    def test_without_draws_is_at_least_as_promised(self, method):
        covered = 0
        for seed in range(100):
            probs, labels = draw(199, seed)
            fitted = decisions.fit_conformal_sets(
                probs[:99], labels[:99], method=method, randomized=False
            )
            covered += metrics.set_coverage(fitted(probs[99:]), labels[99:]) / 100
        variance = stats.beta.var(90, 10) + 0.09 / 100
        assert covered == pytest.approx(0.9, abs=4 * np.sqrt(variance / 100))


class TestScores:
    # Sorted, the labels' ranks are 1, 2, 3 and 2.
    PROBS = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
    LABELS = np.array([0, 1, 2, 1])

    def threshold(self, alpha, **settings):
        settings = {"randomized": False, **settings}
        return decisions.fit_conformal_sets(self.PROBS, self.LABELS, alpha, **settings).threshold

    def test_by_hand(self):
        # lac 0.5, 0.7, 0.8, 0.7; aps 0.5, 0.8, 1, 0.9; raps with 0.1 (r - 1): 0.5, 0.9, 1.2, 1.
        for alpha, lac, aps, raps in (
            (0.8, 0.5, 0.5, 0.5),
            (0.6, 0.7, 0.8, 0.9),
            (0.4, 0.7, 0.9, 1.0),
            (0.2, 0.8, 1.0, 1.2),
        ):
            assert self.threshold(alpha) == pytest.approx(lac)
            assert self.threshold(alpha, method="aps") == pytest.approx(aps)
            found = self.threshold(alpha, method="raps", regularization=0.1, k_reg=1)
            assert found == pytest.approx(raps)

    def test_raps_without_penalty_is_aps(self):
        probs, labels = draw(200, 0)
        for settings in ({"regularization": 0.0}, {"k_reg": 6}):
            raps = decisions.fit_conformal_sets(probs, labels, method="raps", seed=1, **settings)
            aps = decisions.fit_conformal_sets(probs, labels, method="aps", seed=1)
            assert raps.threshold == aps.threshold
            np.testing.assert_array_equal(raps(probs, seed=2), aps(probs, seed=2))

    def test_raps_has_no_sets_as_large_as_those_of_aps(self):
        probs, labels = draw(2000, 0, classes=50, power=2)
        sizes = []
        for method in ("aps", "raps"):
            fitted = decisions.fit_conformal_sets(
                probs[:1000], labels[:1000], method=method, seed=0, regularization=0.1
            )
            sizes.append(fitted(probs[1000:], seed=0).sum(axis=1).max())
        assert sizes[1] < sizes[0]

    def test_equal_probabilities(self):
        probs = np.full((20, 4), 0.25)
        labels = np.arange(20) % 4
        fitted = decisions.fit_conformal_sets(probs, labels, 0.5)
        assert fitted(probs).all()  # of equal scores all or none
        aps = decisions.fit_conformal_sets(probs, labels, 0.5, "aps", randomized=False)
        np.testing.assert_array_equal(aps(probs[:1]), [[True, True, True, False]])

    def test_zero_and_one(self):
        for method in METHODS:
            fitted = decisions.fit_conformal_sets(
                np.eye(3)[[0, 1, 2] * 4], [0, 1, 2] * 4, 0.1, method
            )
            sets = fitted(np.eye(3), allow_empty=False)
            assert metrics.set_coverage(sets, [0, 1, 2]) == 1


class TestSets:
    def test_too_few_examples_give_all_classes(self):
        for method in METHODS:
            with pytest.warns(UserWarning, match="every prediction set holds all classes"):
                fitted = decisions.fit_conformal_sets([[0.9, 0.1]] * 3, [0, 0, 1], 0.1, method)
            assert fitted.threshold == np.inf
            assert fitted([[1.0, 0.0]]).all()

    def test_empty_sets_can_be_filled(self):
        probs, labels = np.tile([[0.9, 0.1]], (20, 1)), np.zeros(20, int)
        fitted = decisions.fit_conformal_sets(probs, labels)
        assert not fitted([[0.6, 0.4]]).any()
        np.testing.assert_array_equal(fitted([[0.4, 0.6]], allow_empty=False), [[False, True]])

    def test_a_seed_gives_the_same_sets(self):
        probs, labels = draw(300, 0)
        first, second = (
            decisions.fit_conformal_sets(probs, labels, method="aps", seed=3) for _ in range(2)
        )
        assert first == second
        np.testing.assert_array_equal(first(probs, seed=1), second(probs, seed=1))
        assert (first(probs, seed=1) != first(probs, seed=2)).any()
        assert (first(probs) != first(probs)).any()

    def test_rows_that_sum_to_a_little_more(self):
        probs = np.array([[0.5, 0.3, 0.2]] * 30)
        labels = np.full(30, 2)
        fitted = decisions.fit_conformal_sets(probs, labels, method="aps", randomized=False)
        assert fitted(probs * 1.0005).all()

    def test_equals_mapie(self):
        classification = pytest.importorskip("mapie.classification")
        from sklearn.base import BaseEstimator, ClassifierMixin

        class Given(ClassifierMixin, BaseEstimator):
            """Returns its inputs as the probabilities."""

            def fit(self, x, y):
                self.classes_, self.n_features_in_ = np.arange(6), 6
                return self

            def predict_proba(self, x):
                return x

            def predict(self, x):
                return x.argmax(axis=1)

        probs, labels = draw(700, 0)
        theirs = classification.SplitConformalClassifier(
            Given().fit(None, None), confidence_level=0.9, conformity_score="lac", prefit=True
        ).conformalize(probs[:300], labels[:300])
        _, expected = theirs.predict_set(probs[300:])
        ours = decisions.fit_conformal_sets(probs[:300], labels[:300], alpha=0.1)
        np.testing.assert_array_equal(ours(probs[300:]), expected[:, :, 0])

    @pytest.mark.parametrize(
        "probs, labels, settings, message",
        [
            ([[0.5, 0.6]], [0], {}, "sum to 1 over the last axis"),
            ([0.5, 0.5], [0], {}, r"`probs` must have shape \(examples, classes\)"),
            ([[0.5, 0.5]], [2], {}, r"`labels` must be in \[0, 1\]"),
            ([[0.5, 0.5]], [0], {"method": "saps"}, "`method` must be one of .*method='saps'"),
            ([[0.5, 0.5]], [0], {"method": "raps", "k_reg": -1}, "`k_reg` must be at least 0"),
            ([[0.5, 0.5]], [0], {"regularization": -1}, "`regularization` must be a number in"),
            ([[0.5, 0.5]], [0], {"method": "aps", "seed": -1}, "`seed` must be at least 0"),
        ],
    )
    def test_failures(self, probs, labels, settings, message):
        with pytest.raises(ValueError, match=message):
            decisions.fit_conformal_sets(probs, labels, **settings)

    def test_another_number_of_classes(self):
        fitted = decisions.fit_conformal_sets([[0.9, 0.1]] * 20, [0] * 20)
        with pytest.raises(ValueError, match=r"must have 2 classes, .*shape=\(1, 3\)"):
            fitted([[0.2, 0.2, 0.6]])
