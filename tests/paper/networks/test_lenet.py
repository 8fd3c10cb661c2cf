"""LeNet: its size, its weights, and one forward pass whatever the family of layers."""

import keras
import numpy as np
import pytest
import tiny

from bayes_by_hypernet.paper import networks
from bayes_by_hypernet.paper.methods.keras_method import PointFamily
from bayes_by_hypernet.paper.networks import LENET, GivenWeightsFamily

SHAPES = {
    "conv_1/kernel": (5, 5, 1, 20),
    "conv_1/bias": (20,),
    "conv_2/kernel": (5, 5, 20, 50),
    "conv_2/bias": (50,),
    "dense_1/kernel": (800, 500),
    "dense_1/bias": (500,),
    "dense_2/kernel": (500, 10),
    "dense_2/bias": (10,),
}


def _plain_lenet():
    """LeNet as a user of Keras writes it (protocol, 'Networks')."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(20, 5, activation="relu"),
            layers.MaxPooling2D(2, padding="same"),
            layers.Conv2D(50, 5, activation="relu"),
            layers.MaxPooling2D(2, padding="same"),
            layers.Flatten(),
            layers.Dense(500, activation="relu"),
            layers.Dense(10),
        ]
    )


class TestLeNet:
    def test_weights_by_name(self):
        family = GivenWeightsFamily()
        LENET.build(family, family.weight_inputs)
        assert dict(zip(family.weight_names, family.weight_shapes, strict=True)) == SHAPES
        assert sum(np.prod(shape) for shape in family.weight_shapes) == 431_080

    def test_keras_weights_have_the_same_names_and_order(self):
        model = LENET.build(PointFamily())
        assert {v.path: tuple(v.shape) for v in model.weights} == SHAPES
        assert model.count_params() == 431_080

    def test_both_families_compute_what_plain_keras_does(self):
        images = np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype(np.float32)
        plain, points, family = _plain_lenet(), LENET.build(PointFamily()), GivenWeightsFamily()
        given = LENET.build(family, family.weight_inputs)
        rng = np.random.default_rng(1)
        weights = [rng.normal(0, 0.1, size=shape).astype(np.float32) for shape in SHAPES.values()]
        plain.set_weights(weights)
        points.set_weights(weights)
        expected = plain(images)
        assert expected.shape == (3, 10)
        # float32 sums of up to 800 terms, at most in another order.
        np.testing.assert_allclose(points(images), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(given([images, *weights]), expected, rtol=1e-4, atol=1e-4)

    def test_dropout_stands_after_both_convolutions_and_the_large_dense_layer(self):
        family = tiny.DropoutRecorder()
        LENET.build(family)
        assert family.dropped == {
            "dropout_1": (24, 24, 20),
            "dropout_2": (8, 8, 50),
            "dropout_3": (500,),
        }

    def test_refuses_images_of_another_shape(self):
        with pytest.raises(ValueError, match="incompatible|expected shape"):
            LENET.build(PointFamily())(np.zeros((2, 32, 32, 3)))


class TestGet:
    def test_by_name(self):
        assert networks.get("lenet") is LENET

    def test_unknown(self):
        with pytest.raises(ValueError, match="`network` must be one of.*'lenet'.*network='vgg'"):
            networks.get("vgg")
