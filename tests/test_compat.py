"""The private names of Keras and TFP that `compat` uses: fails by name where one went away."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from bayes_by_hypernet import compat


def _needs(owner, name, where):
    """Fails with a sentence unless `owner` has the private attribute `name`."""
    assert hasattr(owner, name), (
        f"{where} has no `{name}` any more, which bayes_by_hypernet.compat uses: find what "
        f"replaces it and change compat.py (installed: Keras {keras.__version__}, TensorFlow "
        f"{tf.__version__}, TensorFlow Probability {tfp.__version__})"
    )
    return getattr(owner, name)


def test_a_lost_name_is_said():
    with pytest.raises(AssertionError, match="keras.layers.Layer has no `_gone` any more"):
        _needs(keras.layers.Layer, "_gone", "keras.layers.Layer")


def test_flatten_layers():
    _needs(keras.layers.Layer, "_flatten_layers", "keras.layers.Layer")
    inner = keras.layers.Dense(1)
    outer = keras.Sequential([keras.Sequential([keras.layers.TimeDistributed(inner)])])
    layers = compat.flatten_layers(outer)
    assert layers[0] is outer and inner in layers, "Keras's `_flatten_layers` lost inner layers"


def test_call_context():
    from keras.src.backend.common import global_state

    _needs(global_state, "get_global_attribute", "keras.src.backend.common.global_state")
    seen = []

    class Noting(keras.layers.Layer):
        def call(self, x):
            seen.append(compat.call_context())
            return x

    layer = Noting()
    model = keras.Sequential([layer, layer])
    assert compat.call_context() is None
    for _ in range(2):
        model(np.zeros((1, 1)))
    first, second, third, _ = seen[-4:]  # before them, building
    message = (
        "Keras's global attribute 'current_call_ctx' is no longer an object that lives as long as "
        "the outermost call: find how Keras 3 keeps its CallContext (keras/src/layers/layer.py)"
    )
    assert first is not None and first is second and third is not first, message
    first.bayes_by_hypernet_pass = 1  # takes attributes
    assert compat.call_context() is None


def test_uncast_value():
    import keras.src.backend as backend

    _needs(backend, "AutocastScope", "keras.src.backend")
    variable = keras.Variable([1.0 + 2.0**-20], dtype="float32")
    with backend.AutocastScope("float16"):
        assert variable.value.dtype == tf.float16, "Keras's AutocastScope no longer casts values"
        value = compat.uncast_value(variable)
    assert value.dtype == tf.float32, "Keras's AutocastScope(None) no longer stops casts"
    np.testing.assert_array_equal(value, [1.0 + 2.0**-20])


def test_takes_training():
    for layer, takes in ((keras.layers.Dropout(0.5), True), (keras.layers.Flatten(), False)):
        _needs(layer, "_call_has_training_arg", "keras.layers.Layer")
        assert compat.takes_training(layer) is takes


def test_loss_tracker():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    _needs(model, "_loss_tracker", "A compiled keras.Model")
    tracker = compat.loss_tracker(model)
    assert isinstance(tracker, keras.metrics.Mean) and tracker.name == "loss"
    assert any(metric is tracker for metric in model.metrics)


@pytest.mark.parametrize("name", ["DenseFlipout", "Convolution2DFlipout"])
def test_with_stateless_signs(name):
    tfp_layer = _needs(tfp.layers, name, "tfp.layers")
    method = _needs(tfp_layer, "_apply_variational_kernel", f"tfp.layers.{name}")
    message = (
        f"tfp.layers.{name}._apply_variational_kernel no longer draws Flipout's signs by the "
        "global name SeedStream: find where they are drawn and change compat.with_stateless_signs"
    )
    assert "SeedStream" in method.__globals__ and "SeedStream" in method.__code__.co_names, message
    made = []

    class Keys:
        def __init__(self, seed, salt):
            made.append((seed, salt))

        def __call__(self):
            return tf.constant([1, 2])

    cls = compat.with_stateless_signs(tfp_layer, Keys)
    assert issubclass(cls, tfp_layer)
    assert cls._apply_variational_kernel is not method
    assert inspect.signature(cls._apply_variational_kernel) == inspect.signature(method)
    size = (2,) if name.startswith("Dense") else (2, 3)
    x = np.ones((4, 3) if name.startswith("Dense") else (4, 5, 5, 1), np.float32)
    layer = cls(*size, kernel_posterior_tensor_fn=lambda d: d.sample(seed=[3, 4]))
    assert len(layer(x).shape) == x.ndim and made, message
    np.testing.assert_array_equal(layer(x), layer(x))  # the signs follow from the keys
