"""The methods, by name: the one table that turns `--method` into code."""

from bayes_by_hypernet.methods.base import Method
from bayes_by_hypernet.methods.bbh import BayesByHypernet
from bayes_by_hypernet.methods.map import MaximumAPosteriori

METHODS = {method.name: method for method in (MaximumAPosteriori, BayesByHypernet)}


def get(name: str) -> type[Method]:
    """Returns the `Method` class called `name`; ValueError where there is none."""
    if name not in METHODS:
        raise ValueError(
            f"Argument `method` must be one of {sorted(METHODS)}. Received: method={name!r}"
        )
    return METHODS[name]


__all__ = ["METHODS", "BayesByHypernet", "MaximumAPosteriori", "Method", "get"]
