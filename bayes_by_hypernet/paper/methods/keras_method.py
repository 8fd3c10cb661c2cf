"""Methods whose network is a Keras model that owns its parameters: they are the edges."""

import contextlib
import math

import keras
import tensorflow as tf

from bayes_by_hypernet import likelihoods, randomness
from bayes_by_hypernet.layers import VariationalLayer
from bayes_by_hypernet.noise import find_layers, hold_noise
from bayes_by_hypernet.paper.methods import functional
from bayes_by_hypernet.paper.methods.base import Method
from bayes_by_hypernet.paper.networks import GivenWeightsFamily, LayerFamily


class KerasMethod(Method):
    """A Keras model built of one family of layers, run as a function of its parameters.

    Args:
        network: `Network`.
        family: `LayerFamily`.
        options: `Options`.
    """

    def __init__(self, network, family, options):
        self.options = options
        self.keras_model = network.build(family)
        self.trainable_variables = self.keras_model.trainable_variables
        self.statistics = functional.moving_statistics(self.keras_model)
        self.input_shape = network.input_shape
        self.prediction_batch_size = network.prediction_batch_size
        self.likelihood = likelihoods.get(network.likelihood)

    @property
    def variables(self):
        return [*self.trainable_variables, *self.statistics]

    def edges(self, key, multiply=None):
        return [tf.convert_to_tensor(variable.value) for variable in self.trainable_variables]

    def training_logits(self, images, labels, edges, key):
        return self.call_model(images, edges, key, training=True)[tf.newaxis]

    def call_model(self, images, parameters, key=None, training=False, statistics=None):
        """Returns the logits `(batch, classes)` of the model with `parameters` in its variables.

        With a key the model's random layers draw from it, else from generators of their own.
        """
        held = contextlib.nullcontext() if key is None else hold_noise(self.keras_model, key)
        with held:
            return functional.call(self.keras_model, images, parameters, training, statistics)

    def with_parameters(self, parameters):
        """Context in which the model's layers see `parameters` in place of their variables."""
        pairs = zip(self.trainable_variables, parameters, strict=True)
        return keras.StatelessScope(state_mapping=list(pairs))


class PointFamily(LayerFamily):
    """Keras's own layers: weights are point estimates."""

    def conv2d(self, inputs, filters, kernel_size, strides=1, padding="valid", name=None):
        layer = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides,
            padding,
            kernel_initializer=self.initializer(),
            name=name,
        )
        return layer(inputs)

    def dense(self, inputs, units, name=None):
        return keras.layers.Dense(units, kernel_initializer=self.initializer(), name=name)(inputs)

    def initializer(self):
        return keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")


class PointMethod(KerasMethod):
    """A point estimate of every weight: one posterior sample, the weights themselves."""

    num_distinct_samples = 1

    def __init__(self, network, options, family=None):
        super().__init__(network, family or PointFamily(), options)
        others = functional.normalization_parameters(self.keras_model)
        self.num_weights = self.num_parameters - sum(math.prod(v.shape) for v in others)
        self.sample_shapes = {v.path: tuple(v.shape) for v in self.variables}

    def draw(self, num_samples, key):
        return {
            variable.path: tf.repeat(variable.value[tf.newaxis], num_samples, axis=0)
            for variable in self.variables
        }

    def logits(self, images, sample):
        values = [sample[variable.path] for variable in self.variables]
        count = len(self.trainable_variables)
        return self.call_model(images, values[:count], statistics=values[count:])


class VariationalFamily(LayerFamily):
    """Layers of this package that hold a posterior over their weights.

    Args:
        conv2d, dense: Layer classes.
        **settings: Of every layer.
    """

    def __init__(self, conv2d, dense, **settings):
        self._conv2d = conv2d
        self._dense = dense
        self._settings = settings

    def conv2d(self, inputs, filters, kernel_size, strides=1, padding="valid", name=None):
        layer = self._conv2d(filters, kernel_size, strides, padding, name=name, **self._settings)
        return layer(inputs)

    def dense(self, inputs, units, name=None):
        return self._dense(units, name=name, **self._settings)(inputs)


class VariationalMethod(KerasMethod):
    """Layers with a posterior each: trained as such, sampled for prediction.

    In training the layers draw by their own estimators, with less variance than one weight sample
    for the whole batch has. A posterior sample is a set of weights, which predicts all inputs.

    Args:
        network: `Network`.
        family: `VariationalFamily`.
        options: `Options`.
    """

    def __init__(self, network, family, options):
        super().__init__(network, family, options)
        self.layers = find_layers(self.keras_model, VariationalLayer)
        given = GivenWeightsFamily(self.keras_model)
        self._network = network.build(given, given.weight_inputs)
        self._weight_names = given.weight_names
        self.sample_shapes = dict(zip(given.weight_names, given.weight_shapes, strict=True))
        self.num_weights = sum(math.prod(shape) for shape in given.weight_shapes)

    def draw(self, num_samples, key):
        samples = {}
        for i, layer in enumerate(self.layers):
            kernel, bias = layer.sample_weights(num_samples, randomness.fold_in(key, i))
            samples |= {f"{layer.name}/kernel": kernel, f"{layer.name}/bias": bias}
        return samples

    def logits(self, images, sample):
        weights = [sample[name] for name in self._weight_names]
        return self._network([images, *weights], training=False)
