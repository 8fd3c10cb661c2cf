"""Risk and coverage of selective prediction."""

import itertools

import numpy as np
import pytest

from bayes_by_hypernet import metrics


def aurc_of_order(losses):
    return np.mean([np.mean(losses[: i + 1]) for i in range(len(losses))])


def test_curve_by_hand():
    curve = metrics.risk_coverage_curve([0.3, 0.1, 0.3, 0.7], [1, 0, 0, 1])
    np.testing.assert_array_equal(curve.thresholds, [0.1, 0.3, 0.7])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1])
    np.testing.assert_allclose(curve.risk, [0, 1 / 3, 0.5])


def test_aurc_by_hand():
    # Prefix means 0, 1/2, 1/3, 1/2.
    scores, losses = [1, 2, 3, 4], [0, 1, 0, 1]
    assert metrics.aurc(scores, losses) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    # The best order has prefix means 0, 0, 1/3, 1/2.
    best = (0 + 0 + 1 / 3 + 1 / 2) / 4
    excess = metrics.excess_aurc(scores, losses)
    assert excess == pytest.approx(metrics.aurc(scores, losses) - best)


def test_ties_are_the_mean_over_their_orders():
    losses = [0.0, 1.0, 0.0, 3.0, 1.0]
    orders = [(0, *middle, 4) for middle in itertools.permutations((1, 2, 3))]
    expected = np.mean([aurc_of_order(np.take(losses, order)) for order in orders])
    scores = [0.1, 0.5, 0.5, 0.5, 0.9]
    assert metrics.aurc(scores, losses) == pytest.approx(expected, rel=1e-12)
    risks = np.mean([[np.mean(np.take(losses, order)[:2])] for order in orders])
    assert metrics.risk_at_coverage(scores, losses, 0.4) == pytest.approx(risks, rel=1e-12)
    assert metrics.aurc([1] * 5, losses) == pytest.approx(np.mean(losses))


def test_best_scores_have_no_excess():
    losses = np.random.default_rng(0).uniform(size=50)
    assert metrics.excess_aurc(losses, losses) == 0
    assert metrics.excess_aurc(-losses, losses) > 0.1
    assert metrics.excess_aurc([1, 2], [0, 0]) == 0


def test_the_papers_approximation():
    # r + (1 - r) log(1 - r) for many examples (Geifman et al. 2019): 0.0052 at r = 0.1.
    losses = np.arange(10_000) >= 9_000
    expected = 0.1 + 0.9 * np.log(0.9)
    assert metrics.aurc(losses.astype(int), losses) == pytest.approx(expected, rel=1e-2)


def test_coverage_and_risk_by_hand():
    scores, losses = np.arange(10), np.array([0, 0, 0, 1, 0, 0, 0, 0, 1, 1])
    assert metrics.coverage_at_risk(scores, losses, 0.0) == pytest.approx(0.3)
    assert metrics.coverage_at_risk(scores, losses, 0.125) == pytest.approx(0.8)
    assert metrics.coverage_at_risk(scores, losses, 1.0) == 1
    assert metrics.coverage_at_risk([1, 2], [1, 1], 0.5) == 0
    assert metrics.risk_at_coverage(scores, losses, 0.3) == 0
    assert metrics.risk_at_coverage(scores, losses, 0.31) == pytest.approx(1 / 4)
    assert metrics.risk_at_coverage(scores, losses, 1.0) == pytest.approx(0.3)
    assert metrics.risk_at_coverage(np.arange(100), np.arange(100) >= 7, 0.07) == 0


def test_boolean_losses_and_infinite_entropies():
    assert metrics.aurc([0.1, 0.2], [False, True]) == 0.25
    with pytest.raises(ValueError, match="`scores` must be finite"):
        metrics.aurc([0.1, np.nan], [0, 1])


@pytest.mark.parametrize(
    "scores, losses, message",
    [
        ([], [], r"`scores` must have shape \(examples,\)"),
        ([[0.1]], [[1]], r"`scores` must have shape \(examples,\). Received: shape=\(1, 1\)"),
        ([0.1], [1, 0], r"`losses` must have the shape of `scores`, \(1,\)"),
        ([0.1], [-1], "`losses` must not be negative. Received: a smallest value of -1"),
        ([0.1], [np.inf], "`losses` must be finite"),
    ],
)
def test_failures(scores, losses, message):
    for measure in (metrics.aurc, metrics.excess_aurc, metrics.risk_coverage_curve):
        with pytest.raises(ValueError, match=message):
            measure(scores, losses)


def test_settings():
    for coverage in (0, -0.1, 1.01, np.nan, None):
        with pytest.raises(ValueError, match="`coverage` must be"):
            metrics.risk_at_coverage([0.1], [1], coverage)
    for risk in (-0.1, np.nan, "low"):
        with pytest.raises(ValueError, match="`risk` must be"):
            metrics.coverage_at_risk([0.1], [1], risk)
