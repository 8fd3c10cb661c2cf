"""LeNet for MNIST: 431,080 weights (authors' code; protocol of Louizos & Welling, 2017)."""

import keras
from keras import layers

from bayes_by_hypernet.paper.networks.base import Network, initializer


def lenet(input_shape=(28, 28, 1), num_classes=10, dropout=True):
    """Returns LeNet, a Keras model from images `(batch, *input_shape)` to logits.

    The weights of its defaults are `(5, 5, 1, 20)`, `(20,)`, `(5, 5, 20, 50)`, `(50,)`,
    `(800, 500)`, `(500,)`, `(500, 10)` and `(10,)`.

    Args:
        input_shape: Of an image.
        num_classes: Integer.
        dropout: Whether there are `Dropout` layers where MC-dropout drops units (protocol).
    """

    def conv(x, filters, name):
        return layers.Conv2D(filters, 5, kernel_initializer=initializer(), name=name)(x)

    def dense(x, units, name):
        return layers.Dense(units, kernel_initializer=initializer(), name=name)(x)

    def activate(x, name):
        x = layers.ReLU()(x)
        return layers.Dropout(0.5, name=name)(x) if dropout else x

    def pool(x):
        return layers.MaxPooling2D(2, padding="same")(x)

    images = keras.Input(input_shape, name="images")
    x = pool(activate(conv(images, 20, "conv_1"), "dropout_1"))  # (batch, 12, 12, 20)
    x = pool(activate(conv(x, 50, "conv_2"), "dropout_2"))  # (batch, 4, 4, 50)
    x = layers.Flatten()(x)  # (batch, 800)
    x = activate(dense(x, 500, "dense_1"), "dropout_3")
    return keras.Model(images, dense(x, num_classes, "dense_2"), name="lenet")


LENET = Network("lenet", lenet, dataset="mnist")
