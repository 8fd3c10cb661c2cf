"""LeNet for MNIST: 431,080 weights (authors' code; protocol of Louizos & Welling, 2017)."""

from keras import layers as keras_layers

from bayes_by_hypernet.paper.networks.family import Network


def _pool(inputs):
    return keras_layers.MaxPooling2D(2, padding="same")(inputs)


def lenet(layers, images, num_outputs):
    """Applies LeNet, built of `layers`, to symbolic `images` `(batch, 28, 28, 1)`.

    Returns:
        Logits `(batch, num_outputs)`.
    """
    x = layers.conv2d(images, 20, 5, name="conv_1")  # (batch, 24, 24, 20)
    x = _pool(layers.dropout(keras_layers.ReLU()(x), name="dropout_1"))  # (batch, 12, 12, 20)
    x = layers.conv2d(x, 50, 5, name="conv_2")  # (batch, 8, 8, 50)
    x = _pool(layers.dropout(keras_layers.ReLU()(x), name="dropout_2"))  # (batch, 4, 4, 50)
    x = keras_layers.Flatten()(x)  # (batch, 800)
    x = layers.dense(x, 500, name="dense_1")
    x = layers.dropout(keras_layers.ReLU()(x), name="dropout_3")
    return layers.dense(x, num_outputs, name="dense_2")


LENET = Network("lenet", lenet, (28, 28, 1), num_outputs=10, dataset="mnist")
