"""How good predictions and their uncertainties are: arrays in, Python floats or arrays out.

No TensorFlow: the functions take the predictions of any model, as arrays, lists or tensors, in any
precision, and compute in float64. `probs` are predictive probabilities with the classes along the
last axis, and `labels` are class indices. Further axes, of positions in an image or a sequence, are
allowed between: each position then counts as an example.

Every function raises `ValueError` on arrays of the wrong shape, on values that are no probabilities
(not finite, negative, rows that do not sum to 1 within 1e-3, or 2^-7 in bfloat16), on labels out of
range and on empty data. The message names the argument, what is allowed and what came.

Scores of uncertainty all have one direction: larger is less certain.
"""

from bayes_by_hypernet.metrics.binary import (
    binary_brier_score,
    binary_calibration_error,
    binary_error_percent,
    binary_negative_log_likelihood,
)
from bayes_by_hypernet.metrics.calibration import (
    CalibrationBins,
    adaptive_calibration_error,
    calibration_bins,
    classwise_calibration_error,
    expected_calibration_error,
)
from bayes_by_hypernet.metrics.classification import (
    PROBABILITY_FLOOR,
    brier_score,
    entropy_auc,
    entropy_cdf,
    error_percent,
    negative_log_likelihood,
    predictive_entropy,
)
from bayes_by_hypernet.metrics.coverage import (
    interval_coverage,
    mean_interval_width,
    mean_set_size,
    set_coverage,
)
from bayes_by_hypernet.metrics.outliers import (
    energy_score,
    max_logit_score,
    max_probability_score,
    outlier_aupr,
    outlier_auroc,
    outlier_fpr,
)
from bayes_by_hypernet.metrics.regression import (
    QuantileCalibration,
    crps_gaussian,
    crps_samples,
    gaussian_mixture_nll,
    gaussian_nll,
    gaussian_pit,
    quantile_calibration_curve,
    quantile_calibration_error,
    sample_pit,
)
from bayes_by_hypernet.metrics.samples import disagreement, mutual_information, variation_ratio
from bayes_by_hypernet.metrics.selective import (
    RiskCoverageCurve,
    aurc,
    coverage_at_risk,
    excess_aurc,
    risk_at_coverage,
    risk_coverage_curve,
)

__all__ = [
    "PROBABILITY_FLOOR",
    "CalibrationBins",
    "QuantileCalibration",
    "RiskCoverageCurve",
    "adaptive_calibration_error",
    "aurc",
    "binary_brier_score",
    "binary_calibration_error",
    "binary_error_percent",
    "binary_negative_log_likelihood",
    "brier_score",
    "calibration_bins",
    "classwise_calibration_error",
    "coverage_at_risk",
    "crps_gaussian",
    "crps_samples",
    "disagreement",
    "energy_score",
    "entropy_auc",
    "entropy_cdf",
    "error_percent",
    "excess_aurc",
    "expected_calibration_error",
    "gaussian_mixture_nll",
    "gaussian_nll",
    "gaussian_pit",
    "interval_coverage",
    "max_logit_score",
    "max_probability_score",
    "mean_interval_width",
    "mean_set_size",
    "mutual_information",
    "negative_log_likelihood",
    "outlier_aupr",
    "outlier_auroc",
    "outlier_fpr",
    "predictive_entropy",
    "quantile_calibration_curve",
    "quantile_calibration_error",
    "risk_at_coverage",
    "risk_coverage_curve",
    "sample_pit",
    "set_coverage",
    "variation_ratio",
]
