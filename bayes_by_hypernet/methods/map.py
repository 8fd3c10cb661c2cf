"""Maximum a posteriori: one network with the weight decay of a normal prior (Table 3, 'MAP')."""

import dataclasses

import keras
import tensorflow as tf

from bayes_by_hypernet.methods.base import Method, Options
from bayes_by_hypernet.networks import LayerFamily
from bayes_by_hypernet.priors import NormalPrior


def variance_scaling():
    """The initialiser of every method but `bbh` (authors' code)."""
    return keras.initializers.VarianceScaling(1.0, mode="fan_in", distribution="truncated_normal")


class PointFamily(LayerFamily):
    """Keras's own layers: weights are point estimates."""

    def conv2d(self, inputs, filters, kernel_size, strides=1, padding="valid", name=None):
        layer = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides,
            padding,
            kernel_initializer=variance_scaling(),
            name=name,
        )
        return layer(inputs)

    def dense(self, inputs, units, name=None):
        return keras.layers.Dense(units, kernel_initializer=variance_scaling(), name=name)(inputs)


@dataclasses.dataclass(frozen=True)
class MapOptions(Options):
    """Settings of MAP.

    Attributes:
        prior_stddev: Standard deviation of the normal prior on every kernel weight.
    """

    prior_stddev: float = 1.0

    def __post_init__(self):
        NormalPrior(self.prior_stddev)


class MaximumAPosteriori(Method):
    """Point estimate of the weights; the 'KL' is the prior's negative log density.

    `kl = sum over kernels of w^2 / (2 prior_stddev^2)`, constants left out; biases have no prior,
    as in the authors' code.
    """

    name = "map"
    Options = MapOptions
    is_stochastic = False

    def __init__(self, network, options):
        self.options = options
        self.keras_model = network.build(PointFamily())
        self.trainable_variables = self.keras_model.trainable_variables
        self.num_weights = self.num_parameters
        self.input_shape = network.input_shape
        self.sample_shapes = {v.path: tuple(v.shape) for v in self.trainable_variables}

    def edges(self, key):
        return [tf.convert_to_tensor(variable.value) for variable in self.trainable_variables]

    def training_logits(self, images, edges, key):
        return self._logits(images, edges, training=True)[tf.newaxis]

    def kl(self, edges, key):
        kernels = [
            tf.nn.l2_loss(edge)
            for edge, variable in zip(edges, self.trainable_variables, strict=True)
            if variable.name == "kernel"
        ]
        return tf.add_n(kernels) / self.options.prior_stddev**2

    def draw(self, num_samples, key):
        return {
            variable.path: tf.repeat(edge[tf.newaxis], num_samples, axis=0)
            for edge, variable in zip(self.edges(key), self.trainable_variables, strict=True)
        }

    def logits(self, images, sample):
        weights = [sample[variable.path] for variable in self.trainable_variables]
        return self._logits(images, weights, training=False)

    def _logits(self, images, weights, training):
        # As a function of its weights, so that gradients and samples are edges here too.
        states = [variable.value for variable in self.keras_model.non_trainable_variables]
        return self.keras_model.stateless_call(weights, states, images, training=training)[0]
