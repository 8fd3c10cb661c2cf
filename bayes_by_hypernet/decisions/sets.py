"""Conformal prediction sets: the classes that hold the label with a chosen probability."""

import dataclasses

import numpy as np

from bayes_by_hypernet.checks import (
    check_between,
    check_choice,
    check_flag,
    check_integer,
    check_seed,
)
from bayes_by_hypernet.decisions.quantile import conformal_quantile
from bayes_by_hypernet.metrics import arrays as checked

METHODS = ("lac", "aps", "raps")


@dataclasses.dataclass(frozen=True)
class ConformalSets:
    """Calibrated prediction sets, callable on new probabilities.

    Attributes:
        threshold: Float: a class is in the set if its score is at most this. Infinite if there
            were too few calibration examples: every set then holds all classes.
        alpha: Float, the share of labels that may be missed.
        method: `"lac"`, `"aps"` or `"raps"`.
        num_classes: Integer.
        randomized: Whether scores of `"aps"` and `"raps"` are drawn.
        regularization, k_reg: Of `"raps"`.

    Example:
        >>> sets = ConformalSets(threshold=0.5, alpha=0.1, method="lac", num_classes=3)
        >>> sets([[0.6, 0.3, 0.1]])  # probabilities of at least 1 - 0.5
        array([[ True, False, False]])
    """

    threshold: float
    alpha: float
    method: str
    num_classes: int
    randomized: bool = True
    regularization: float = 0.0
    k_reg: int = 0

    def predict(self, probs, allow_empty=True, seed=None) -> np.ndarray:
        """Returns the prediction sets of new examples.

        Args:
            probs: Array `(examples, classes)`, of the model and of the kind that was calibrated.
            allow_empty: Whether a set may hold no class, where none fits as well as the labels of
                the calibration set did. False adds the most probable class to those sets: coverage
                can only grow.
            seed: Integer or None: what randomised scores are drawn from. None: anew at each call.

        Returns:
            Boolean array `(examples, classes)`, true for the classes in the set.

        Raises:
            ValueError: If `probs` are no probabilities or have another number of classes.
        """
        probs = checked.as_probs(probs, ("examples", "classes"))
        if probs.shape[1] != self.num_classes:
            raise ValueError(
                f"Argument `probs` must have {self.num_classes} classes, as the calibration set "
                f"had. Received: shape={probs.shape}"
            )
        uniform = _uniform(len(probs), self.randomized, seed, stream=1)
        sets = _scores(probs, uniform, self) <= self.threshold  # (examples, classes)
        if not check_flag("allow_empty", allow_empty):
            empty = ~sets.any(axis=1)
            sets[empty, probs[empty].argmax(axis=1)] = True
        return sets

    __call__ = predict


def fit_conformal_sets(
    probs,
    labels,
    alpha=0.1,
    method="lac",
    randomized=True,
    regularization=0.01,
    k_reg=5,
    seed=None,
) -> ConformalSets:
    """Calibrates prediction sets that hold the label with probability at least 1 - alpha.

    Split conformal prediction. Every class gets a score, and the set holds the classes whose score
    is at most the `conformal_quantile` of the labels' scores on a calibration set. With p_(1) >=
    p_(2) >= ... the sorted probabilities, r the rank of a class and u uniform on [0, 1]:

    ```
    lac:   1 - p_(r)                                              (Sadinle et al. 2019)
    aps:   p_(1) + ... + p_(r-1) + u p_(r)                        (Romano et al. 2020)
    raps:  aps + regularization * max(0, r - k_reg)               (Angelopoulos et al. 2021)
    ```

    `"lac"` has the smallest sets on average; `"aps"` adapts their size to how hard an example is;
    `"raps"` penalises classes far down. The probability is over draws of the calibration set and
    one new example that are exchangeable, such as independent examples of one distribution. It is
    no promise for each class or each example, nor for outliers.

    Args:
        probs: Array `(examples, classes)` of a calibration set that was neither trained on nor
            used to fit a temperature.
        labels: Integer array `(examples,)`.
        alpha: Float, above 0 and below 1: the share of labels that may be missed.
        method: `"lac"`, `"aps"` or `"raps"`.
        randomized: Whether u is drawn; else u = 1, and sets are larger than they need to be.
        regularization: Float, not negative, the penalty of each rank beyond `k_reg`.
        k_reg: Integer, at least 0: so many ranks have no penalty.
        seed: Integer or None: what u is drawn from.

    Returns:
        `ConformalSets`. With fewer than 1 / alpha - 1 examples its sets hold all classes, as the
        theory asks for, and a UserWarning says so.

    Raises:
        ValueError: If an argument is out of range or shapes do not fit.

    Example:
        >>> probs = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]]
        >>> sets = fit_conformal_sets(probs, [0, 0, 1, 1], alpha=0.4)  # the third smallest score
        >>> sets([[0.95, 0.05], [0.5, 0.5], [0.6, 0.4]])
        array([[ True, False],
               [False, False],
               [ True, False]])
    """
    check_choice("method", method, METHODS)
    randomized = check_flag("randomized", randomized)
    probs = checked.as_probs(probs, ("examples", "classes"))
    labels = checked.as_labels(labels, probs.shape[:1], probs.shape[1])
    is_raps = method == "raps"
    regularization = check_between(
        "regularization", regularization, 0.0, np.finfo(np.float64).max, closed=True
    )
    settings = ConformalSets(
        threshold=np.inf,
        alpha=check_between("alpha", alpha, 0.0, 1.0),
        method=method,
        num_classes=probs.shape[1],
        randomized=randomized and method != "lac",
        regularization=regularization if is_raps else 0.0,
        k_reg=check_integer("k_reg", k_reg, 0) if is_raps else 0,
    )
    uniform = _uniform(len(probs), settings.randomized, seed, stream=0)
    scores = _scores(probs, uniform, settings)[np.arange(len(labels)), labels]  # (examples,)
    return dataclasses.replace(settings, threshold=conformal_quantile(scores, alpha))


def _uniform(count, randomized, seed, stream):
    """Returns u `(count, 1)`; calibration and prediction draw from two streams of a seed."""
    if not randomized:
        return np.ones((count, 1))
    entropy = None if seed is None else [check_seed(seed, bits=128), stream]
    return np.random.default_rng(entropy).random((count, 1))


def _scores(probs, uniform, settings):
    """Returns the score of every class, `(examples, classes)`."""
    if settings.method == "lac":
        return 1.0 - probs
    probs = probs / probs.sum(axis=1, keepdims=True)  # a sum of 1.0001 could miss a threshold of 1
    order = np.argsort(-probs, axis=1, kind="stable")  # equal probabilities: smaller index first
    ordered = np.take_along_axis(probs, order, axis=1)
    scores = np.cumsum(ordered, axis=1) - ordered + uniform * ordered
    ranks = np.arange(1, probs.shape[1] + 1)
    scores += settings.regularization * np.maximum(0, ranks - settings.k_reg)
    found = np.empty_like(scores)
    np.put_along_axis(found, order, scores, axis=1)
    return found
