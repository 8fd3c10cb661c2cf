"""Measures of classifications: entropy, error, likelihood, Brier score."""

import numpy as np

from bayes_by_hypernet.checks import check_count
from bayes_by_hypernet.metrics.arrays import (
    PROBABILITY_FLOOR,
    as_class_probs,
    as_pair,
    as_probs,
)


def predictive_entropy(probs) -> np.ndarray:
    """Entropy of predictive distributions, `-sum over c of p_c log p_c`, with 0 log 0 = 0.

    Args:
        probs: Array `(..., classes)`.

    Returns:
        Array `(...)`, in nats, between 0 and log(classes).

    Example:
        >>> predictive_entropy([[0.5, 0.5], [0.9, 0.1]]).round(4)
        array([0.6931, 0.3251])
    """
    return entropy_of(as_probs(probs))


def entropy_auc(probs) -> float:
    """Area under the empirical CDF of the entropy, over [0, log C], divided by log C.

    High where predictions are certain: good on test images, bad on outliers (Tables 1 to 5). The
    area under the CDF of a quantity in [0, b] is b minus its mean, so this is exactly
    `1 - mean(entropy) / log C`. The authors integrate a histogram and do not divide by log C.

    Args:
        probs: Array `(examples, ..., classes)`, at least 2 classes.

    Returns:
        Float in [0, 1].

    Example:
        >>> entropy_auc([[0.5, 0.5], [1.0, 0.0]])
        0.5
    """
    probs = as_class_probs(probs)
    area = 1.0 - entropy_of(probs).mean() / np.log(probs.shape[1])
    return float(np.clip(area, 0.0, 1.0))  # of a rounding error, not of a value


def entropy_cdf(probs, num_points=201) -> np.ndarray:
    """Empirical CDF of the predictive entropy divided by log C, whose area is `entropy_auc`.

    Args:
        probs: Array `(examples, ..., classes)`, at least 2 classes.
        num_points: Integer, at least 2: the CDF is given at so many equal steps from 0 to 1.

    Returns:
        Array `(num_points,)`: the share of examples with at most this entropy.

    Raises:
        ValueError: If `num_points` is below 2.

    Example:
        >>> entropy_cdf([[0.5, 0.5], [1.0, 0.0]], num_points=3)
        array([0.5, 0.5, 1. ])
    """
    num_points = check_count("num_points", num_points, 2)
    probs = as_class_probs(probs)
    relative = np.minimum(entropy_of(probs) / np.log(probs.shape[1]), 1.0)  # of a rounding error
    counts = np.searchsorted(np.sort(relative), np.linspace(0, 1, num_points), side="right")
    return counts / len(relative)


def error_percent(probs, labels) -> float:
    """Share of examples whose most probable class is not their label.

    Args:
        probs: Array `(examples, ..., classes)`.
        labels: Integer array `(examples, ...)`.

    Returns:
        Float, in percent.

    Example:
        >>> error_percent([[0.9, 0.1], [0.6, 0.4]], [0, 1])
        50.0
    """
    probs, labels = as_pair(probs, labels)
    return float(100.0 * np.mean(probs.argmax(axis=1) != labels))


def negative_log_likelihood(probs, labels) -> float:
    """Mean of `-log p(label)`, probabilities below `PROBABILITY_FLOOR` counted as that.

    Args:
        probs: Array `(examples, ..., classes)`.
        labels: Integer array `(examples, ...)`.

    Returns:
        Float, in nats per example.

    Example:
        >>> round(negative_log_likelihood([[0.9, 0.1], [0.6, 0.4]], [0, 1]), 4)
        0.5108
    """
    probs, labels = as_pair(probs, labels)
    of_label = probs[np.arange(len(labels)), labels]  # (examples,)
    return float(-np.mean(np.log(np.maximum(of_label, PROBABILITY_FLOOR))))


def brier_score(probs, labels) -> float:
    """Squared error of the probabilities, summed over classes, mean over examples.

    Args:
        probs: Array `(examples, ..., classes)`.
        labels: Integer array `(examples, ...)`.

    Returns:
        Float in [0, 2].

    Example:
        >>> round(brier_score([[0.9, 0.1], [0.6, 0.4]], [0, 1]), 4)
        0.37
    """
    probs, labels = as_pair(probs, labels)
    one_hot = np.eye(probs.shape[1])[labels]  # (examples, classes)
    return float(np.mean(np.sum(np.square(probs - one_hot), axis=1)))


def entropy_of(probs):
    """Entropy over the last axis of a float64 array that is known to hold probabilities, nats."""
    log = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    return -np.sum(probs * log, axis=-1)
