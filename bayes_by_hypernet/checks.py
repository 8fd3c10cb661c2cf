"""Checks of single arguments: which argument, what is allowed, what came.

Each returns its value as a plain Python one, which Keras can write to a file. Those of arrays are
in `metrics.arrays`.
"""

import math
import numbers

import numpy as np

# The range in which float32 is exact to rounding: what is smaller loses digits and ends as 0.
LEAST_FLOAT32, MOST_FLOAT32 = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
MOST_INT32 = 2**31 - 1  # TensorFlow's sizes and counts
MOST_EXACT_INTEGER = 2**53  # up to which a float64 can count
MOST_COUNT = 10**6  # bins of a histogram: more than anyone looks at, less than memory
MOST_CHARACTERS = 120  # of a value in a message


def described(value):
    """Returns a value as a message shows it: arrays by shape and type, long ones cut."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and np.ndim(value) > 0:
        name = getattr(value.dtype, "name", value.dtype)
        return f"<{type(value).__name__} of shape {tuple(value.shape)}, dtype {name}>"
    text = repr(value)
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "..."


def refusal(name, allowed, value):
    """Returns the ValueError that says that an argument must be what is allowed."""
    return ValueError(f"Argument `{name}` must be {allowed}. Received: {name}={described(value)}")


def is_number(value):
    """Whether a value is one real number, no truth value; NaN is one."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def as_float(value):
    """Returns a number as a float, NaN for what is none or beyond float64."""
    try:
        return float(value) if is_number(value) else math.nan
    except OverflowError:
        return math.nan


def check_choice(name, value, allowed):
    """Returns `value`; ValueError unless it is one of those allowed."""
    value = value.item() if isinstance(value, np.generic) else value  # of a data frame
    if not any(
        value is choice or (type(value) is type(choice) and value == choice) for choice in allowed
    ):
        raise refusal(name, f"one of {allowed}", value)
    return value


def check_flag(name, value):
    """Returns `value` as a bool; ValueError unless it is one."""
    if not isinstance(value, (bool, np.bool_)):
        raise refusal(name, "True or False", value)
    return bool(value)


def check_integer(name, value, least=None, most=MOST_INT32):
    """Returns `value` as an int; ValueError unless it is an integer from `least` to `most`."""
    allowed = "an integer" if least is None else f"an integer of at least {least}"
    if not is_number(value) or not isinstance(value, numbers.Integral):
        raise ValueError(
            f"Argument `{name}` must be {allowed}. Received: {name}={described(value)} of type "
            f"{type(value).__name__}"
        )
    if least is not None and value < least:
        raise refusal(name, f"at least {least}", int(value))
    if value > most or value < -most - 1:
        raise refusal(name, f"at most {most}" if value > most else f"at least {-most - 1}", value)
    return int(value)


def check_count(name, value, least=1):
    """Returns how many bins, levels or points to compute, an int; there is an array of them."""
    return check_integer(name, value, least, MOST_COUNT)


def check_seed(value, name="seed", bits=32):
    """Returns a seed as an int, or None; ValueError unless it has so many bits at most."""
    return None if value is None else check_integer(name, value, 0, 2**bits - 1)


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
        raise refusal(name, "one or more positive integers", values)
    return checked


def check_between(name, value, least, most, closed=False):
    """Returns a number as a float, strictly between two others, or also equal to them."""
    number = as_float(value)
    if not (least <= number <= most if closed else least < number < most):
        span = f"in [{least:g}, {most:g}]" if closed else f"above {least:g} and below {most:g}"
        raise refusal(name, f"a number {span}", value)
    return number


def check_at_least(name, value, least):
    """Returns `value` as a float; ValueError where it is no finite number or too small."""
    number = as_float(value)
    if not least <= number <= MOST_FLOAT32:
        most = f" and at most {MOST_FLOAT32:.3g}" if number > least else ""
        raise refusal(name, f"at least {least}{most}", value)
    return number


def check_positive(name, value):
    """Returns `value` as a float; ValueError unless it is positive and finite in float32."""
    number = as_float(value)
    if not LEAST_FLOAT32 <= number <= MOST_FLOAT32:
        span = f" and from {LEAST_FLOAT32:.3g} to {MOST_FLOAT32:.3g}" if number > 0 else ""
        raise refusal(name, f"positive{span}", value)
    return number


def check_log_variance(name, value):
    """Returns the logarithm of a variance as a float; ValueError where float32 has no such one."""
    return check_between(name, value, -80.0, 80.0, closed=True)


def check_rate(value):
    """Returns `value`, a dropout rate, as a float; ValueError unless it is in [0, 1)."""
    number = as_float(value)
    if not 0 <= number < 1:
        raise refusal("rate", "at least 0 and less than 1", value)
    return number


def check_num_train_examples(value):
    """Returns N as an int, or None; ValueError unless it is a number of examples."""
    if value is None:
        return None
    try:
        return check_integer("num_train_examples", value, 1, MOST_EXACT_INTEGER)
    except ValueError as error:
        hint = ""
        if hasattr(value, "dtype") or hasattr(value, "shape"):
            hint = ": pass a Python integer, int(dataset.cardinality()) or len(x)"
        raise ValueError(f"{error}{hint}") from None
