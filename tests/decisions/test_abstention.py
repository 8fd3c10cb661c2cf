"""Abstention with and without a bound, and decisions of least cost."""

import numpy as np
import pytest
from scipy import stats

from bayes_by_hypernet import decisions, metrics
from bayes_by_hypernet.decisions.abstention import clopper_pearson_upper


def draw(num, seed):
    """Scores in [0, 1], and errors of that probability halved."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=num)
    return scores, rng.uniform(size=num) < scores / 2


class TestEmpirical:
    def test_by_hand(self):
        scores, losses = [0.1, 0.2, 0.3, 0.4, 0.9], [0, 1, 0, 0, 1]
        found = decisions.fit_abstention(scores, losses, risk=0.25)
        # Prefix risks 0, 1/2, 1/3, 1/4, 2/5.
        assert (found.threshold, found.coverage, found.risk) == (0.4, 0.8, 0.25)
        assert found.delta is None and np.isnan(found.bound)
        np.testing.assert_array_equal(found.abstain([[0.4, 0.41]]), [[False, True]])

    def test_has_the_coverage_of_the_measure(self):
        for seed in range(5):
            scores, losses = draw(300, seed)
            found = decisions.fit_abstention(scores, losses, 0.1)
            assert found.coverage == metrics.coverage_at_risk(scores, losses, 0.1)
            assert found.coverage == pytest.approx(np.mean(~found.abstain(scores)))
            assert losses[~found(scores)].mean() == pytest.approx(found.risk)

    def test_rejects_all_where_no_threshold_will_do(self):
        found = decisions.fit_abstention([0.1, 0.2], [1, 1], risk=0.5)
        assert found.coverage == 0 and found.threshold == -np.inf
        assert found.abstain([-1e300, 0.0]).all()

    def test_equal_scores_go_together(self):
        found = decisions.fit_abstention([0.1, 0.1, 0.1], [0, 0, 1], risk=0.2)
        assert found.coverage == 0

    def test_other_losses(self):
        assert decisions.fit_abstention([1, 2, 3], [5, 7, 90.0], risk=6).threshold == 2


class TestBound:
    @pytest.mark.parametrize("errors, count", [(0, 1), (0, 50), (3, 20), (19, 20), (20, 20)])
    def test_clopper_pearson_solves_the_tail(self, errors, count):
        bound = clopper_pearson_upper(errors, count, 0.01)
        if errors == count:
            assert bound == 1
        else:
            # The bound is where so few errors have the probability delta; SciPy's to 1e-10.
            assert stats.binom.cdf(errors, count, bound) == pytest.approx(0.01, rel=1e-6)

    def test_equals_scipys_interval(self):
        expected = stats.binomtest(3, 40, alternative="less").proportion_ci(0.95, "exact").high
        assert clopper_pearson_upper(3, 40, 0.05) == pytest.approx(expected, rel=1e-9)

    def test_the_risk_of_new_examples_is_kept(self):
        failed, coverages = 0, []
        for seed in range(300):
            found = decisions.fit_abstention(*draw(400, seed), risk=0.15, delta=0.1)
            # Accepted scores are uniform on [0, threshold]: their errors are a quarter of it.
            failed += max(found.threshold, 0) / 4 > 0.15
            assert not found.bound > 0.15  # NaN where all is rejected
            coverages.append(found.coverage)
        # At most delta of them; 3 standard deviations of 300.
        assert failed <= 300 * 0.1 + 3 * np.sqrt(300 * 0.09)
        assert np.mean(coverages) > 0.2

    def test_without_bound_it_is_not(self):
        thresholds = [decisions.fit_abstention(*draw(400, s), 0.15).threshold for s in range(100)]
        assert np.mean(np.array(thresholds) / 4 > 0.15) > 0.3

    def test_accepts_less_than_without_bound(self):
        for seed in range(5):
            case = draw(2000, seed)
            bound = decisions.fit_abstention(*case, 0.15, delta=0.05)
            assert 0 < bound.coverage < decisions.fit_abstention(*case, 0.15).coverage
            assert bound.risk < bound.bound <= 0.15
            assert np.mean(~bound.abstain(case[0])) == bound.coverage

    def test_more_examples_accept_more(self):
        coverages = [
            decisions.fit_abstention(*draw(num, 0), 0.15, delta=0.05).coverage
            for num in (100, 1000, 50_000)
        ]
        assert coverages == sorted(coverages)
        assert coverages[-1] == pytest.approx(0.6, abs=0.05)  # threshold / 4 = 0.15

    def test_few_examples_reject_all(self):
        found = decisions.fit_abstention([0.1], [0], risk=0.01, delta=0.05)
        assert found.coverage == 0 and found.abstain([0.0]).all()
        assert decisions.fit_abstention([0.1], [0], risk=0.96, delta=0.05).coverage == 1

    def test_ties(self):
        scores, losses = draw(2000, 0)
        found = decisions.fit_abstention(np.round(scores, 1), losses, 0.15, delta=0.05)
        accepted = ~found.abstain(np.round(scores, 1))
        assert accepted.mean() == found.coverage and losses[accepted].mean() == found.risk

    @pytest.mark.parametrize(
        "losses, settings, message",
        [
            ([0.5], {"risk": 0.1, "delta": 0.1}, "`losses` must be 0 or 1 with `delta`"),
            ([1], {"risk": 0.0, "delta": 0.1}, "`risk` must be a number above 0"),
            ([1], {"risk": 1.5, "delta": 0.1}, "`risk` must be a number above 0 and below 1"),
            ([1], {"risk": -0.1}, "`risk` must be a number in"),
            ([1], {"risk": 0.1, "delta": 1}, "`delta` must be a number above 0 and below 1"),
            ([1, 0], {"risk": 0.1}, "`losses` must have the shape of `scores`"),
        ],
    )
    def test_failures(self, losses, settings, message):
        with pytest.raises(ValueError, match=message):
            decisions.fit_abstention([0.1], losses, **settings)

    def test_scores_must_be_numbers(self):
        found = decisions.fit_abstention([0.1, 0.2], [0, 1], risk=0.1)
        with pytest.raises(ValueError, match="`scores` must be finite"):
            found.abstain([np.nan])


class TestCosts:
    COSTS = [[0, 10], [1, 0], [0.5, 0.5]]  # act, do not, ask

    def test_by_hand(self):
        probs = [[1.0, 0.0], [0.9, 0.1], [0.2, 0.8]]
        expected = [[0, 1, 0.5], [1, 0.9, 0.5], [8, 0.2, 0.5]]
        np.testing.assert_allclose(decisions.expected_costs(probs, self.COSTS), expected)
        np.testing.assert_array_equal(decisions.least_cost_decisions(probs, self.COSTS), [0, 2, 1])

    def test_zero_and_one_cost_gives_the_most_probable_class(self):
        probs = np.random.default_rng(0).dirichlet(np.ones(4), (6, 5))
        found = decisions.least_cost_decisions(probs, 1 - np.eye(4))
        np.testing.assert_array_equal(found, probs.argmax(axis=-1))

    def test_failures(self):
        with pytest.raises(ValueError, match=r"`costs` must have shape \(decisions, 2\)"):
            decisions.expected_costs([0.5, 0.5], np.eye(3))
        with pytest.raises(ValueError, match="`costs` must be finite"):
            decisions.expected_costs([0.5, 0.5], [[np.inf, 0]])
