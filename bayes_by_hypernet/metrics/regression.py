"""Measures of regressions: likelihood, CRPS, and calibration of quantiles.

A predictive distribution is given by a mean and a standard deviation, or by samples. `targets` are
what came, in the same unit; all positions of an example count alike.
"""

import math
from typing import NamedTuple

import numpy as np

from bayes_by_hypernet.checks import check_choice, check_count
from bayes_by_hypernet.metrics.arrays import as_floats, as_same_shape


def gaussian_nll(mean, std, targets) -> float:
    """Mean of `-log N(target; mean, std^2)`.

    `std` is that of the targets: of a `GaussianPrediction` add the noise to the spread of the
    posterior samples, `sqrt(prediction.std**2 + noise_std**2)`.

    Args:
        mean: Array `(examples, ...)`.
        std: Array of the same shape or a scalar, positive.
        targets: Array of the same shape.

    Returns:
        Float, in nats per target. A density: it depends on the unit and can be negative.

    Example:
        >>> gaussian_nll([0.0], [1.0], [0.0])
        0.9189385332046727
    """
    mean, targets = as_same_shape(mean=mean, targets=targets)
    std = _as_std(std, mean.shape)
    return float(-np.mean(_log_density(mean, std, targets)))


def gaussian_mixture_nll(sample_means, std, targets) -> float:
    """Mean of `-log (mean over s of N(target; mean_s, std_s^2))`, of posterior samples.

    The likelihood of the posterior predictive itself; `gaussian_nll` with the moments of the
    mixture is that of a Gaussian in its place.

    Args:
        sample_means: Array `(samples, examples, ...)`.
        std: Standard deviation of the noise, positive: a scalar, or an array of the shape of
            `targets` or of `sample_means`.
        targets: Array `(examples, ...)`.

    Returns:
        Float, in nats per target.

    Example:
        >>> gaussian_mixture_nll([[0.0], [0.0]], 1.0, [0.0])
        0.9189385332046727
    """
    sample_means, targets = _samples_and_targets(sample_means, targets, "sample_means")
    std = _as_std(std, sample_means.shape, targets.shape)
    log_densities = _log_density(sample_means, std, targets)  # (samples, examples, ...)
    total = np.logaddexp.reduce(log_densities, axis=0)
    return float(np.log(len(sample_means)) - np.mean(total))


def crps_gaussian(mean, std, targets) -> float:
    """Continuous ranked probability score of Gaussians (Gneiting & Raftery 2007, Section 4.2).

    ```
    std * (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)),   z = (target - mean) / std
    ```

    Args:
        mean: Array `(examples, ...)`.
        std: Array of the same shape or a scalar, not negative; 0 gives |target - mean|.
        targets: Array of the same shape.

    Returns:
        Float, the mean over targets, in their unit, less is better.

    Example:
        >>> crps_gaussian([0.0], [1.0], [0.0])
        0.23369497725510913
    """
    from scipy.special import ndtr  # slow to import, and only needed here

    mean, targets = as_same_shape(mean=mean, targets=targets)
    std = _as_std(std, mean.shape, allow_zero=True)
    error = targets - mean
    z = np.divide(error, std, out=np.zeros_like(error), where=std > 0)
    phi = np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi)
    spread = error * (2 * ndtr(z) - 1) + std * (2 * phi - 1 / math.sqrt(math.pi))
    return float(np.mean(np.where(std > 0, spread, np.abs(error))))


def crps_samples(samples, targets, estimator="plain") -> float:
    """Continuous ranked probability score from samples of the predictive distribution.

    ```
    mean over s of |x_s - y| - 1/2 * (mean over pairs s, t of |x_s - x_t|)
    ```

    The samples have to be of the targets: with the noise of the observations, not only the spread
    of the predicted mean.

    Args:
        samples: Array `(samples, examples, ...)`.
        targets: Array `(examples, ...)`.
        estimator: `"plain"`: all S^2 pairs, the score of the samples' own distribution. `"fair"`:
            the S (S - 1) pairs of different samples, whose expectation is the score of the
            distribution that they are from (Ferro 2014; Zamo & Naveau 2018). It may be
            negative.

    Returns:
        Float, the mean over targets, in their unit, less is better.

    Raises:
        ValueError: If `estimator` is neither, or fair with fewer than 2 samples.

    Example:
        >>> crps_samples([[0.0], [2.0]], [1.0]), crps_samples([[0.0], [2.0]], [1.0], "fair")
        (0.5, 0.0)
    """
    check_choice("estimator", estimator, ("plain", "fair"))
    samples, targets = _samples_and_targets(samples, targets)
    n = len(samples)
    if estimator == "fair" and n < 2:
        raise ValueError(
            'Argument `samples` must hold at least 2 samples with estimator="fair". Received: '
            f"shape={samples.shape}"
        )
    errors = np.sort(samples - targets, axis=0)
    # In order, x_(i) is the larger one of i - 1 pairs and the smaller one of n - i.
    weights = (2 * np.arange(1, n + 1) - n - 1).reshape(-1, *[1] * targets.ndim)
    pairs = n * n if estimator == "plain" else n * (n - 1)
    spread = np.sum(weights / pairs * errors, axis=0)  # half of the mean distance
    return float(np.mean(np.abs(errors).mean(axis=0) - spread))


def gaussian_pit(mean, std, targets) -> np.ndarray:
    """Probability integral transform: the predictive CDF at the target (Dawid 1984).

    Uniform on [0, 1] if the predictive distributions are calibrated.

    Args:
        mean: Array `(examples, ...)`.
        std: Array of the same shape or a scalar, positive, of the targets.
        targets: Array of the same shape.

    Returns:
        Array of the same shape, each in [0, 1].

    Example:
        >>> gaussian_pit([0.0], [1.0], [0.0])
        array([0.5])
    """
    from scipy.special import ndtr  # slow to import, and only needed here

    mean, targets = as_same_shape(mean=mean, targets=targets)
    return ndtr((targets - mean) / _as_std(std, mean.shape))


def sample_pit(samples, targets) -> np.ndarray:
    """Probability integral transform from samples: the target's rank among them.

    ```
    (samples below the target + half of those equal to it + 1/2) / (samples + 1)
    ```

    Args:
        samples: Array `(samples, examples, ...)`, of the targets: with their noise.
        targets: Array `(examples, ...)`.

    Returns:
        Array `(examples, ...)`, each in (0, 1), in steps of 1 / (samples + 1).

    Example:
        >>> sample_pit([[0.0], [1.0], [2.0]], [1.5])
        array([0.625])
    """
    samples, targets = _samples_and_targets(samples, targets)
    rank = np.sum(samples < targets, axis=0) + 0.5 * np.sum(samples == targets, axis=0)
    return (rank + 0.5) / (len(samples) + 1)


class QuantileCalibration(NamedTuple):
    """How often targets lie below predicted quantiles.

    Attributes:
        nominal: Levels of the quantiles, `(num_levels,)`.
        observed: Share of targets at or below each, `(num_levels,)`.

    Example:
        >>> quantile_calibration_curve([0.1, 0.4, 0.9], num_levels=1)._fields
        ('nominal', 'observed')
    """

    nominal: np.ndarray
    observed: np.ndarray


def quantile_calibration_curve(pit, num_levels=99) -> QuantileCalibration:
    """Observed against nominal coverage of quantiles (Kuleshov et al. 2018).

    Args:
        pit: Array of any shape, what `gaussian_pit` or `sample_pit` returns.
        num_levels: Integer, at least 1: levels k / (num_levels + 1), k = 1..num_levels.

    Returns:
        `QuantileCalibration`.

    Example:
        >>> quantile_calibration_curve([0.1, 0.4, 0.9], num_levels=1).observed
        array([0.66666667])
    """
    pit = as_floats("pit", pit)
    if pit.min() < 0 or pit.max() > 1:
        raise ValueError(
            f"Argument `pit` must be in [0, 1]. Received: values from {pit.min():.6g} to "
            f"{pit.max():.6g}"
        )
    num_levels = check_count("num_levels", num_levels)
    nominal = np.arange(1, num_levels + 1) / (num_levels + 1)
    counts = np.searchsorted(np.sort(pit, axis=None), nominal, side="right")
    return QuantileCalibration(nominal, counts / pit.size)


def quantile_calibration_error(pit, num_levels=99) -> float:
    """Mean absolute gap between observed and nominal coverage of quantiles.

    Kuleshov et al. (2018) sum the squares; the mean absolute gap, as in Chung et al. (2021),
    is a share of targets, whatever the number of levels.

    Args:
        pit: Array of any shape, what `gaussian_pit` or `sample_pit` returns.
        num_levels: Integer, at least 1.

    Returns:
        Float in [0, 1].

    Example:
        >>> round(quantile_calibration_error([0.1, 0.4, 0.9], num_levels=1), 4)
        0.1667
    """
    curve = quantile_calibration_curve(pit, num_levels)
    return float(np.mean(np.abs(curve.observed - curve.nominal)))


def _log_density(mean, std, targets):
    z = (targets - mean) / std
    return -0.5 * np.square(z) - np.log(std) - 0.5 * math.log(2 * math.pi)


def _as_std(std, *shapes, allow_zero=False):
    std = as_floats("std", std)
    if std.ndim and std.shape not in shapes:
        raise ValueError(
            f"Argument `std` must be a scalar or have shape {' or '.join(map(str, shapes))}. "
            f"Received: shape={std.shape}"
        )
    if std.min() < 0 or (not allow_zero and std.min() == 0):
        allowed = "not be negative" if allow_zero else "be positive"
        raise ValueError(
            f"Argument `std` must {allowed}. Received: a smallest value of {std.min():g}"
        )
    return std


def _samples_and_targets(samples, targets, name="samples"):
    samples = as_floats(name, samples, ("samples", "examples", "..."))
    targets = as_floats("targets", targets)
    if targets.shape != samples.shape[1:]:
        raise ValueError(
            f"Argument `targets` must have shape {samples.shape[1:]}, that of each of `{name}`. "
            f"Received: shape={targets.shape}"
        )
    return samples, targets
