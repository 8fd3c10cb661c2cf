"""LeNet: its size, its weights, its forward pass, and where it drops units."""

import keras
import numpy as np
import pytest
import tiny

from bayes_by_hypernet.paper import networks
from bayes_by_hypernet.paper.networks import LENET, lenet

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
        model = LENET.build()
        assert {v.path: tuple(v.shape) for v in model.weights} == SHAPES
        assert model.count_params() == 431_080

    def test_computes_what_plain_keras_does(self):
        images = np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype(np.float32)
        plain, ours = _plain_lenet(), LENET.build()
        rng = np.random.default_rng(1)
        weights = [rng.normal(0, 0.1, size=shape).astype(np.float32) for shape in SHAPES.values()]
        plain.set_weights(weights)
        ours.set_weights(weights)
        expected = plain(images)
        assert expected.shape == (3, 10)
        # float32 sums of up to 800 terms, at most in another order.
        np.testing.assert_allclose(ours(images), expected, rtol=1e-4, atol=1e-4)

    def test_dropout_stands_after_both_convolutions_and_the_large_dense_layer(self):
        assert tiny.dropped(LENET.build(dropout=True)) == {
            "dropout_1": (24, 24, 20),
            "dropout_2": (8, 8, 50),
            "dropout_3": (500,),
        }
        assert not tiny.dropped(LENET.build())

    def test_takes_other_images_and_classes(self):
        model = lenet((32, 32, 3), 7, dropout=False)
        assert model.input_shape == (None, 32, 32, 3) and model.output_shape == (None, 7)

    def test_refuses_images_of_another_shape(self):
        with pytest.raises(ValueError, match="incompatible|expected shape"):
            LENET.build()(np.zeros((2, 32, 32, 3)))


class TestGet:
    def test_by_name(self):
        assert networks.get("lenet") is LENET

    def test_unknown(self):
        with pytest.raises(ValueError, match="`network` must be one of.*'lenet'.*network='vgg'"):
            networks.get("vgg")
