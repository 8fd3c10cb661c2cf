"""The methods, by name: the one table that turns `--method` into code."""

from bayes_by_hypernet.paper.methods.base import Method
from bayes_by_hypernet.paper.methods.bbb import BayesByBackprop
from bayes_by_hypernet.paper.methods.bbh import BayesByHypernet
from bayes_by_hypernet.paper.methods.dropout import MonteCarloDropout
from bayes_by_hypernet.paper.methods.ensemble import Ensemble
from bayes_by_hypernet.paper.methods.map import MaximumAPosteriori
from bayes_by_hypernet.paper.methods.mnf import MultiplicativeNormalizingFlows

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
    if name not in METHODS:
        raise ValueError(
            f"Argument `method` must be one of {sorted(METHODS)}. Received: method={name!r}"
        )
    return METHODS[name]


__all__ = [
    "METHODS",
    "BayesByBackprop",
    "BayesByHypernet",
    "Ensemble",
    "MaximumAPosteriori",
    "Method",
    "MonteCarloDropout",
    "MultiplicativeNormalizingFlows",
    "get",
]
