"""Scores of outliers, and how well they tell them apart."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import average_precision_score, roc_curve

from bayes_by_hypernet import metrics


def tied_scores(seed=0):
    """Scores with many ties, within and between the two sets."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 20, 70) / 10, rng.integers(8, 25, 50) / 10


class TestScores:
    def test_by_hand(self):
        np.testing.assert_allclose(metrics.max_probability_score([[0.7, 0.3], [0, 1]]), [0.3, 0])
        np.testing.assert_array_equal(metrics.max_logit_score([[3, -1], [-2, -5]]), [-3, 2])

    @pytest.mark.parametrize("temperature", [0.01, 1.0, 3.0, 1000.0])
    def test_energy_equals_scipy(self, temperature):
        logits = np.random.default_rng(0).normal(size=(2, 5, 4)) * 50
        expected = -temperature * logsumexp(logits / temperature, axis=-1)
        np.testing.assert_allclose(metrics.energy_score(logits, temperature), expected, rtol=1e-12)

    def test_energy_does_not_overflow(self):
        assert metrics.energy_score([1e4, 0.0]) == -1e4
        assert metrics.energy_score(np.array([60000, 0], np.float16)) == pytest.approx(-60000, 1e-3)

    def test_all_grow_with_uncertainty(self):
        logits = np.array([[0, 0, 0], [1, 0, 0], [4, 0, 0.0]])
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for scores in (
            metrics.predictive_entropy(probs),
            metrics.max_probability_score(probs),
            metrics.max_logit_score(logits),
            metrics.energy_score(logits),
        ):
            assert (np.diff(scores) < 0).all()

    @pytest.mark.parametrize("temperature", [0, -1.0, np.nan, np.inf, "1", True])
    def test_temperature_must_be_positive(self, temperature):
        with pytest.raises(ValueError, match="`temperature` must be a number above 0"):
            metrics.energy_score([[1.0, 2.0]], temperature)

    def test_infinite_logits_are_refused(self):
        for score in (metrics.energy_score, metrics.max_logit_score):
            with pytest.raises(ValueError, match="`logits` must be finite. Received: 1 values"):
                score([[1.0, -np.inf]])


class TestSeparation:
    @pytest.mark.parametrize("seed", range(3))
    def test_average_precision_equals_sklearn(self, seed):
        inside, outside = tied_scores(seed)
        both, is_out = np.concatenate([inside, outside]), np.repeat([0, 1], [70, 50])
        assert metrics.outlier_aupr(inside, outside) == average_precision_score(is_out, both)
        expected = average_precision_score(1 - is_out, -both)
        assert metrics.outlier_aupr(inside, outside, positive="in") == expected

    @pytest.mark.parametrize("positive", ["in", "out"])
    @pytest.mark.parametrize("tpr", [0.05, 0.5, 0.8, 0.95, 1.0])
    def test_fpr_is_the_first_point_of_sklearns_curve(self, positive, tpr):
        for seed in range(3):
            inside, outside = tied_scores(seed)
            both, is_out = np.concatenate([inside, outside]), np.repeat([0, 1], [70, 50])
            if positive == "in":
                both, is_out = -both, 1 - is_out
            fprs, tprs, _ = roc_curve(is_out, both, drop_intermediate=False)
            # 1e-9: a rate like 0.8 is 40 / 50 = 0.8 up to rounding.
            expected = fprs[np.argmax(tprs >= tpr - 1e-9)]
            found = metrics.outlier_fpr(inside, outside, tpr, positive)
            assert found == pytest.approx(expected, abs=1e-12)

    def test_extremes(self):
        apart, same = ([0.0, 0.1], [0.5, 0.6]), ([0.3, 0.3], [0.3, 0.3])
        for positive in ("in", "out"):
            assert metrics.outlier_aupr(*apart, positive=positive) == 1
            assert metrics.outlier_fpr(*apart, positive=positive) == 0
            assert metrics.outlier_aupr(*same, positive=positive) == 0.5
            assert metrics.outlier_fpr(*same, positive=positive) == 1

    def test_floats_that_do_not_multiply(self):
        # 0.07 * 100 = 7.000000000000001: the seventh, not the eighth outlier.
        outside = np.arange(100.0)
        assert metrics.outlier_fpr([92.5], outside, tpr=0.07) == 0
        assert metrics.outlier_fpr([93.0], outside, tpr=0.07) == 1

    @pytest.mark.parametrize("measure", [metrics.outlier_aupr, metrics.outlier_fpr])
    @pytest.mark.parametrize(
        "inside, outside, message",
        [
            ([], [0.1], r"`in_scores` must have shape \(examples,\). Received: shape=\(0,\)"),
            ([0.1], [], r"`out_scores` must have shape \(examples,\)"),
            ([[0.1]], [0.1], "`in_scores` must have shape"),
            ([0.1], [np.nan], "`out_scores` must be finite"),
        ],
    )
    def test_failures(self, measure, inside, outside, message):
        with pytest.raises(ValueError, match=message):
            measure(inside, outside)

    def test_settings(self):
        with pytest.raises(ValueError, match="`positive` must be"):
            metrics.outlier_aupr([0.1], [0.2], positive="ood")
        for tpr in (0, -0.1, 1.1, np.nan):
            with pytest.raises(ValueError, match="`tpr` must be"):
                metrics.outlier_fpr([0.1], [0.2], tpr)
