"""The methods that the paper compares, by name: settings of `bayesify`, and how runs show them."""

from bayes_by_hypernet.checks import check_choice
from bayes_by_hypernet.paper.methods.base import Method, Options, PriorOptions
from bayes_by_hypernet.paper.methods.bbb import FORWARDS, BayesByBackprop, BayesByBackpropOptions
from bayes_by_hypernet.paper.methods.bbh import (
    ARCHITECTURES,
    MAX_PARAMETERS,
    BayesByHypernet,
    BayesByHypernetOptions,
)
from bayes_by_hypernet.paper.methods.dropout import DropoutOptions, MonteCarloDropout
from bayes_by_hypernet.paper.methods.ensemble import Ensemble, EnsembleMember, EnsembleOptions
from bayes_by_hypernet.paper.methods.estimators import KL_ESTIMATORS, SAMPLED_ESTIMATORS
from bayes_by_hypernet.paper.methods.map import MaximumAPosteriori
from bayes_by_hypernet.paper.methods.mnf import (
    MultiplicativeFlowOptions,
    MultiplicativeNormalizingFlows,
)

__all__ = [
    "ARCHITECTURES",
    "FORWARDS",
    "KL_ESTIMATORS",
    "MAX_PARAMETERS",
    "METHODS",
    "SAMPLED_ESTIMATORS",
    "BayesByBackprop",
    "BayesByBackpropOptions",
    "BayesByHypernet",
    "BayesByHypernetOptions",
    "DropoutOptions",
    "Ensemble",
    "EnsembleMember",
    "EnsembleOptions",
    "MaximumAPosteriori",
    "Method",
    "MonteCarloDropout",
    "MultiplicativeFlowOptions",
    "MultiplicativeNormalizingFlows",
    "Options",
    "PriorOptions",
    "get",
]

METHODS = {
    method.name: method
    for method in (
        MaximumAPosteriori,
        Ensemble,
        BayesByBackprop,
        MonteCarloDropout,
        MultiplicativeNormalizingFlows,
        BayesByHypernet,
    )
}


def get(name: str) -> type[Method]:
    """Returns the `Method` class called `name`; ValueError where there is none."""
    return METHODS[check_choice("method", name, tuple(sorted(METHODS)))]
