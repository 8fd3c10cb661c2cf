"""The quantile of calibration scores that gives conformal prediction its coverage."""

import math
import warnings

import numpy as np

from bayes_by_hypernet.checks import check_between
from bayes_by_hypernet.metrics import arrays as checked


def conformal_quantile(scores, alpha) -> float:
    """The k-th smallest of n scores, k = ceil((n + 1) (1 - alpha)) (Vovk et al. 2005).

    A new score, exchangeable with these, is at most this large with probability at least
    1 - alpha, and at most 1 - alpha + 1 / (n + 1) if no scores are equal (Lei et al. 2018, Thm 2).
    With fewer than 1 / alpha - 1 scores k is n + 1: only infinity is large enough.

    Args:
        scores: Array `(examples,)` of nonconformity, larger where an example fits less.
        alpha: Float, above 0 and below 1: the share of new scores that may be larger.

    Returns:
        Float; infinity if the scores are too few.

    Raises:
        ValueError: If the scores are empty or not finite, or `alpha` out of range.

    Warns:
        UserWarning: If the scores are too few.

    Example:
        >>> conformal_quantile([1, 2, 3, 4], alpha=0.4)  # k = ceil(5 * 0.6) = 3
        3.0
    """
    alpha = check_between("alpha", alpha, 0.0, 1.0)
    scores = np.sort(checked.as_floats("scores", scores, ("examples",)))
    n = len(scores)
    # The 1e-9 is for products like 10 * 0.7 = 7.000000000000001, whose ceiling is one too many.
    k = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    if k > n:
        warnings.warn(
            f"{n} calibration examples are too few for alpha={alpha:g}: every prediction set holds "
            f"all classes and every interval is infinite. It takes at least "
            f"{np.ceil(1 / np.float64(alpha) - 1 - 1e-9):.0f}.",
            stacklevel=3,
        )
        return math.inf
    return float(scores[k - 1])
