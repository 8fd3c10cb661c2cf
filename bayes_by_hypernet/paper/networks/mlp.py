"""The toy regression's network: one hidden layer, 301 weights (protocol)."""

import keras
from keras import layers

from bayes_by_hypernet.data.toy import NOISE_STDDEV
from bayes_by_hypernet.likelihoods import Gaussian
from bayes_by_hypernet.paper.networks.base import Network, initializer

HIDDEN_UNITS = 100


def mlp(input_shape=(1,), num_outputs=1, dropout=True):
    """Returns one hidden layer of 100 relu units, a Keras model to means `(batch, num_outputs)`.

    The weights of its defaults are `(1, 100)`, `(100,)`, `(100, 1)` and `(1,)`.

    Args:
        input_shape: Of one input.
        num_outputs: Integer.
        dropout: Whether there is a `Dropout` layer where MC-dropout drops units.
    """

    def dense(x, units, name):
        return layers.Dense(units, kernel_initializer=initializer(), name=name)(x)

    inputs = keras.Input(input_shape, name="images")
    x = layers.ReLU()(dense(inputs, HIDDEN_UNITS, "dense_1"))
    if dropout:
        x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(inputs, dense(x, num_outputs, "dense_2"), name="toy")


# The noise of the toy regression is known (protocol).
TOY = Network("toy", mlp, dataset="toy", likelihood=Gaussian(NOISE_STDDEV))
