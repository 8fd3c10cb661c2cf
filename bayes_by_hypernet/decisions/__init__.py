"""Decisions from predictions: sets and intervals that hold the truth, abstention, least cost.

No TensorFlow: the functions take arrays, of any model's predictions. Those named `fit_...` take a
calibration set that was not trained on, and return an object for new predictions.
"""

from bayes_by_hypernet.decisions.abstention import Abstention, fit_abstention
from bayes_by_hypernet.decisions.costs import expected_costs, least_cost_decisions
from bayes_by_hypernet.decisions.intervals import (
    ConformalIntervals,
    ConformalQuantiles,
    fit_conformal_intervals,
    fit_conformal_quantiles,
)
from bayes_by_hypernet.decisions.quantile import conformal_quantile
from bayes_by_hypernet.decisions.sets import ConformalSets, fit_conformal_sets

__all__ = [
    "Abstention",
    "ConformalIntervals",
    "ConformalQuantiles",
    "ConformalSets",
    "conformal_quantile",
    "expected_costs",
    "fit_abstention",
    "fit_conformal_intervals",
    "fit_conformal_quantiles",
    "fit_conformal_sets",
    "least_cost_decisions",
]
