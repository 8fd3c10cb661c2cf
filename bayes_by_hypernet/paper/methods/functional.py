"""Keras models as functions of their parameters, and what they count along in training."""

from bayes_by_hypernet.layers import BatchNormalization
from bayes_by_hypernet.noise import find_layers


def normalization_parameters(model):
    """Returns those trainable variables of a model that are its normalisation's, no weights."""
    layers = find_layers(model, BatchNormalization)
    return [variable for layer in layers for variable in layer.trainable_variables]


def moving_statistics(model):
    """Returns the variables that normalisation layers move along in training, if any do."""
    layers = find_layers(model, BatchNormalization)
    return [variable for layer in layers for variable in layer.non_trainable_variables]


def call(model, inputs, parameters, training=False, statistics=None):
    """Returns the outputs of `model` with `parameters` in place of its trainable variables.

    In training its moving statistics move along: all else is a function of the arguments.

    Args:
        model: Keras model.
        inputs: Of the model.
        parameters: Tensors, one for each of `model.trainable_variables`.
        training: Boolean.
        statistics: Tensors in place of `moving_statistics(model)`, or None.
    """
    moving = moving_statistics(model)
    states = {id(variable): variable.value for variable in model.non_trainable_variables}
    if statistics is not None:
        states |= {id(v): value for v, value in zip(moving, statistics, strict=True)}
    outputs, moved = model.stateless_call(
        parameters, list(states.values()), inputs, training=training
    )
    if training:
        moved = dict(zip(states, moved, strict=True))
        for variable in moving:
            variable.value.assign(moved[id(variable)])
    return outputs
