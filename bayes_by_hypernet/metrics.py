"""How good predictions and their uncertainties are: arrays in, Python floats or arrays out.

Arguments: `probs`, predictive probabilities, the classes along the last axis, and `labels`, class
indices. Every function raises `ValueError` on arrays of the wrong shape, on values that are no
probabilities (not finite, negative, rows that do not sum to 1 within 1e-3), on labels out of range
and on empty data. Everything is computed in float64.
"""

from typing import NamedTuple

import numpy as np

# The smallest probability whose logarithm counts, 87.3 nats: float32's smallest normal number.
# A softmax in float32 turns anything less into 0 or a number without precision.
PROBABILITY_FLOOR = float(np.finfo(np.float32).tiny)


def predictive_entropy(probs) -> np.ndarray:
    """Entropy of predictive distributions, `-sum over c of p_c log p_c`, with 0 log 0 = 0.

    Args:
        probs: Array `(..., classes)`.

    Returns:
        Array `(...)`, in nats, between 0 and log(classes).
    """
    return _entropy(_checked_probs(probs))


def entropy_auc(probs) -> float:
    """Area under the empirical CDF of the entropy, over [0, log C], divided by log C.

    High where predictions are certain: good on test images, bad on outliers (Tables 1 to 5). The
    area under the CDF of a quantity in [0, b] is b minus its mean, so this is exactly
    `1 - mean(entropy) / log C`. The authors integrate a histogram and do not divide by log C.

    Args:
        probs: Array `(examples, classes)`, at least 2 classes.

    Returns:
        Float in [0, 1].
    """
    probs = _checked_classes(probs)
    area = 1.0 - _entropy(probs).mean() / np.log(probs.shape[1])
    return float(np.clip(area, 0.0, 1.0))  # of a rounding error, not of a value


def entropy_cdf(probs, num_points=201) -> np.ndarray:
    """Empirical CDF of the predictive entropy divided by log C, whose area is `entropy_auc`.

    Args:
        probs: Array `(examples, classes)`, at least 2 classes.
        num_points: Integer, at least 2: the CDF is given at so many equal steps from 0 to 1.

    Returns:
        Array `(num_points,)`: the share of examples with at most this entropy.
    """
    probs = _checked_classes(probs)
    relative = np.minimum(_entropy(probs) / np.log(probs.shape[1]), 1.0)  # of a rounding error
    counts = np.searchsorted(np.sort(relative), np.linspace(0, 1, num_points), side="right")
    return counts / len(relative)


def error_percent(probs, labels) -> float:
    """Share of examples whose most probable class is not their label.

    Args:
        probs: Array `(examples, classes)`.
        labels: Integer array `(examples,)`.

    Returns:
        Float, in percent.
    """
    probs, labels = _checked_pair(probs, labels)
    return float(100.0 * np.mean(probs.argmax(axis=1) != labels))


def negative_log_likelihood(probs, labels) -> float:
    """Mean of `-log p(label)`, probabilities below `PROBABILITY_FLOOR` counted as that.

    Args:
        probs: Array `(examples, classes)`.
        labels: Integer array `(examples,)`.

    Returns:
        Float, in nats per example.
    """
    probs, labels = _checked_pair(probs, labels)
    of_label = probs[np.arange(len(labels)), labels]  # (examples,)
    return float(-np.mean(np.log(np.maximum(of_label, PROBABILITY_FLOOR))))


def brier_score(probs, labels) -> float:
    """Squared error of the probabilities, summed over classes, mean over examples.

    Args:
        probs: Array `(examples, classes)`.
        labels: Integer array `(examples,)`.

    Returns:
        Float in [0, 2].
    """
    probs, labels = _checked_pair(probs, labels)
    one_hot = np.eye(probs.shape[1])[labels]  # (examples, classes)
    return float(np.mean(np.sum(np.square(probs - one_hot), axis=1)))


class CalibrationBins(NamedTuple):
    """Test examples by the confidence of their prediction, the largest probability.

    Attributes:
        counts: Examples in each bin, `(num_bins,)`.
        confidence, accuracy: Their means in each bin, `(num_bins,)`; NaN where it is empty.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def calibration_bins(probs, labels, num_bins=15) -> CalibrationBins:
    """Sorts examples into equally wide bins of confidence, `(k / num_bins, (k + 1) / num_bins]`.

    Args:
        probs: Array `(examples, classes)`.
        labels: Integer array `(examples,)`.
        num_bins: Integer, at least 1.

    Returns:
        `CalibrationBins`.

    Raises:
        ValueError: If `num_bins` is below 1.
    """
    probs, labels = _checked_pair(probs, labels)
    if num_bins < 1:
        raise ValueError(f"Argument `num_bins` must be at least 1. Received: num_bins={num_bins}")
    confidence = probs.max(axis=1)  # (examples,)
    # Compared with the edges: a product may exceed its edge, 0.56 * 25 = 14.000000000000002.
    edges = np.arange(1, num_bins) / num_bins  # (num_bins - 1,), between bins
    bins = np.searchsorted(edges, confidence, side="left")  # (examples,)
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
        probs: Array `(examples, classes)`.
        labels: Integer array `(examples,)`.
        num_bins: Integer, at least 1.

    Returns:
        Float in [0, 1].
    """
    bins = calibration_bins(probs, labels, num_bins)
    gaps = bins.counts * np.abs(bins.confidence - bins.accuracy)
    return float(np.nansum(gaps) / len(labels))


def outlier_auroc(in_entropy, out_entropy) -> float:
    """Area under the ROC curve of telling outliers from test examples by their entropy.

    The chance that an outlier has the larger entropy, ties counted half.

    Args:
        in_entropy: Array `(examples,)`, of test examples.
        out_entropy: Array `(outliers,)`, of outliers, the positive class.

    Returns:
        Float in [0, 1].
    """
    from sklearn.metrics import roc_auc_score  # slow to import, and only needed here

    scores = []
    for name, values in (("in_entropy", in_entropy), ("out_entropy", out_entropy)):
        values = np.asarray(values, np.float64)
        if values.ndim != 1 or not values.size:
            raise ValueError(
                f"Argument `{name}` must have shape (examples,). Received: shape={values.shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(
                f"Argument `{name}` must be finite. Received: {_count_non_finite(values)}"
            )
        scores.append(values)
    is_outlier = np.repeat([0, 1], [len(values) for values in scores])
    return float(roc_auc_score(is_outlier, np.concatenate(scores)))


def mutual_information(sample_probs) -> np.ndarray:
    """Mutual information of label and weights: how much the posterior samples disagree.

    ```
    entropy(mean over s of p_s) - mean over s of entropy(p_s)
    ```

    Args:
        sample_probs: Array `(samples, examples, classes)`.

    Returns:
        Array `(examples,)`, in nats, at least 0.
    """
    sample_probs = _checked_probs(
        sample_probs, ("samples", "examples", "classes"), name="sample_probs"
    )
    information = _entropy(sample_probs.mean(axis=0)) - _entropy(sample_probs).mean(axis=0)
    return np.maximum(information, 0.0)  # of a rounding error, not of a value


def _entropy(probs):
    log = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    return -np.sum(probs * log, axis=-1)


def _checked_probs(probs, axes=("...", "classes"), name="probs"):
    probs = np.asarray(probs, np.float64)
    right_rank = probs.ndim >= 1 if axes[0] == "..." else probs.ndim == len(axes)
    if not right_rank or not probs.size:
        raise ValueError(
            f"Argument `{name}` must have shape ({', '.join(axes)}). Received: shape={probs.shape}"
        )
    if not np.isfinite(probs).all():
        raise ValueError(f"Argument `{name}` must be finite. Received: {_count_non_finite(probs)}")
    if probs.min() < 0:
        raise ValueError(
            f"Argument `{name}` must not be negative. Received: a smallest value of {probs.min()}"
        )
    sums = probs.sum(axis=-1)
    if np.abs(sums - 1.0).max() > 1e-3:
        raise ValueError(
            f"Argument `{name}` must hold probabilities, which sum to 1 over the last axis within "
            f"1e-3. Received: sums from {sums.min():.6g} to {sums.max():.6g}"
        )
    return probs


def _checked_classes(probs):
    probs = _checked_probs(probs, ("examples", "classes"))
    if probs.shape[1] < 2:
        raise ValueError(
            f"Argument `probs` must have at least 2 classes. Received: shape={probs.shape}"
        )
    return probs


def _checked_pair(probs, labels):
    probs = _checked_probs(probs, ("examples", "classes"))
    labels = np.asarray(labels)
    if labels.shape != probs.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Argument `labels` must be integers of shape {probs.shape[:1]}, one per row of "
            f"`probs`. Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= probs.shape[1]:
        raise ValueError(
            f"Argument `labels` must be in [0, {probs.shape[1] - 1}], as `probs` has "
            f"{probs.shape[1]} classes. Received: values from {labels.min()} to {labels.max()}"
        )
    return probs, labels


def _count_non_finite(values):
    return f"{np.size(values) - np.isfinite(values).sum()} values that are not"
