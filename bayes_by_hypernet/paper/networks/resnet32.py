"""ResNet-32 for CIFAR-5: 462,693 weights besides batch normalisation (He et al., 2016)."""

import keras
from keras import layers

from bayes_by_hypernet.layers import BatchNormalization
from bayes_by_hypernet.paper.networks.base import Network, initializer

FILTERS = (16, 32, 64)  # of the stages
NUM_UNITS = 5  # of each stage


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class PadChannels(layers.Layer):
    """Fills the channels of images up with zeros on both sides.

    Args:
        channels: Integer, how many there are then.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, x):
        missing = self.channels - x.shape[-1]
        return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def _conv(x, filters, strides, name):
    convolution = layers.Conv2D(
        filters, 3, strides, "same", kernel_initializer=initializer(), name=name
    )
    return convolution(x)


def _activate(x, batch_norm, name):
    return layers.ReLU()(BatchNormalization(batch_norm, name=name)(x))


def _unit(x, filters, batch_norm, dropout, name):
    """A pre-activation unit; the first of a stage that has more filters halves the image."""
    grows = filters != x.shape[-1]
    residual = _activate(x, batch_norm, f"{name}_norm_1")
    residual = _conv(residual, filters, 1 + grows, f"{name}_conv_1")
    residual = _activate(residual, batch_norm, f"{name}_norm_2")
    if dropout:
        residual = layers.Dropout(0.5, name=f"{name}_dropout")(residual)
    residual = _conv(residual, filters, 1, f"{name}_conv_2")
    if grows:
        x = PadChannels(filters)(layers.AveragePooling2D(2, padding="same")(x))
    return layers.Add()([x, residual])


def resnet32(input_shape=(24, 24, 3), num_classes=5, batch_norm="instance", dropout=True):
    """Returns ResNet-32, a Keras model from images `(batch, *input_shape)` to logits.

    Every method has a last normalisation before the last relu (ruling 12).

    Args:
        input_shape: Of an image.
        num_classes: Integer.
        batch_norm: `"instance"`, `"batch"` or `"moving"`, see `layers.BatchNormalization`.
        dropout: Whether there are `Dropout` layers where MC-dropout drops units (protocol).
    """
    images = keras.Input(input_shape, name="images")
    x = _conv(images, FILTERS[0], 1, "conv_1")
    for stage, filters in enumerate(FILTERS, start=1):
        for unit in range(1, NUM_UNITS + 1):
            x = _unit(x, filters, batch_norm, dropout, f"stage_{stage}_unit_{unit}")
    x = layers.GlobalAveragePooling2D()(_activate(x, batch_norm, "norm"))  # (batch, 64)
    x = layers.Dense(num_classes, kernel_initializer=initializer(), name="dense")(x)
    return keras.Model(images, x, name="resnet32")


RESNET32 = Network("resnet32", resnet32, dataset="cifar5", batch_norm="instance")
