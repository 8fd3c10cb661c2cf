"""Keras's own checks of a layer, on every public layer of this package."""

import inspect

import keras
import pytest
from keras.src import testing

from bayes_by_hypernet import AuxiliaryNoise, layers

SMALL = {"hidden_units": (4, 8), "num_train_examples": 10}
N = {"num_train_examples": 10}
FLAT, IMAGES = (4, 5), (4, 6, 6, 2)


@keras.saving.register_keras_serializable(package="bayes_by_hypernet_tests")
class WrappedGRU(layers.Hypernet):
    """Keras's checks make several layers of the same arguments: each wraps one of its own."""

    def __init__(self, layer=None, **kwargs):
        super().__init__(layer or keras.layers.GRU(3), **kwargs)


@keras.saving.register_keras_serializable(package="bayes_by_hypernet_tests")
class WrappedConv1D(layers.MeanField):
    def __init__(self, layer=None, **kwargs):
        super().__init__(layer or keras.layers.Conv1D(3, 2), **kwargs)


CASES = {  # id: class, its arguments, shape of inputs, of outputs, whether masks pass
    "DenseHypernet": (layers.DenseHypernet, {"units": 3, **SMALL}, FLAT, (4, 3), True),
    "DenseHypernet_sequence": (
        layers.DenseHypernet,
        {"units": 4, "activation": "relu", "num_slices": 2, "num_likelihood_samples": 2, **SMALL},
        (4, 7, 5),
        (4, 7, 4),
        True,
    ),
    "Conv2DHypernet": (
        layers.Conv2DHypernet,
        {"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same", **SMALL},
        IMAGES,
        (4, 3, 3, 3),
        False,
    ),
    "Hypernet": (
        WrappedGRU,
        {"architecture": "chunked", "chunk_size": 16, "kl_estimator": "entropy", **SMALL},
        (4, 5, 2),
        (4, 3),
        True,
    ),
    "MeanField": (
        WrappedConv1D,
        {"kl_estimator": "full", **N},
        (4, 5, 2),
        (4, 4, 3),
        False,
    ),
    "LearnedStddev": (layers.LearnedStddev, {"per_output": True}, FLAT, (4, 10), True),
    "DenseFlipout": (layers.DenseFlipout, {"units": 3, **N}, FLAT, (4, 3), True),
    "DenseReparameterization": (
        layers.DenseReparameterization,
        {"units": 3, "use_bias": False, **N},
        FLAT,
        (4, 3),
        True,
    ),
    "DenseMNF": (layers.DenseMNF, {"units": 3, "flow_units": 4, **N}, FLAT, (4, 3), True),
    "Conv2DFlipout": (
        layers.Conv2DFlipout,
        {"filters": 3, "kernel_size": (2, 3), **N},
        IMAGES,
        (4, 5, 4, 3),
        False,
    ),
    "Conv2DReparameterization": (
        layers.Conv2DReparameterization,
        {"filters": 3, "kernel_size": 2, "padding": "same", "activation": "relu", **N},
        IMAGES,
        (4, 6, 6, 3),
        False,
    ),
    "Conv2DMNF": (
        layers.Conv2DMNF,
        {"filters": 3, "kernel_size": 2, "strides": 2, "flow_units": 4, **N},
        IMAGES,
        (4, 3, 3, 3),
        False,
    ),
    "MCDropout": (layers.MCDropout, {"rate": 0.3}, FLAT, FLAT, True),
    "BatchNormalization": (layers.BatchNormalization, {}, IMAGES, IMAGES, False),
    "BatchNormalization_instance": (
        layers.BatchNormalization,
        {"statistics": "instance"},
        IMAGES,
        IMAGES,
        False,
    ),
}


def test_no_public_layer_is_missing():
    public = {
        name
        for name, value in inspect.getmembers(layers, inspect.isclass)
        if issubclass(value, keras.layers.Layer) and name in layers.__all__
    }
    assert public <= {base.__name__ for cls, *_ in CASES.values() for base in cls.__mro__}


@pytest.mark.parametrize("name", CASES)
def test_keras_checks(name):
    """Round trips of the constructor, shapes, masks, dtype policies, a step of training."""
    cls, arguments, shape, outputs_shape, passes_masks = CASES[name]
    testing.TestCase().run_layer_test(
        cls,
        init_kwargs=arguments,
        input_shape=shape,
        expected_output_shape=outputs_shape,
        supports_masking=passes_masks,
    )


def test_keras_checks_of_noise():
    layer = AuxiliaryNoise(2, num_samples=3)
    again = AuxiliaryNoise.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    spec = layer.compute_output_spec(keras.KerasTensor((None, 4)))
    outputs = layer()
    assert (tuple(spec.shape), spec.dtype) == (tuple(outputs.shape), outputs.dtype.name)
