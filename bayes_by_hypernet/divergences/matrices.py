"""Samples of all weights as matrices `(samples, num_weights)`, checked."""

import tensorflow as tf

from bayes_by_hypernet.checks import check_neighbours, refusal


def as_matrices(name, samples):
    """Returns a list of tensors `(samples, num_weights_l)` from a tensor or a list of tensors.

    Args:
        name: Of the argument, for errors.
        samples: Tensor `(samples, *weight_shape)` or a list of them.

    Raises:
        ValueError: If there are none, they are not floating-point, or their number is not known
            statically or differs.
    """
    if not (isinstance(samples, (list, tuple)) and all(hasattr(s, "shape") for s in samples)):
        samples = [samples]  # a nested list of numbers is one tensor
    if not samples:
        raise ValueError(f"Argument `{name}` must hold at least one tensor. Received: {name}=[]")
    try:
        samples = [tf.convert_to_tensor(piece) for piece in samples]
    except Exception as error:  # of the object's own conversion
        allowed = "a dense tensor of floating-point numbers, or a list of them"
        raise refusal(name, allowed, samples) from error
    matrices = []
    for piece in samples:
        if not piece.dtype.is_floating:
            raise ValueError(
                f"Argument `{name}` must be floating-point. Received: dtype={piece.dtype.name}"
            )
        if not piece.shape.rank or piece.shape[0] is None:
            raise ValueError(
                f"Argument `{name}` must have a statically known number of samples, its first "
                f"dimension. Received: shape={piece.shape}"
            )
        known = piece.shape[1:].num_elements()
        width = tf.reduce_prod(tf.shape(piece)[1:]) if known is None else known
        matrices.append(tf.reshape(piece, (piece.shape[0], width)))
    if len({piece.shape[0] for piece in matrices}) > 1:
        raise ValueError(
            f"Argument `{name}` must hold tensors with the same number of samples. "
            f"Received: shapes={[tuple(piece.shape) for piece in samples]}"
        )
    return matrices


def posterior_matrices(samples):
    """Returns `as_matrices` of at least 2 samples, in float64 if one is, else in float32."""
    pieces = as_matrices("posterior_samples", samples)
    check_neighbours("num_samples", pieces[0].shape[0], of="posterior_samples")
    dtype = tf.float64 if any(piece.dtype == tf.float64 for piece in pieces) else tf.float32
    return [tf.cast(piece, dtype) for piece in pieces]


def joined(pieces):
    """Returns one tensor `(samples, num_weights)`: a sum over many small ones would cost more."""
    return pieces[0] if len(pieces) == 1 else tf.concat(pieces, axis=1)
