"""Conformal prediction intervals: they hold the target with a chosen probability."""

import dataclasses

import numpy as np

from bayes_by_hypernet.decisions.quantile import conformal_quantile
from bayes_by_hypernet.metrics import arrays as checked


@dataclasses.dataclass(frozen=True)
class ConformalIntervals:
    """Calibrated intervals around a predicted mean, callable on new predictions.

    Attributes:
        threshold: Float, half of the width, in the unit of the targets; with `normalized` in
            standard deviations. Infinite if there were too few calibration examples.
        alpha: Float, the share of targets that may be missed.
        normalized: Whether the width is proportional to the predicted standard deviation.

    Example:
        >>> ConformalIntervals(threshold=3.0, alpha=0.1)([10.0])
        array([[ 7., 13.]])
    """

    threshold: float
    alpha: float
    normalized: bool = False

    def predict(self, mean, std=None) -> np.ndarray:
        """Returns the intervals of new examples.

        Args:
            mean: Array `(examples,)`.
            std: Array `(examples,)`, positive, if and only if the calibration had one.

        Returns:
            Array `(examples, 2)`: lower and upper ends.

        Raises:
            ValueError: If an argument is missing, has the wrong shape or is out of range.
        """
        if (std is not None) != self.normalized:
            allowed = "be given" if self.normalized else "be None"
            raise ValueError(
                f"Argument `std` must {allowed}, as in the calibration. Received: std={std!r}"
            )
        mean, std = _mean_and_std(mean, std)
        half = self.threshold * std
        return np.stack([mean - half, mean + half], axis=-1)  # (examples, 2)

    __call__ = predict


@dataclasses.dataclass(frozen=True)
class ConformalQuantiles:
    """Calibrated intervals between two predicted quantiles, callable on new predictions.

    Attributes:
        threshold: Float, what is added at both ends, in the unit of the targets. Negative if the
            quantiles were too far apart, infinite if there were too few calibration examples.
        alpha: Float, the share of targets that may be missed.

    Example:
        >>> ConformalQuantiles(threshold=1.0, alpha=0.1)([0.0], [1.0])
        array([[-1.,  2.]])
    """

    threshold: float
    alpha: float

    def predict(self, lower, upper) -> np.ndarray:
        """Returns the intervals of new examples.

        Args:
            lower, upper: Arrays `(examples,)`, the predicted quantiles.

        Returns:
            Array `(examples, 2)`: lower and upper ends. Where the ends would cross, and the
            interval hold nothing, both are in the middle.

        Raises:
            ValueError: If the arrays have other shapes or are not finite.
        """
        lower, upper = _vectors(lower=lower, upper=upper)
        middle = 0.5 * lower + 0.5 * upper
        lower, upper = lower - self.threshold, upper + self.threshold
        crossed = lower > upper
        ends = [np.where(crossed, middle, lower), np.where(crossed, middle, upper)]
        return np.stack(ends, axis=-1)  # (examples, 2)

    __call__ = predict


def fit_conformal_intervals(mean, targets, std=None, alpha=0.1) -> ConformalIntervals:
    """Calibrates intervals that hold the target with probability at least 1 - alpha.

    Split conformal prediction with the score |target - mean|, or |target - mean| / std where a
    standard deviation is given (Lei et al. 2018, Algorithm 2 and Section 5.2). The first has one
    width for all, the second a width that follows the model's uncertainty. Neither needs Gaussian
    errors or a right `std`. The probability is over draws of the calibration set and one new
    example that are exchangeable.

    Args:
        mean: Array `(examples,)`, predictions for a calibration set that was not trained on.
        targets: Array `(examples,)`.
        std: Array `(examples,)`, positive, such as `GaussianPrediction.std` with the noise added;
            or None.
        alpha: Float, above 0 and below 1: the share of targets that may be missed.

    Returns:
        `ConformalIntervals`. With fewer than 1 / alpha - 1 examples its intervals are infinite, as
        the theory asks for, and a UserWarning says so.

    Raises:
        ValueError: If an argument is out of range or shapes do not fit.

    Example:
        >>> intervals = fit_conformal_intervals([0, 0, 0, 0], [1, -2, 3, -4], alpha=0.4)
        >>> intervals([10.0])
        array([[ 7., 13.]])
    """
    _, targets = _vectors(mean=mean, targets=targets)
    mean, scale = _mean_and_std(mean, std)
    with np.errstate(over="ignore"):  # by a scale near 0
        scores = np.minimum(np.abs(targets - mean) / scale, np.finfo(np.float64).max)
    return ConformalIntervals(conformal_quantile(scores, alpha), float(alpha), std is not None)


def fit_conformal_quantiles(lower, upper, targets, alpha=0.1) -> ConformalQuantiles:
    """Calibrates the interval between two predicted quantiles (Romano et al. 2019, Section 4).

    Conformalised quantile regression, with the score `max(lower - target, target - upper)`. The
    quantiles are best those at alpha / 2 and 1 - alpha / 2, for example of posterior samples of the
    target, `np.quantile(samples, [0.05, 0.95], axis=0)`; coverage holds for any.

    Args:
        lower, upper: Arrays `(examples,)`, predictions for a calibration set that was not trained
            on.
        targets: Array `(examples,)`.
        alpha: Float, above 0 and below 1: the share of targets that may be missed.

    Returns:
        `ConformalQuantiles`. With fewer than 1 / alpha - 1 examples its intervals are infinite, as
        the theory asks for, and a UserWarning says so.

    Raises:
        ValueError: If an argument is out of range or shapes do not fit.

    Example:
        >>> quantiles = fit_conformal_quantiles([0, 0, 0], [1, 1, 1], [2, 0.5, 3], alpha=0.5)
        >>> quantiles([0.0], [1.0])
        array([[-1.,  2.]])
    """
    lower, upper, targets = _vectors(lower=lower, upper=upper, targets=targets)
    scores = np.maximum(lower - targets, targets - upper)
    return ConformalQuantiles(conformal_quantile(scores, alpha), float(alpha))


def _mean_and_std(mean, std):
    if std is None:
        [mean] = _vectors(mean=mean)
        return mean, np.ones_like(mean)
    mean, std = _vectors(mean=mean, std=std)
    if std.min() <= 0:
        raise ValueError(
            f"Argument `std` must be positive. Received: a smallest value of {std.min():g}"
        )
    return mean, std


def _vectors(**arguments):
    arrays = checked.as_same_shape(**arguments)
    for name, values in zip(arguments, arrays, strict=True):
        if values.ndim != 1:
            raise ValueError(
                f"Argument `{name}` must have shape (examples,), one output at a time. Received: "
                f"shape={values.shape}"
            )
    return arrays
