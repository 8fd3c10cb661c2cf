"""Private names of Keras and TensorFlow Probability that nothing public replaces.

Each function says why it is needed. `tests/test_compat.py` fails by name where an upgrade takes one
of them away.
"""

import functools
import types

from keras.src.backend import AutocastScope
from keras.src.backend.common import global_state


def with_own_errors(function):
    """Returns a `tf.function` that raises what its Python code raised while it was traced.

    TensorFlow raises another error of that type in its place, 'in user code', with the lines of
    the traced code before the sentence.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            metadata = getattr(error, "ag_error_metadata", None)
            if metadata is None:
                raise
            raise type(error)(metadata.cause_message) from None

    return call


def flatten_layers(layer):
    """Returns a layer and every layer inside it, at any depth, in a fixed order.

    `model.layers` does not look into composite layers and wrappers.
    """
    return layer._flatten_layers()


def call_context():
    """Returns the object that lives as long as the outermost call of a Keras layer, or None.

    Only it tells a second call within one forward pass from the next forward pass.
    """
    return global_state.get_global_attribute("current_call_ctx")


def uncast_value(variable):
    """Returns the value of a Keras variable in its own precision, inside an autocast scope too."""
    with AutocastScope(None):
        return variable.value


def attach(owner, parts):
    """Makes layers and variables in a list or dict attributes of the layer that holds it.

    TensorFlow's checkpoints and SavedModels see attributes of a Keras 3 layer, and not what its
    lists and dicts hold: without it they leave those out, silently.

    Args:
        owner: Keras layer.
        parts: Dict, name or number to layer or variable.
    """
    for name, part in parts.items():
        setattr(owner, f"part_{name}", part)


def takes_training(layer):
    """Whether `layer.call` takes `training`; passing it to others raises."""
    return layer._call_has_training_arg


def loss_tracker(model):
    """Returns the metric `loss` of a compiled model: a train step of one's own must update it."""
    return model._loss_tracker


def with_stateless_signs(tfp_layer, seed_stream):
    """Returns TFP's Flipout layer class with the same code and another `SeedStream`.

    TFP turns every seed into an integer, so that Flipout's signs come from TensorFlow's stateful
    generator, which loses its place when a run is resumed. The only seam is the global name
    `SeedStream` of the method that draws them.

    Args:
        tfp_layer: Class, `tfp.layers.DenseFlipout` or `tfp.layers.Convolution2DFlipout`.
        seed_stream: Class that replaces `SeedStream(seed, salt)`.
    """
    forward = tfp_layer._apply_variational_kernel
    names = {**forward.__globals__, "SeedStream": seed_stream}
    forward = types.FunctionType(forward.__code__, names, forward.__name__)
    return type(f"Keyed{tfp_layer.__name__}", (tfp_layer,), {"_apply_variational_kernel": forward})
