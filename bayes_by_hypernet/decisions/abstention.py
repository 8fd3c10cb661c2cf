"""Abstention: a threshold on uncertainty that keeps the risk of what is predicted small."""

import dataclasses
import math

import numpy as np

from bayes_by_hypernet.checks import check_between
from bayes_by_hypernet.metrics import arrays as checked
from bayes_by_hypernet.metrics.selective import risk_coverage_curve, sorted_pair


@dataclasses.dataclass(frozen=True)
class Abstention:
    """A threshold on a score of uncertainty, above which no prediction is made.

    Attributes:
        threshold: Float: scores above it are rejected. Minus infinity rejects all: no threshold
            met the target.
        target_risk: Float, what was asked for.
        coverage: Float, the share of calibration examples that are accepted.
        risk: Float, their mean loss; NaN if none is.
        bound: Float: with probability at least 1 - delta the risk of new examples is at most this.
            NaN without `delta`, or if none is accepted.
        delta: Float or None.

    Example:
        >>> Abstention(threshold=0.3, target_risk=0.1, coverage=0.8, risk=0.1)([0.25, 0.95])
        array([False,  True])
    """

    threshold: float
    target_risk: float
    coverage: float
    risk: float
    bound: float = math.nan
    delta: float | None = None

    def abstain(self, scores) -> np.ndarray:
        """Returns which predictions to reject.

        Args:
            scores: Array of any shape, of the kind that the threshold was chosen on.

        Returns:
            Boolean array of the same shape, true to abstain.
        """
        return checked.as_floats("scores", scores) > self.threshold

    __call__ = abstain


def fit_abstention(scores, losses, risk, delta=None) -> Abstention:
    """Chooses the threshold with the largest coverage whose risk is at most `risk`.

    Without `delta` the risk is that of the calibration set: on new examples it may be larger, in
    about half of the cases. With `delta` it is 'selection with guaranteed risk' (Geifman &
    El-Yaniv 2017, Algorithm 1): a binary search over k = ceil(log2 n) thresholds, each with the
    Clopper-Pearson upper bound of its error rate at level delta / k. The risk of new examples of
    the same distribution is then at most `risk` with probability at least 1 - delta, over draws of
    the calibration set. The bound needs losses of 0 and 1.

    Args:
        scores: Array `(examples,)`, uncertainty on a calibration set that was not trained on, such
            as `predictive_entropy`: larger is rejected first.
        losses: Array `(examples,)`, such as `probs.argmax(axis=-1) != labels`, not negative; with
            `delta` 0 or 1.
        risk: Float, above 0 and below 1 with `delta`, else not negative: the mean loss to allow.
        delta: Float, above 0 and below 1, or None: the probability that the bound may fail.

    Returns:
        `Abstention`. Where no threshold meets the target it rejects everything, with coverage 0.

    Raises:
        ValueError: If an argument is out of range or shapes do not fit.

    Example:
        >>> abstention = fit_abstention([0.1, 0.2, 0.3, 0.9], [0, 0, 0, 1], risk=0.1)
        >>> abstention.threshold, abstention.coverage
        (0.3, 0.75)
        >>> abstention.abstain([0.25, 0.95])
        array([False,  True])
    """
    if delta is None:
        risk = check_between("risk", risk, 0.0, np.finfo(np.float64).max, closed=True)
        curve = risk_coverage_curve(scores, losses)
        good = np.flatnonzero(curve.risk <= risk)
        if not len(good):
            return _nothing(risk)
        last = good[-1]
        return Abstention(
            *(float(v) for v in (curve.thresholds[last], risk, curve.coverage[last])),
            float(curve.risk[last]),
        )
    risk = check_between("risk", risk, 0.0, 1.0)
    delta = check_between("delta", delta, 0.0, 1.0)
    scores, losses = sorted_pair(scores, losses)
    if not np.isin(losses, (0.0, 1.0)).all():
        raise ValueError(
            "Argument `losses` must be 0 or 1 with `delta`, since the bound is that of a "
            f"proportion. Received: values from {losses.min():g} to {losses.max():g}"
        )
    return _guaranteed(scores, losses, risk, delta)


def _guaranteed(scores, losses, risk, delta):
    n = len(scores)
    errors = np.cumsum(losses)
    steps = max(1, math.ceil(math.log2(n)))
    best, low, high = _nothing(risk, delta), 1, n  # the number of accepted examples
    for _ in range(steps):
        middle = (low + high + 1) // 2
        threshold = scores[middle - 1]
        count = int(np.searchsorted(scores, threshold, side="right"))  # with all that equal it
        wrong = int(errors[count - 1])
        bound = clopper_pearson_upper(wrong, count, delta / steps)
        if bound <= risk:
            low = middle
            if count / n > best.coverage:
                best = Abstention(
                    float(threshold), risk, count / n, wrong / count, bound, float(delta)
                )
        else:
            high = middle - 1
        if low > high:
            break
    return best


def _nothing(risk, delta=None):
    return Abstention(-math.inf, risk, 0.0, math.nan, math.nan, delta)


def clopper_pearson_upper(errors, count, delta) -> float:
    """Upper bound of a proportion that holds with probability 1 - delta (Clopper & Pearson 1934).

    The p for which a binomial count is at most `errors` with probability `delta`.

    Args:
        errors: Integer, at least 0.
        count: Integer, at least `errors` and 1.
        delta: Float, above 0 and below 1.

    Returns:
        Float in (0, 1].
    """
    from scipy.stats import beta  # slow to import, and only needed here

    return 1.0 if errors == count else float(beta.ppf(1 - delta, errors + 1, count - errors))
