"""The one place where a layer computes with tensors in place of its variables."""

import keras

from bayes_by_hypernet import compat


def call_with(
    layer,
    values,
    inputs,
    *args,
    training=None,
    add_loss=None,
    finish=None,
    changing=(),
    **kwargs,
):
    """Returns `layer(inputs)` with tensors in place of some of its variables.

    Works for every Keras layer and model. What the layer changes (moving statistics, the states of
    seed generators) changes as in an ordinary call, but for the variables in `values`.

    Args:
        layer: Keras layer or model, built.
        values: List of pairs (Keras variable, tensor of its shape).
        inputs, *args, **kwargs: Of the call.
        training: Boolean or None; passed on where the layer takes it.
        add_loss: Function that takes each loss that layers inside add; None: they are dropped.
        finish: Function of the outputs, called while the tensors still stand for the variables,
            that returns what is to be returned (say, with `layer.losses`); None: the outputs.
        changing: Variables besides the layer's that `finish` changes, a metric's, say.

    Returns:
        What the layer, or `finish`, returns.
    """
    if training is not None and compat.takes_training(layer):
        kwargs["training"] = training
    replaced = {id(variable) for variable, _ in values}
    # Read here: within the new scope an outer one is hidden.
    others = [v for v in [*layer.variables, *changing] if id(v) not in replaced]
    others = [(v, compat.uncast_value(v)) for v in others]
    with keras.StatelessScope([*values, *others], collect_losses=True) as scope:
        start = {id(v): scope.get_current_value(v) for v, _ in others}
        outputs = layer(inputs, *args, **kwargs)
        if finish is not None:
            outputs = finish(outputs)
    for variable, _ in others:
        value = scope.get_current_value(variable)
        if value is not start[id(variable)]:
            variable.assign(value)
    if add_loss is not None:
        for loss in scope.losses:
            add_loss(loss)
    return outputs
