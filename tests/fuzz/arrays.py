"""Cases of the functions that take arrays: measures, calibration, decisions."""

import numpy as np
from fuzz.case import Case

import bayes_by_hypernet as bbh
from bayes_by_hypernet import metrics

PROBS = np.array([[0.75, 0.25, 0.0], [0.5, 0.25, 0.25], [0.125, 0.5, 0.375], [0.0, 0.0, 1.0]])
LABELS = np.array([0, 1, 1, 0])
SAMPLES = np.stack([PROBS, PROBS[::-1]])
BINARY, BITS = np.array([0.75, 0.25, 0.5, 1.0]), np.array([1, 0, 0, 1])
MEAN, STD = np.array([0.0, 1.0, -2.0, 4.0]), np.array([1.0, 0.5, 2.0, 1.0])
TARGETS = np.array([0.5, 1.0, -1.0, 2.0])
SCORES, LOSSES = np.array([0.25, 0.5, 0.5, 0.75]), np.array([0.0, 1.0, 0.0, 1.0])
OUT_SCORES = np.array([0.5, 1.0, 2.0])
SETS = np.array([[True, False, True], [True, True, False], [False, False, False], [True] * 3])
INTERVALS = np.array([[-1.0, 1.0], [0.0, 2.0], [3.0, 2.0], [0.0, 4.0]])
COSTS = np.array([[0.0, 1.0, 2.0], [1.0, 0.5, 0.0]])
FLOOR = metrics.PROBABILITY_FLOOR


def _rows(values):
    return values.reshape(-1, values.shape[-1])


def _of_labels(probs, labels):
    return np.take_along_axis(probs, labels.astype(int)[..., None], -1)[..., 0]


def _entropy(probs):
    return np.where(probs > 0, -probs * np.log(np.where(probs > 0, probs, 1)), 0).sum(axis=-1)


def _one_hot(labels, classes):
    return labels[..., None] == np.arange(classes)


# Other ways to compute the answers: slower, or without care for extremes.
REFERENCES = {
    "error_percent": lambda probs, labels: 100 * np.mean(probs.argmax(-1) != labels),
    "brier_score": lambda probs, labels: np.mean(
        np.sum((probs - _one_hot(labels, probs.shape[-1])) ** 2, -1)
    ),
    "negative_log_likelihood": lambda probs, labels: (
        -np.mean(np.log(np.maximum(_of_labels(probs, labels), FLOOR)))
    ),
    "predictive_entropy": _entropy,
    "entropy_auc": lambda probs: 1 - np.mean(_entropy(probs)) / np.log(probs.shape[-1]),
    "mutual_information": lambda sample_probs: np.maximum(
        _entropy(sample_probs.mean(0)) - _entropy(sample_probs).mean(0), 0
    ),
    "max_probability_score": lambda probs: 1 - probs.max(-1),
    "max_logit_score": lambda logits: -logits.max(-1),
    "energy_score": lambda logits, temperature: (
        -temperature * np.log(np.exp(logits / temperature).sum(-1))
    ),
    "binary_error_percent": lambda probs, labels: 100 * np.mean((probs > 0.5) != labels),
    "binary_brier_score": lambda probs, labels: np.mean((probs - labels) ** 2),
    "binary_negative_log_likelihood": lambda probs, labels: (
        -np.mean(np.log(np.maximum(np.where(labels == 1, probs, 1 - probs), FLOOR)))
    ),
    "gaussian_nll": lambda mean, std, targets: np.mean(
        0.5 * ((targets - mean) / std) ** 2 + np.log(std) + 0.5 * np.log(2 * np.pi)
    ),
    "crps_samples": lambda samples, targets, estimator: np.mean(
        np.abs(samples - targets).mean(0)
        - np.abs(samples[:, None] - samples[None]).sum((0, 1))
        / (2 * len(samples) * (len(samples) - (estimator == "fair")))
    ),
    "set_coverage": lambda sets, labels: np.mean(_of_labels(sets, labels)),
    "mean_set_size": lambda sets: np.mean(sets.sum(-1)),
    "interval_coverage": lambda intervals, targets: np.mean(
        (intervals[..., 0] <= targets) & (targets <= intervals[..., 1])
    ),
    "outlier_auroc": lambda in_entropy, out_entropy: np.mean(
        (out_entropy[:, None] > in_entropy) + 0.5 * (out_entropy[:, None] == in_entropy)
    ),
    "coverage_at_risk": lambda scores, losses, risk: max(
        [0.0]
        + [np.mean(scores <= score) for score in scores if np.mean(losses[scores <= score]) <= risk]
    ),
}

_PAIR = {"probs": PROBS, "labels": LABELS}
_BINARY = {"probs": BINARY, "labels": BITS}
_SELECTIVE = {"scores": SCORES, "losses": LOSSES}
_GAUSSIAN = {"mean": MEAN, "std": STD, "targets": TARGETS}
_OUTLIERS = {"in_scores": SCORES, "out_scores": OUT_SCORES}
_SAMPLED = {"samples": np.stack([MEAN, TARGETS, STD]), "targets": TARGETS}

# Good arguments of every measure.
METRICS = {
    "error_percent": _PAIR,
    "negative_log_likelihood": _PAIR,
    "brier_score": _PAIR,
    "predictive_entropy": {"probs": PROBS},
    "entropy_auc": {"probs": PROBS},
    "entropy_cdf": {"probs": PROBS, "num_points": 5},
    "mutual_information": {"sample_probs": SAMPLES},
    "disagreement": {"sample_probs": SAMPLES},
    "variation_ratio": {"sample_probs": SAMPLES},
    "calibration_bins": {**_PAIR, "num_bins": 3},
    "expected_calibration_error": {**_PAIR, "num_bins": 3},
    "adaptive_calibration_error": {**_PAIR, "num_bins": 3},
    "classwise_calibration_error": {**_PAIR, "num_bins": 3},
    "binary_error_percent": _BINARY,
    "binary_negative_log_likelihood": _BINARY,
    "binary_brier_score": _BINARY,
    "binary_calibration_error": {**_BINARY, "num_bins": 3},
    "max_probability_score": {"probs": PROBS},
    "max_logit_score": {"logits": COSTS},
    "energy_score": {"logits": COSTS, "temperature": 0.5},
    "outlier_auroc": {"in_entropy": SCORES, "out_entropy": OUT_SCORES},
    "outlier_aupr": {**_OUTLIERS, "positive": "out"},
    "outlier_fpr": {**_OUTLIERS, "tpr": 0.5, "positive": "in"},
    "gaussian_nll": _GAUSSIAN,
    "gaussian_mixture_nll": {"sample_means": SAMPLES, "std": 0.5, "targets": PROBS},
    "crps_gaussian": _GAUSSIAN,
    "crps_samples": {**_SAMPLED, "estimator": "fair"},
    "gaussian_pit": _GAUSSIAN,
    "sample_pit": _SAMPLED,
    "quantile_calibration_curve": {"pit": BINARY, "num_levels": 3},
    "quantile_calibration_error": {"pit": BINARY, "num_levels": 3},
    "set_coverage": {"sets": SETS, "labels": LABELS},
    "mean_set_size": {"sets": SETS},
    "interval_coverage": {"intervals": INTERVALS, "targets": TARGETS},
    "mean_interval_width": {"intervals": INTERVALS},
    "risk_coverage_curve": _SELECTIVE,
    "aurc": _SELECTIVE,
    "excess_aurc": _SELECTIVE,
    "risk_at_coverage": {**_SELECTIVE, "coverage": 0.5},
    "coverage_at_risk": {**_SELECTIVE, "risk": 0.5},
}

_BOUNDS = {"bounds": (0.05, 20.0)}
_TEMPERATURE = {"predictions": PROBS, "labels": LABELS, "from_logits": False, **_BOUNDS}
_BINARY_TEMPERATURE = {
    "predictions": np.stack([BINARY, BINARY[::-1]], -1),
    "labels": np.stack([BITS, BITS], -1),
    "from_logits": False,
    "per_label": True,
    **_BOUNDS,
}
_CONFORMAL = {"probs": PROBS, "labels": LABELS, "alpha": 0.5, "method": "raps"}
_CONFORMAL |= {"randomized": True, "regularization": 0.5, "k_reg": 1, "seed": 1}
_QUANTILES = {"lower": MEAN, "upper": MEAN + 1, "targets": TARGETS, "alpha": 0.5}


def _fitted(name, fit, method, arguments, new):
    """Returns the case of a method of what `fit` returns."""
    return Case(name, getattr(fit(**arguments), method), new)


def _cases():
    calibration, decisions = bbh.calibration, bbh.decisions
    cases = [
        Case(
            f"metrics.{name}",
            getattr(metrics, name),
            arguments,
            REFERENCES.get(name),
            may_be_nan=name == "calibration_bins",  # of empty bins
        )
        for name, arguments in METRICS.items()
    ]
    # A flat likelihood has its minimum anywhere within the tolerance of the search.
    flat = {"rtol": 1e-3}
    cases += [
        Case("calibration.fit_temperature", calibration.fit_temperature, _TEMPERATURE, **flat),
        Case(
            "calibration.fit_binary_temperature",
            calibration.fit_binary_temperature,
            _BINARY_TEMPERATURE,
            **flat,
        ),
        Case(
            "calibration.TemperatureScaling",
            calibration.TemperatureScaling,
            {"temperature": 2.0, "from_logits": True, "from_samples": False},
            may_be_nan=True,  # the likelihoods that nobody gave
        ),
        Case(
            "calibration.BinaryTemperatureScaling",
            calibration.BinaryTemperatureScaling,
            {"temperature": 2.0, "from_logits": True, "from_samples": False},
            may_be_nan=True,
        ),
        _fitted(
            "calibration.TemperatureScaling.apply",
            calibration.TemperatureScaling,
            "apply",
            {"temperature": 2.0},
            {"predictions": PROBS},
        ),
        _fitted(
            "calibration.BinaryTemperatureScaling.apply",
            calibration.BinaryTemperatureScaling,
            "apply",
            {"temperature": np.array([2.0, 0.5]), "from_logits": True},
            {"predictions": INTERVALS},
        ),
        Case(
            "decisions.conformal_quantile",
            decisions.conformal_quantile,
            {"scores": SCORES, "alpha": 0.5},
        ),
        Case(
            "decisions.expected_costs",
            decisions.expected_costs,
            {"probs": PROBS, "costs": COSTS},
            lambda probs, costs: (probs[..., None, :] * costs).sum(-1),
        ),
        Case(
            "decisions.least_cost_decisions",
            decisions.least_cost_decisions,
            {"probs": PROBS, "costs": COSTS},
        ),
        Case(
            "decisions.fit_abstention",
            decisions.fit_abstention,
            {**_SELECTIVE, "risk": 0.5, "delta": None},
            may_be_nan=True,  # bound and risk, where there is none
        ),
        Case(
            "decisions.fit_abstention",
            decisions.fit_abstention,
            {**_SELECTIVE, "risk": 0.5, "delta": 0.5},
            may_be_nan=True,
        ),
        _fitted(
            "decisions.Abstention.abstain",
            decisions.fit_abstention,
            "abstain",
            {**_SELECTIVE, "risk": 0.5},
            {"scores": SCORES},
        ),
        Case("decisions.fit_conformal_sets", decisions.fit_conformal_sets, _CONFORMAL),
        _fitted(
            "decisions.ConformalSets.predict",
            decisions.fit_conformal_sets,
            "predict",
            _CONFORMAL,
            {"probs": PROBS, "allow_empty": False, "seed": 1},
        ),
        Case(
            "decisions.fit_conformal_intervals",
            decisions.fit_conformal_intervals,
            {**_GAUSSIAN, "alpha": 0.5},
        ),
        _fitted(
            "decisions.ConformalIntervals.predict",
            decisions.fit_conformal_intervals,
            "predict",
            {**_GAUSSIAN, "alpha": 0.5},
            {"mean": MEAN, "std": STD},
        ),
        Case("decisions.fit_conformal_quantiles", decisions.fit_conformal_quantiles, _QUANTILES),
        _fitted(
            "decisions.ConformalQuantiles.predict",
            decisions.fit_conformal_quantiles,
            "predict",
            _QUANTILES,
            {"lower": MEAN, "upper": TARGETS},
        ),
    ]
    return cases


CASES = _cases()
