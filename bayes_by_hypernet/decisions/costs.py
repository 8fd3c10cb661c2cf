"""Decisions of least expected cost."""

import numpy as np

from bayes_by_hypernet.metrics import arrays as checked


def expected_costs(probs, costs) -> np.ndarray:
    """Expected cost of every decision, `sum over c of p_c * cost(decision, c)`.

    Args:
        probs: Array `(..., classes)`.
        costs: Array `(decisions, classes)`, what each decision costs if the class is the true one;
            negative costs are gains. To abstain is a row with the same cost for all classes.

    Returns:
        Array `(..., decisions)`, in the unit of the costs.

    Raises:
        ValueError: If the costs are not finite or have another number of classes.

    Example:
        >>> expected_costs([0.9, 0.1], [[0, 10], [1, 0], [0.5, 0.5]])
        array([1. , 0.9, 0.5])
    """
    probs = checked.as_probs(probs)
    costs = checked.as_floats("costs", costs, ("decisions", "classes"))
    if costs.shape[1] != probs.shape[-1]:
        raise ValueError(
            f"Argument `costs` must have shape (decisions, {probs.shape[-1]}), as `probs` has "
            f"{probs.shape[-1]} classes. Received: shape={costs.shape}"
        )
    return probs @ costs.T


def least_cost_decisions(probs, costs) -> np.ndarray:
    """The decision of least expected cost (Berger 1985, Section 1.3); of equal ones the first.

    Args:
        probs: Array `(..., classes)`.
        costs: Array `(decisions, classes)`.

    Returns:
        Integer array `(...)`, the index of the decision.

    Example:
        >>> least_cost_decisions([[0.9, 0.1], [0.6, 0.4]], [[0, 10], [1, 0]])
        array([1, 1])
    """
    return np.argmin(expected_costs(probs, costs), axis=-1)
