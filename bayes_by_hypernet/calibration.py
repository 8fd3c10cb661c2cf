"""Temperature scaling: one number that makes predictions less or more certain.

A classifier is often right less often than it claims. Temperature scaling divides its logits by a
temperature T, found on a validation set that was not trained on; it changes no predicted class of a
single network. No TensorFlow: the functions take arrays, of any model's predictions.
"""

import dataclasses
import warnings

import numpy as np

from bayes_by_hypernet.checks import check_between, check_flag
from bayes_by_hypernet.metrics import PROBABILITY_FLOOR
from bayes_by_hypernet.metrics import arrays as checked

# Temperatures tried before the minimum is refined, evenly spaced in log T. Averages of samples have
# a likelihood that may have several minima; the grid finds the interval of the lowest.
GRID_POINTS = 33


@dataclasses.dataclass(frozen=True)
class TemperatureScaling:
    """A fitted temperature, callable on predictions of the kind that it was fitted on.

    Attributes:
        temperature: Float T; above 1 predictions become less certain, below 1 more.
        from_logits: Whether it takes logits; else probabilities.
        from_samples: Whether it takes predictions of posterior samples, which it averages.
        nll_before, nll: Mean negative log-likelihood of the validation set, nats, without the
            temperature and with it; `nll <= nll_before`.

    Example:
        >>> TemperatureScaling(temperature=2.0)([[0.9, 0.1]]).round(3)
        array([[0.75, 0.25]])
    """

    temperature: float
    from_logits: bool = False
    from_samples: bool = False
    nll_before: float = np.nan
    nll: float = np.nan

    def __post_init__(self):
        check_between("temperature", self.temperature, 0.0, np.inf)

    def apply(self, predictions) -> np.ndarray:
        """Returns the probabilities at this temperature.

        Args:
            predictions: Logits or probabilities `(..., classes)`; of posterior samples
                `(samples, ..., classes)`.

        Returns:
            Array `(..., classes)`, float64.

        Raises:
            ValueError: If the predictions are of another kind.
        """
        axes = ("samples", "...", "classes") if self.from_samples else ("...", "classes")
        return _tempered(
            _log_probs(predictions, axes, self.from_logits), self.temperature, self.from_samples
        )

    __call__ = apply


@dataclasses.dataclass(frozen=True)
class BinaryTemperatureScaling:
    """Fitted temperatures of binary or multi-label predictions; otherwise `TemperatureScaling`.

    Attributes:
        temperature: Float, or an array `(labels,)` with one for each label.
        from_logits, from_samples, nll_before, nll: As of `TemperatureScaling`; the likelihoods are
            per label.

    Example:
        >>> BinaryTemperatureScaling(temperature=2.0)([0.9]).round(3)
        array([0.75])
    """

    temperature: float | np.ndarray
    from_logits: bool = False
    from_samples: bool = False
    nll_before: float = np.nan
    nll: float = np.nan

    def __post_init__(self):
        values = checked.as_floats("temperature", self.temperature)
        if values.ndim > 1 or values.min() <= 0:
            raise ValueError(
                "Argument `temperature` must be positive, a number or an array (labels,). "
                f"Received: temperature={self.temperature!r}"
            )

    def apply(self, predictions) -> np.ndarray:
        """Returns the probabilities of label 1 at this temperature.

        Args:
            predictions: Logits or probabilities of label 1, `(...)`; with several temperatures
                `(..., labels)`; of posterior samples `(samples, ...)`.

        Returns:
            Array `(...)`, float64.

        Raises:
            ValueError: If the predictions are of another kind.
        """
        logits = _binary_logits(predictions, self.from_logits)
        num_labels = np.size(self.temperature)
        if np.ndim(self.temperature) and logits.shape[-1] != num_labels:
            raise ValueError(
                f"Argument `predictions` must have {num_labels} labels along the last axis, one "
                f"per temperature. Received: shape={logits.shape}"
            )
        return _binary_tempered(logits, self.temperature, self.from_samples)

    __call__ = apply


def fit_temperature(
    predictions, labels, from_logits=False, bounds=(0.05, 20.0)
) -> TemperatureScaling:
    """Finds the temperature with the least negative log-likelihood (Guo et al. 2017, Section 4.2).

    ```
    p_T = softmax(logits / T)                     of logits
    p_T = p^(1 / T) / sum over c of p_c^(1 / T)   of probabilities, the same thing
    p_T = mean over s of p_sT                     of posterior samples
    ```

    Samples are tempered one by one and then averaged: the mean of the tempered samples is the
    posterior predictive of the tempered network. Given `prediction.mean` instead, the temperature
    works on the mean. T = 1 is always tried, so the likelihood of the validation set never gets
    worse. Probabilities below `PROBABILITY_FLOOR` count as that.

    Args:
        predictions: Logits or probabilities of a validation set, `(examples, ..., classes)`, or
            of posterior samples, `(samples, examples, ..., classes)`. Which of the two follows
            from the shape of `labels`.
        labels: Integer array `(examples, ...)`.
        from_logits: Whether `predictions` are logits; else probabilities.
        bounds: Pair of floats, the smallest and the largest temperature that is tried.

    Returns:
        `TemperatureScaling`.

    Raises:
        ValueError: If shapes do not fit, values are no probabilities (or not finite), labels are
            out of range, or the bounds are not 0 < lower < upper.

    Warns:
        UserWarning: If the temperature is on a bound. A validation set without errors has no best
            temperature: the lower, the better.

    Example:
        >>> probs = [[0.99, 0.01], [0.99, 0.01], [0.99, 0.01]]
        >>> scaling = fit_temperature(probs, [0, 0, 1])  # right in 2 of 3 cases
        >>> scaling([[0.99, 0.01]]).round(3)
        array([[0.667, 0.333]])
    """
    from_logits = check_flag("from_logits", from_logits)
    label_shape = checked.as_array("labels", labels).shape
    shape = checked.as_array("predictions", predictions).shape
    from_samples = _has_samples(shape[:-1], label_shape, "(examples, ..., classes)")
    axes = ("samples",) * from_samples + ("examples", "...", "classes")
    log_probs = _log_probs(predictions, axes, from_logits)
    labels = checked.as_labels(labels, label_shape, log_probs.shape[-1], of="predictions")

    def nll(temperature):
        probs = _tempered(log_probs, temperature, from_samples)
        of_label = np.take_along_axis(probs, labels[..., None], axis=-1)
        return -np.mean(np.log(np.maximum(of_label, PROBABILITY_FLOOR)))

    temperature, value = _minimum(nll, bounds)
    return TemperatureScaling(temperature, from_logits, from_samples, float(nll(1.0)), float(value))


def fit_binary_temperature(
    predictions, labels, from_logits=False, per_label=False, bounds=(0.05, 20.0)
) -> BinaryTemperatureScaling:
    """Finds the temperature of the logits of binary or multi-label predictions.

    ```
    p_T = sigmoid(log(p / (1 - p)) / T)
    ```

    Args:
        predictions: Logits or probabilities of label 1 of a validation set, of the shape of
            `labels`; of posterior samples with one more axis in front.
        labels: Array `(examples, ...)`, each 0 or 1.
        from_logits: Whether `predictions` are logits; else probabilities.
        per_label: Whether each label along the last axis has a temperature of its own; else one
            for all.
        bounds: Pair of floats, the smallest and the largest temperature that is tried.

    Returns:
        `BinaryTemperatureScaling`. As for `fit_temperature`, no likelihood gets worse.

    Raises:
        ValueError: If shapes do not fit, values are no probabilities (or not finite), labels are
            neither 0 nor 1, or the bounds are not 0 < lower < upper.

    Warns:
        UserWarning: If a temperature is on a bound.

    Example:
        >>> scaling = fit_binary_temperature([0.99, 0.99, 0.99], [1, 1, 0])
        >>> scaling([0.99]).round(3)
        array([0.667])
    """
    from_logits = check_flag("from_logits", from_logits)
    per_label = check_flag("per_label", per_label)
    label_shape = checked.as_array("labels", labels).shape
    logits = _binary_logits(predictions, from_logits)
    from_samples = _has_samples(logits.shape, label_shape, "(examples, ...)")
    labels = checked.as_binary_labels(labels, label_shape, of="predictions")
    if per_label and labels.ndim < 2:
        raise ValueError(
            "Argument `labels` must have shape (examples, ..., labels) with per_label=True. "
            f"Received: shape={labels.shape}"
        )

    def nll(temperature, of=...):
        signed = np.where(labels[of] == 1, 1.0, -1.0)
        # sigmoid(-x) = 1 - sigmoid(x), without the rounding of 1 - p.
        probs = _binary_tempered(logits[of] * signed, temperature, from_samples)
        return -np.mean(np.log(np.maximum(probs, PROBABILITY_FLOOR)))

    if per_label:
        every = [(..., slice(i, i + 1)) for i in range(labels.shape[-1])]
        found = [_minimum(lambda t, of=of: nll(t, of), bounds) for of in every]
        temperature = np.array([t for t, _ in found])
        value = np.mean([best for _, best in found])
    else:
        temperature, value = _minimum(nll, bounds)
    return BinaryTemperatureScaling(
        temperature, from_logits, from_samples, float(nll(1.0)), float(value)
    )


def _minimum(nll, bounds):
    """Returns the temperature with the least `nll` and that value; 1 if nothing is better."""
    from scipy.optimize import minimize_scalar  # slow to import, and only needed here

    lower, upper = _checked_bounds(bounds)
    grid = np.geomspace(lower, upper, GRID_POINTS)
    best = int(np.argmin([nll(t) for t in grid]))
    bracket = np.log(grid[[max(best - 1, 0), min(best + 1, GRID_POINTS - 1)]])
    # 1e-6 in log T: a likelihood is flat at its minimum, further digits change nothing.
    refined = minimize_scalar(
        lambda log_t: nll(np.exp(log_t)), bounds=bracket, method="bounded", options={"xatol": 1e-6}
    )
    candidates = [float(np.exp(refined.x)), float(grid[best]), 1.0]
    values = [float(nll(t)) for t in candidates]
    temperature = min(zip(values, candidates, strict=True))[1]
    if values[2] <= min(values):
        temperature = 1.0
    if temperature != 1.0 and min(temperature / lower, upper / temperature) < 1 + 1e-4:
        warnings.warn(
            f"The best temperature is on the bound {temperature:.4g} of bounds={(lower, upper)}; "
            "a validation set without errors has none. Use more validation examples.",
            stacklevel=3,
        )
    return temperature, min(values)


def _checked_bounds(bounds):
    values = checked.as_floats("bounds", bounds)
    if values.shape != (2,) or not 0 < values[0] < values[1]:
        raise ValueError(
            f"Argument `bounds` must be two temperatures, 0 < lower < upper. Received: "
            f"bounds={bounds!r}"
        )
    return float(values[0]), float(values[1])


def _has_samples(shape, label_shape, axes):
    """Whether predictions, without their classes, are of samples of what has `label_shape`."""
    if label_shape and shape == label_shape:
        return False
    if label_shape and shape[1:] == label_shape:
        return True
    raise ValueError(
        f"Argument `predictions` must have shape {axes}, or with an axis of samples in front, and "
        f"argument `labels` that of the examples. Received: predictions without classes of shape "
        f"{shape}, labels of shape {label_shape}"
    )


def _log_probs(predictions, axes, from_logits):
    if from_logits:
        return checked.as_floats("predictions", predictions, axes)
    probs = checked.as_probs(predictions, axes, "predictions")
    return np.log(np.maximum(probs, PROBABILITY_FLOOR))


def _tempered(logits, temperature, from_samples):
    scaled = (logits - logits.max(axis=-1, keepdims=True)) / temperature
    probs = np.exp(scaled)
    probs /= probs.sum(axis=-1, keepdims=True)
    return probs.mean(axis=0) if from_samples else probs


def _binary_logits(predictions, from_logits):
    if from_logits:
        return checked.as_floats("predictions", predictions, ("examples", "..."))
    probs = checked.as_binary_probs(predictions, "predictions")
    return np.log(np.maximum(probs, PROBABILITY_FLOOR)) - np.log(
        np.maximum(1.0 - probs, PROBABILITY_FLOOR)
    )


def _binary_tempered(logits, temperature, from_samples):
    from scipy.special import expit  # slow to import, and only needed here

    probs = expit(logits / temperature)
    return probs.mean(axis=0) if from_samples else probs
