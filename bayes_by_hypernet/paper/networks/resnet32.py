"""ResNet-32 for CIFAR-5: 462,693 weights besides batch normalisation (He et al., 2016)."""

import keras
from keras import layers as keras_layers

from bayes_by_hypernet.paper.networks.family import Network

FILTERS = (16, 32, 64)  # of the stages
NUM_UNITS = 5  # of each stage


def _activate(layers, x, batch_norm, name):
    return keras_layers.ReLU()(layers.batch_norm(x, batch_norm, name=name))


def _shortcut(x, filters):
    """Halves an image by averages and fills up its channels with zeros on both sides."""
    missing = filters - x.shape[-1]
    x = keras_layers.AveragePooling2D(2, padding="same")(x)
    return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]])


def _unit(layers, x, filters, batch_norm, name):
    """A pre-activation unit; the first of a stage that has more filters halves the image."""
    grows = filters != x.shape[-1]
    residual = _activate(layers, x, batch_norm, f"{name}_norm_1")
    residual = layers.conv2d(residual, filters, 3, 1 + grows, "same", name=f"{name}_conv_1")
    residual = _activate(layers, residual, batch_norm, f"{name}_norm_2")
    residual = layers.dropout(residual, name=f"{name}_dropout")
    residual = layers.conv2d(residual, filters, 3, 1, "same", name=f"{name}_conv_2")
    return keras_layers.Add()([_shortcut(x, filters) if grows else x, residual])


def resnet32(layers, images, num_outputs, batch_norm):
    """Applies ResNet-32, built of `layers`, to symbolic `images` `(batch, 24, 24, 3)`.

    A last normalisation stands before the last relu in every method (ruling 12).

    Returns:
        Logits `(batch, num_outputs)`.
    """
    x = layers.conv2d(images, FILTERS[0], 3, padding="same", name="conv_1")
    for stage, filters in enumerate(FILTERS, start=1):
        for unit in range(1, NUM_UNITS + 1):
            x = _unit(layers, x, filters, batch_norm, f"stage_{stage}_unit_{unit}")
    x = _activate(layers, x, batch_norm, "norm")  # (batch, 6, 6, 64)
    x = keras_layers.GlobalAveragePooling2D()(x)
    return layers.dense(x, num_outputs, name="dense")


RESNET32 = Network(
    "resnet32", resnet32, (24, 24, 3), num_outputs=5, dataset="cifar5", batch_norm="instance"
)
