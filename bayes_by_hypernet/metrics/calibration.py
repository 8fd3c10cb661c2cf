"""Calibration of classifications: whether predictions are right as often as they claim."""

from typing import NamedTuple

import numpy as np

from bayes_by_hypernet.checks import check_count
from bayes_by_hypernet.metrics.arrays import as_pair


class CalibrationBins(NamedTuple):
    """Test examples by the confidence of their prediction, the largest probability.

    Attributes:
        counts: Examples in each bin, `(num_bins,)`.
        confidence, accuracy: Their means in each bin, `(num_bins,)`; NaN where it is empty.

    Example:
        >>> calibration_bins([[0.9, 0.1]], [0], num_bins=1)._fields
        ('counts', 'confidence', 'accuracy')
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def calibration_bins(probs, labels, num_bins=15) -> CalibrationBins:
    """Sorts examples into equally wide bins of confidence, `(k / num_bins, (k + 1) / num_bins]`.

    Args:
        probs: Array `(examples, ..., classes)`.
        labels: Integer array `(examples, ...)`.
        num_bins: Integer, at least 1.

    Returns:
        `CalibrationBins`.

    Raises:
        ValueError: If `num_bins` is below 1.

    Example:
        >>> calibration_bins([[0.9, 0.1], [0.6, 0.4]], [0, 1], num_bins=2).accuracy
        array([nan, 0.5])
    """
    probs, labels = as_pair(probs, labels)
    num_bins = check_count("num_bins", num_bins)
    confidence = probs.max(axis=1)  # (examples,)
    bins = equal_width_bins(confidence, num_bins)
    counts, sure, right = (
        np.bincount(bins, weights=weights, minlength=num_bins)
        for weights in (np.ones(len(bins)), confidence, probs.argmax(axis=1) == labels)
    )
    filled = np.where(counts > 0, counts, np.nan)
    return CalibrationBins(counts, sure / filled, right / filled)


def expected_calibration_error(probs, labels, num_bins=15) -> float:
    """Mean gap between confidence, the largest probability, and accuracy (Guo et al. 2017).

    Each of `calibration_bins` weighs as many examples as it holds.

    Args:
        probs: Array `(examples, ..., classes)`.
        labels: Integer array `(examples, ...)`.
        num_bins: Integer, at least 1.

    Returns:
        Float in [0, 1].

    Example:
        >>> round(expected_calibration_error([[0.9, 0.1], [0.6, 0.4]], [0, 1], num_bins=2), 4)
        0.25
    """
    bins = calibration_bins(probs, labels, num_bins)
    gaps = bins.counts * np.abs(bins.confidence - bins.accuracy)
    return float(np.nansum(gaps) / bins.counts.sum())


def adaptive_calibration_error(probs, labels, num_bins=15) -> float:
    """Calibration error over bins of equally many examples (Nguyen & O'Connor 2015).

    `expected_calibration_error` over bins of equal width has most examples of a good classifier
    in its last bin; here the bins follow the data. Equal confidences share a bin, that of the
    first of them, so that the order of the examples makes no difference.

    Args:
        probs: Array `(examples, ..., classes)`.
        labels: Integer array `(examples, ...)`.
        num_bins: Integer, at least 1. Bins stay empty where there are fewer confidences.

    Returns:
        Float in [0, 1].

    Example:
        >>> adaptive_calibration_error([[0.9, 0.1], [0.6, 0.4]], [0, 1], num_bins=2)
        0.35
    """
    probs, labels = as_pair(probs, labels)
    num_bins = check_count("num_bins", num_bins)
    confidence = probs.max(axis=1)  # (examples,)
    ranks = np.searchsorted(np.sort(confidence), confidence, side="left")  # (examples,)
    gaps = confidence - (probs.argmax(axis=1) == labels)
    # int64 does not overflow: 10^9 examples in 10^9 bins stay below 2^63.
    sums = np.bincount(ranks * num_bins // len(ranks), weights=gaps, minlength=num_bins)
    return float(np.abs(sums).sum() / len(ranks))


def classwise_calibration_error(probs, labels, num_bins=15) -> float:
    """Calibration error of every class's probability, mean over classes (Kull et al. 2019).

    ```
    mean over c of (sum over bins b of n_bc / N * |mean of p_c in b - share of label c in b|)
    ```

    `expected_calibration_error` looks at the largest probability only; this looks at all of them.
    Also called the static calibration error (Nixon et al. 2019).

    Args:
        probs: Array `(examples, ..., classes)`.
        labels: Integer array `(examples, ...)`.
        num_bins: Integer, at least 1: bins `(k / num_bins, (k + 1) / num_bins]`, the first with 0.

    Returns:
        Float in [0, 1].

    Example:
        >>> classwise_calibration_error([[0.9, 0.1], [0.9, 0.1]], [0, 1])
        0.4
    """
    probs, labels = as_pair(probs, labels)
    num_bins = check_count("num_bins", num_bins)
    errors = [
        binned_gap(of_class, labels == c, num_bins) for c, of_class in enumerate(probs.transpose())
    ]
    return float(np.mean(errors))


def equal_width_bins(values, num_bins):
    """Returns the bin of each value in [0, 1]; an edge belongs to the bin below."""
    # Compared with the edges: a product may exceed its edge, 0.56 * 25 = 14.000000000000002.
    edges = np.arange(1, num_bins) / num_bins  # (num_bins - 1,), between bins
    return np.searchsorted(edges, values, side="left")


def binned_gap(probs, happened, num_bins):
    """Returns the mean gap, over bins of equal width, of probabilities and what happened."""
    sums = np.bincount(
        equal_width_bins(probs, num_bins), weights=probs - happened, minlength=num_bins
    )
    return np.abs(sums).sum() / len(probs)
