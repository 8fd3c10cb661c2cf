"""The toy regression's network: one hidden layer, 301 weights (protocol)."""

from keras import layers as keras_layers

from bayes_by_hypernet.paper.networks.family import Network

HIDDEN_UNITS = 100


def mlp(layers, inputs, num_outputs):
    """Applies one hidden layer of 100 relu units, built of `layers`, to symbolic inputs.

    The weights of the toy regression are `(1, 100)`, `(100,)`, `(100, 1)` and `(1,)`.

    Args:
        layers: `LayerFamily`.
        inputs: `(batch, inputs)`.
        num_outputs: Integer.

    Returns:
        Predicted means `(batch, num_outputs)`.
    """
    x = layers.dense(inputs, HIDDEN_UNITS, name="dense_1")
    x = layers.dropout(keras_layers.ReLU()(x), name="dropout")
    return layers.dense(x, num_outputs, name="dense_2")


TOY = Network("toy", mlp, (1,), num_outputs=1, dataset="toy", likelihood="gaussian")
