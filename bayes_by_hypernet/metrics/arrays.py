"""Arguments as float64 arrays, checked: which argument, what is allowed, what came."""

import numbers

import numpy as np

from bayes_by_hypernet.checks import described, is_number

# The smallest probability whose logarithm counts, 87.3 nats: float32's smallest normal number.
# A softmax in float32 turns anything less into 0 or a number without precision.
PROBABILITY_FLOOR = float(np.finfo(np.float32).tiny)


def as_array(name, values):
    """Returns `values` as an array of whatever type; ValueError where they make none."""
    if np.ma.is_masked(values):  # an array of them would hold what the mask hides
        raise ValueError(
            f"Argument `{name}` must not be masked; leave out or fill what is. Received: "
            f"{described(values)}"
        )
    try:
        array = np.asarray(values)
    except Exception as error:  # of the object's own conversion
        array, reason = None, f" ({error})"
    else:
        reason = ""
    if array is None or (array.ndim == 0 and array.dtype == object and not is_number(values)):
        raise ValueError(
            f"Argument `{name}` must be an array of numbers. Received: {type(values).__name__}"
            f"{reason}; make ragged and sparse arrays dense"
        )
    return array


def as_floats(name, values, axes=None, allow_infinite=False):
    """Returns `values` as a float64 array: not empty, without NaN, and finite.

    Args:
        name: String, what the message calls it.
        values: Array, list or tensor of real numbers.
        axes: Tuple of strings, the names of the axes, or None for any. A `"..."` among them is any
            number of further axes.
        allow_infinite: Whether infinite values pass.
    """
    values = as_array(name, values)
    # float64(1j) is 0 and float64("1") is 1: neither is what the caller meant.
    is_real = values.dtype.kind not in "cSUmM"
    if values.dtype == object:
        is_real = all(v is None or isinstance(v, numbers.Real) for v in values.flat)
    if not is_real:
        raise ValueError(
            f"Argument `{name}` must hold real numbers. Received: dtype={values.dtype}"
        )
    try:
        values = values.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"Argument `{name}` must hold real numbers. Received: dtype={values.dtype}"
        ) from error
    if axes is not None:
        check_axes(name, values, axes)
    elif not values.size:
        raise ValueError(f"Argument `{name}` must not be empty. Received: shape={values.shape}")
    if np.isnan(values).any() or not (allow_infinite or np.isfinite(values).all()):
        raise ValueError(f"Argument `{name}` must be finite. Received: {count_non_finite(values)}")
    return values


def check_axes(name, values, axes):
    """Raises ValueError where an array has other axes or holds nothing."""
    least = len(axes) - ("..." in axes)
    fits = values.ndim >= least if "..." in axes else values.ndim == least
    if not fits or not values.size:
        raise ValueError(
            f"Argument `{name}` must have shape ({axes_text(axes)}). Received: shape={values.shape}"
        )


def axes_text(axes):
    """`examples,` of one axis, as Python prints tuples, `examples, classes` of two."""
    return f"{axes[0]}," if len(axes) == 1 else ", ".join(axes)


def as_probs(probs, axes=("...", "classes"), name="probs"):
    """Returns probabilities, which sum to 1 over the last axis, as float64 of their own shape."""
    tolerance = 2.0**-7 if as_array(name, probs).dtype.name == "bfloat16" else 1e-3
    probs = as_floats(name, probs, axes)
    if probs.min() < 0:
        raise ValueError(
            f"Argument `{name}` must not be negative. Received: a smallest value of {probs.min()}"
        )
    sums = probs.sum(axis=-1)
    if np.abs(sums - 1.0).max() > tolerance:
        raise ValueError(
            f"Argument `{name}` must hold probabilities, which sum to 1 over the last axis within "
            f"{tolerance:.3g}. Received: sums from {sums.min():.6g} to {sums.max():.6g}"
        )
    return probs


def as_class_probs(probs):
    """Returns probabilities `(examples, classes)` of at least 2 classes, positions as examples."""
    probs = as_probs(probs, ("examples", "...", "classes"))
    if probs.shape[-1] < 2:
        raise ValueError(
            f"Argument `probs` must have at least 2 classes. Received: shape={probs.shape}"
        )
    return probs.reshape(-1, probs.shape[-1])


def as_labels(labels, shape, num_classes, of="probs"):
    """Returns class indices of the given shape as int64."""
    labels = as_array("labels", labels)
    if labels.shape != shape or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Argument `labels` must be integers of shape {shape}, one per row of "
            f"`{of}`. Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"Argument `labels` must be in [0, {num_classes - 1}], as `{of}` has "
            f"{num_classes} classes. Received: values from {labels.min()} to {labels.max()}"
        )
    return labels.astype(np.int64)


def as_pair(probs, labels):
    """Returns probabilities `(examples, classes)` and labels `(examples,)`, of all positions."""
    probs = as_probs(probs, ("examples", "...", "classes"))
    labels = as_labels(labels, probs.shape[:-1], probs.shape[-1])
    return probs.reshape(-1, probs.shape[-1]), labels.reshape(-1)


def as_sample_probs(sample_probs):
    """Returns the probabilities of posterior samples, `(samples, examples, ..., classes)`."""
    return as_probs(sample_probs, ("samples", "examples", "...", "classes"), "sample_probs")


def as_binary_probs(probs, name="probs"):
    """Returns probabilities of events, numbers in [0, 1], as float64 of their own shape."""
    probs = as_floats(name, probs, ("examples", "..."))
    if probs.min() < 0 or probs.max() > 1:
        raise ValueError(
            f"Argument `{name}` must be in [0, 1]. Received: values from {probs.min():.6g} to "
            f"{probs.max():.6g}"
        )
    return probs


def as_binary_labels(labels, shape, of="probs"):
    """Returns labels 0 or 1 of the given shape, of any type, as float64."""
    labels = as_floats("labels", labels)
    if labels.shape != shape:
        raise ValueError(
            f"Argument `labels` must have the shape of `{of}`, {shape}. Received: "
            f"shape={labels.shape}"
        )
    if not np.isin(labels, (0.0, 1.0)).all():
        raise ValueError(
            f"Argument `labels` must be 0 or 1. Received: values from {labels.min():g} to "
            f"{labels.max():g}"
        )
    return labels


def as_same_shape(**arguments):
    """Returns arrays of real numbers, all of the first one's shape; `name=values` each."""
    names = list(arguments)
    arrays = [as_floats(name, values) for name, values in arguments.items()]
    for name, values in zip(names, arrays, strict=True):
        if values.shape != arrays[0].shape:
            raise ValueError(
                f"Argument `{name}` must have the shape of `{names[0]}`, {arrays[0].shape}. "
                f"Received: shape={values.shape}"
            )
    return arrays


def count_non_finite(values):
    """Says how many values are not finite."""
    return f"{np.size(values) - np.isfinite(values).sum()} values that are not"
