"""Prediction sets and intervals: how often they hold what came, and how large they are."""

import numpy as np

from bayes_by_hypernet.metrics.arrays import as_array, as_floats, as_labels, check_axes


def set_coverage(sets, labels) -> float:
    """Share of examples whose label is in their prediction set.

    Args:
        sets: Boolean array `(examples, ..., classes)`.
        labels: Integer array `(examples, ...)`.

    Returns:
        Float in [0, 1].

    Example:
        >>> set_coverage([[True, True], [False, True]], [0, 0])
        0.5
    """
    sets = _as_sets(sets)
    labels = as_labels(labels, sets.shape[:-1], sets.shape[-1], of="sets")
    return float(np.mean(np.take_along_axis(sets, labels[..., None], axis=-1)))


def mean_set_size(sets) -> float:
    """Mean number of classes in a prediction set.

    Args:
        sets: Boolean array `(examples, ..., classes)`.

    Returns:
        Float in [0, classes].

    Example:
        >>> mean_set_size([[True, True], [False, True]])
        1.5
    """
    return float(np.mean(_as_sets(sets).sum(axis=-1)))


def interval_coverage(intervals, targets) -> float:
    """Share of targets inside of their interval, the ends included.

    An interval whose lower end is above its upper end holds nothing.

    Args:
        intervals: Array `(..., 2)` of lower and upper ends, which may be infinite.
        targets: Array `(...)`.

    Returns:
        Float in [0, 1].

    Example:
        >>> interval_coverage([[0, 1], [0, 1]], [0.5, 2])
        0.5
    """
    intervals = _as_intervals(intervals)
    targets = as_floats("targets", targets)
    if targets.shape != intervals.shape[:-1]:
        raise ValueError(
            f"Argument `targets` must have shape {intervals.shape[:-1]}, one per interval. "
            f"Received: shape={targets.shape}"
        )
    return float(np.mean((intervals[..., 0] <= targets) & (targets <= intervals[..., 1])))


def mean_interval_width(intervals) -> float:
    """Mean width of intervals, their sharpness: upper minus lower end.

    Args:
        intervals: Array `(..., 2)` of lower and upper ends. One that holds nothing, since its lower
            end is above its upper end, has width 0.

    Returns:
        Float, in the unit of the ends; infinite if an end is.

    Example:
        >>> mean_interval_width([[0, 1], [0, 3]])
        2.0
    """
    intervals = _as_intervals(intervals)
    # Ends that are both plus or both minus infinity hold no number; their difference would be NaN.
    lower, upper = intervals[..., 0], intervals[..., 1]
    width = np.subtract(upper, lower, out=np.zeros_like(upper), where=upper > lower)
    return float(np.mean(width))


def _as_sets(sets):
    sets = as_array("sets", sets)
    check_axes("sets", sets, ("examples", "...", "classes"))
    if sets.dtype != bool:
        raise ValueError(f"Argument `sets` must be boolean. Received: dtype={sets.dtype}")
    return sets


def _as_intervals(intervals):
    intervals = as_floats("intervals", intervals, ("...", "2"), allow_infinite=True)
    if intervals.shape[-1] != 2:
        raise ValueError(
            f"Argument `intervals` must have shape (..., 2). Received: shape={intervals.shape}"
        )
    return intervals
