"""Selective prediction: the risk that is left where the least certain predictions are rejected.

`scores` are of uncertainty, such as `predictive_entropy`: larger ones are rejected first. `losses`
are what each prediction costs, such as `probs.argmax(axis=-1) != labels` for the error, or any
other loss that is not negative. The risk is the mean loss of what is accepted; the coverage is the
share that is accepted.
"""

from typing import NamedTuple

import numpy as np

from bayes_by_hypernet.checks import check_between
from bayes_by_hypernet.metrics.arrays import as_floats


class RiskCoverageCurve(NamedTuple):
    """Risk and coverage at every threshold that differs, from the smallest to the largest.

    Attributes:
        coverage: Share of examples with at most this score, `(thresholds,)`, increasing to 1.
        risk: Their mean loss, `(thresholds,)`.
        thresholds: The scores, `(thresholds,)`.

    Example:
        >>> risk_coverage_curve([0.1, 0.2], [0, 1])._fields
        ('coverage', 'risk', 'thresholds')
    """

    coverage: np.ndarray
    risk: np.ndarray
    thresholds: np.ndarray


def risk_coverage_curve(scores, losses) -> RiskCoverageCurve:
    """Risk of the accepted predictions against their share (El-Yaniv & Wiener 2010, Section 2).

    Examples of equal score are accepted together.

    Args:
        scores: Array `(examples,)`, uncertainty: larger is rejected first.
        losses: Array `(examples,)`, not negative.

    Returns:
        `RiskCoverageCurve`.

    Example:
        >>> risk_coverage_curve([0.1, 0.2, 0.9], [0, 0, 1]).risk
        array([0.        , 0.        , 0.33333333])
    """
    scores, losses = sorted_pair(scores, losses)
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # of equal scores
    counts = last + 1
    return RiskCoverageCurve(
        counts / len(scores), np.cumsum(losses)[last] / counts, scores[last].copy()
    )


def aurc(scores, losses) -> float:
    """Area under the risk-coverage curve (Geifman, Uziel & El-Yaniv 2019).

    ```
    mean over i = 1..n of (mean loss of the i most certain examples)
    ```

    Of examples with equal scores any could be the more certain one: the value is the mean over all
    their orders.

    Args:
        scores: Array `(examples,)`, uncertainty: larger is rejected first.
        losses: Array `(examples,)`, not negative.

    Returns:
        Float, in the unit of the losses, less is better. Equal scores give the mean loss.

    Example:
        >>> aurc([0.1, 0.2, 0.9], [0, 0, 1])
        0.1111111111111111
    """
    return float(np.mean(_risks(*sorted_pair(scores, losses))))


def excess_aurc(scores, losses) -> float:
    """E-AURC: `aurc` minus that of the best scores (Geifman, Uziel & El-Yaniv 2019).

    The best scores put the losses in order. Their area is computed from the losses, and not from
    the paper's approximation r + (1 - r) log(1 - r), so that the best scores give exactly 0.

    Args:
        scores: Array `(examples,)`, uncertainty: larger is rejected first.
        losses: Array `(examples,)`, not negative.

    Returns:
        Float, at least 0, less is better.

    Example:
        >>> excess_aurc([0.1, 0.2, 0.9], [0, 0, 1])  # the wrong one is the least certain
        0.0
    """
    scores, losses = sorted_pair(scores, losses)
    best = np.sort(losses)
    excess = np.mean(_risks(scores, losses)) - np.mean(_risks(best, best))
    return float(np.maximum(excess, 0.0))  # of a rounding error, not of a value


def risk_at_coverage(scores, losses, coverage) -> float:
    """Risk of the most certain examples, as many as the coverage asks for, rounded up.

    Args:
        scores: Array `(examples,)`, uncertainty: larger is rejected first.
        losses: Array `(examples,)`, not negative.
        coverage: Float, above 0 and at most 1: the share of examples to accept.

    Returns:
        Float, in the unit of the losses; where equal scores are accepted in part, the mean over
        their orders.

    Example:
        >>> risk_at_coverage([0.1, 0.2, 0.9, 0.8], [0, 0, 1, 0], coverage=0.75)
        0.0
    """
    coverage = check_between("coverage", coverage, 0.0, 1.0, closed=True)
    risks = _risks(*sorted_pair(scores, losses))
    # At least one, since nothing has no risk; 1e-9 is for products like 0.07 * 100.
    count = int(np.ceil(coverage * len(risks) - 1e-9))
    if count < 1:
        raise ValueError(f"Argument `coverage` must be above 0. Received: coverage={coverage}")
    return float(risks[count - 1])


def coverage_at_risk(scores, losses, risk) -> float:
    """The largest coverage that one threshold on the scores gives at this risk or less.

    The threshold is chosen on the same examples: a description of them and no promise for others.
    `bbh.decisions.fit_abstention` chooses one with a bound for new examples.

    Args:
        scores: Array `(examples,)`, uncertainty: larger is rejected first.
        losses: Array `(examples,)`, not negative.
        risk: Float, not negative, in the unit of the losses.

    Returns:
        Float in [0, 1]; 0 if no threshold has a risk that small.

    Example:
        >>> coverage_at_risk([0.1, 0.2, 0.9, 0.8], [0, 0, 1, 0], risk=0.1)
        0.75
    """
    risk = check_between("risk", risk, 0.0, np.inf, closed=True)
    curve = risk_coverage_curve(scores, losses)
    return float(np.max(curve.coverage, initial=0.0, where=curve.risk <= risk))


def sorted_pair(scores, losses):
    """Returns scores and losses from the smallest score to the largest, checked."""
    scores = as_floats("scores", scores, ("examples",))
    losses = as_floats("losses", losses)
    if losses.shape != scores.shape:
        raise ValueError(
            f"Argument `losses` must have the shape of `scores`, {scores.shape}. Received: "
            f"shape={losses.shape}"
        )
    if losses.min() < 0:
        raise ValueError(
            f"Argument `losses` must not be negative. Received: a smallest value of {losses.min()}"
        )
    order = np.argsort(scores, kind="stable")
    return scores[order], losses[order]


def _risks(scores, losses):
    """Mean loss of the i first of sorted examples, i = 1..n, mean over the orders of ties."""
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    expected = (np.bincount(group, weights=losses) / counts)[group]  # of any one of the group
    return np.cumsum(expected) / np.arange(1, len(scores) + 1)
