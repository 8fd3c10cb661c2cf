"""Checks of arguments: which argument, what is allowed, what came."""

import math
import numbers

import numpy as np


def check_choice(name, value, allowed):
    """Returns `value`; ValueError unless it is one of those allowed."""
    if not any(
        value is choice or (type(value) is type(choice) and value == choice) for choice in allowed
    ):
        raise ValueError(f"Argument `{name}` must be one of {allowed}. Received: {name}={value!r}")
    return value


def check_at_least(name, value, least):
    """Returns `value`; ValueError where it is no number or too small."""
    is_number = isinstance(value, (numbers.Real, np.number)) and not isinstance(value, bool)
    if not is_number or not value >= least:
        raise ValueError(f"Argument `{name}` must be at least {least}. Received: {name}={value!r}")
    return value


def check_integer(name, value, least=None):
    """Returns `value` as an int; ValueError unless it is an integer (of at least `least`)."""
    allowed = "an integer" if least is None else f"an integer of at least {least}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Integral, np.integer)):
        raise ValueError(
            f"Argument `{name}` must be {allowed}. Received: {name}={value!r} of type "
            f"{type(value).__name__}"
        )
    if least is not None and value < least:
        raise ValueError(f"Argument `{name}` must be at least {least}. Received: {name}={value}")
    return int(value)


def check_neighbours(name, num_samples, of=None):
    """Refuses less than 2 samples for a KL that is estimated from nearest neighbours.

    Args:
        name: Of the argument, for the error.
        num_samples: Integer.
        of: The argument that holds the samples, where their number is none.
    """
    if check_integer(name, num_samples) < 2:
        what = (
            f"`{name}` must be at least 2" if of is None else f"`{of}` must hold at least 2 samples"
        )
        raise ValueError(
            f"Argument {what}, since the estimate of the KL compares each sample with its nearest "
            f"other. Received: {name}={num_samples}"
        )


def positive_integers(values):
    """Returns `values` as a tuple of int, or () unless they are positive integers."""
    try:
        return tuple(check_integer("values", value, 1) for value in values)
    except (TypeError, ValueError):  # a number; or no positive integers
        return ()


def check_integers(name, values):
    """Returns `values` as a tuple of int; ValueError unless they are positive integers."""
    checked = positive_integers(values)
    if not checked:
        raise ValueError(
            f"Argument `{name}` must be one or more positive integers. Received: {name}={values!r}"
        )
    return checked


def check_positive(name, value):
    """Returns `value` as a float; ValueError unless it is a positive, finite number."""
    is_number = isinstance(value, (numbers.Real, np.number)) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise ValueError(f"Argument `{name}` must be positive. Received: {name}={value!r}")
    return float(value)


def check_rate(value):
    """Returns `value`, a dropout rate, as a float; ValueError unless it is in [0, 1)."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        raise ValueError(
            f"Argument `rate` must be at least 0 and less than 1. Received: rate={value!r}"
        )
    return float(value)


def check_num_train_examples(value):
    """Returns N as an int, or None; ValueError unless it is a number of examples."""
    if value is None:
        return None
    try:
        return check_integer("num_train_examples", value, 1)
    except ValueError as error:
        hint = ""
        if hasattr(value, "dtype") or hasattr(value, "shape"):
            hint = ": pass a Python integer, int(dataset.cardinality()) or len(x)"
        raise ValueError(f"{error}{hint}") from None
