"""Measures of binary and multi-label predictions: every probability is that of an event."""

import numpy as np

from bayes_by_hypernet.checks import check_count
from bayes_by_hypernet.metrics.arrays import (
    PROBABILITY_FLOOR,
    as_binary_labels,
    as_binary_probs,
)
from bayes_by_hypernet.metrics.calibration import binned_gap


def binary_error_percent(probs, labels) -> float:
    """Share of labels that `p > 0.5` predicts wrongly.

    Args:
        probs: Array `(examples, ...)` of probabilities of label 1; for several labels an example
            they are along the last axis, and need not sum to 1.
        labels: Array of the same shape, each 0 or 1.

    Returns:
        Float, in percent of all labels.

    Example:
        >>> binary_error_percent([0.9, 0.4], [1, 1])
        50.0
    """
    probs, labels = _pair(probs, labels)
    return float(100.0 * np.mean((probs > 0.5) != labels))


def binary_negative_log_likelihood(probs, labels) -> float:
    """Mean of `-log p` where the label is 1 and of `-log (1 - p)` where it is 0.

    Probabilities below `PROBABILITY_FLOOR` count as that, so that p = 0 and p = 1 are finite.

    Args:
        probs: Array `(examples, ...)` of probabilities of label 1.
        labels: Array of the same shape, each 0 or 1.

    Returns:
        Float, in nats per label: not summed over the labels of an example.

    Example:
        >>> binary_negative_log_likelihood([0.5, 1.0], [1, 1])
        0.34657359027997264
    """
    probs, labels = _pair(probs, labels)
    of_label = np.where(labels == 1, probs, 1.0 - probs)
    return float(-np.mean(np.log(np.maximum(of_label, PROBABILITY_FLOOR))))


def binary_brier_score(probs, labels) -> float:
    """Mean of `(p - label)^2` (Brier 1950, for one event).

    Half of what `brier_score` gives for the two probabilities p and 1 - p, which counts both.

    Args:
        probs: Array `(examples, ...)` of probabilities of label 1.
        labels: Array of the same shape, each 0 or 1.

    Returns:
        Float in [0, 1].

    Example:
        >>> round(binary_brier_score([0.9, 0.4], [1, 1]), 4)
        0.185
    """
    probs, labels = _pair(probs, labels)
    return float(np.mean(np.square(probs - labels)))


def binary_calibration_error(probs, labels, num_bins=15) -> float:
    """Mean gap between the probability of label 1 and how often it is 1, over bins of equal width.

    Bins are of the probability itself, from 0 to 1, and not of max(p, 1 - p). All labels of an
    example go into the same bins.

    Args:
        probs: Array `(examples, ...)` of probabilities of label 1.
        labels: Array of the same shape, each 0 or 1.
        num_bins: Integer, at least 1: bins `(k / num_bins, (k + 1) / num_bins]`, the first with 0.

    Returns:
        Float in [0, 1].

    Example:
        >>> round(binary_calibration_error([0.9, 0.8], [1, 1], num_bins=2), 4)
        0.15
    """
    probs, labels = _pair(probs, labels)
    return float(binned_gap(probs.ravel(), labels.ravel(), check_count("num_bins", num_bins)))


def _pair(probs, labels):
    probs = as_binary_probs(probs)
    return probs, as_binary_labels(labels, probs.shape)
