"""Posterior samples of Keras models: what prediction, export and attacks draw and evaluate."""

import math

import tensorflow as tf

from bayes_by_hypernet import draws, randomness
from bayes_by_hypernet.posteriors.binding import call_with
from bayes_by_hypernet.posteriors.layer import PosteriorLayer


class ModelSampler:
    """Posterior samples of a Keras model whose calls differ.

    A sample holds the weights of every layer with a posterior, and a key from which all other
    random layers draw, foreign ones too. Weights are generated once, not for each batch.

    Args:
        model: Keras model.
        prediction_batch_size: How many inputs are predicted at once, where their answers depend
            on each other; None: as many as one likes.

    Attributes:
        weight_names: Names of the weights with a posterior, in the order of the computation.
        sample_shapes: Dict, name to shape of one sample's tensors.
        num_distinct_samples: How many samples differ from each other; None: all.
        input_shape: Shape of one input, or None where it is not known.
        input_dtype: Its dtype, as TensorFlow names it.
        variables: All that prediction needs.
    """

    def __init__(self, model, prediction_batch_size=None):
        self.model = model
        self.prediction_batch_size = prediction_batch_size
        self.variables = model.variables
        self._root = getattr(model, "body", model)
        self._layers = draws.find_layers(self._root, PosteriorLayer)
        own = {id(s) for layer in self._layers for s in draws.own_seed_states(layer)}
        self._is_keyed = any(id(s) not in own for s in draws.seed_states(self._root))
        shapes = {}
        for layer in self._layers:
            shapes |= dict(zip(layer.weight_names, layer.weight_shapes, strict=True))
        self.weight_names = list(shapes)
        self.sample_shapes = {**shapes, **({"key": (2,)} if self._is_keyed else {})}
        self.num_distinct_samples = None if self.sample_shapes else 1
        self.sample_shapes = self.sample_shapes or {"key": (2,)}
        self.input_shape = _input_shape(model)
        self.input_dtype = _input_dtype(model)

    def draw(self, num_samples, key):
        """Returns posterior samples, a dict of tensors, each with a leading sample axis.

        Args:
            num_samples: Integer or scalar tensor.
            key: Stateless seed `(2,)`.
        """
        samples = {}
        for i, layer in enumerate(self._layers):
            layer_key = key if len(self._layers) == 1 else randomness.fold_in(key, i)
            weights = layer.sample_weights(num_samples, layer_key)
            samples |= dict(zip(layer.weight_names, weights, strict=True))
        if "key" in self.sample_shapes:
            samples["key"] = randomness.split(key, num_samples)
        return samples

    def logits(self, x, sample):
        """Returns the model's outputs under one sample: `draw`'s dict at one index."""
        given = {layer: [sample[name] for name in layer.weight_names] for layer in self._layers}
        values = []
        if self._is_keyed:
            values = draws.keyed_states(self._root, sample["key"])
        with draws.forward_pass(given, is_sample=True):
            # Without `training`: a functional model then keeps what its author passed at a layer.
            return call_with(self._root, values, x)


class EnsembleSampler:
    """Models of one architecture as equally likely posterior samples.

    M samples are all of them, in a random rotation.

    Args:
        models: List of Keras models.
        prediction_batch_size: As of `ModelSampler`.

    Attributes are those of `ModelSampler`.
    """

    def __init__(self, models, prediction_batch_size=None):
        self.models = list(models)
        self.prediction_batch_size = prediction_batch_size
        self._roots = [getattr(model, "body", model) for model in self.models]
        self._values = [_state(root) for root in self._roots]
        self.variables = [v for values in self._values for v in values]
        self.sample_shapes = {v.path: tuple(v.shape) for v in self._values[0]}
        self.weight_names = list(self.sample_shapes)
        self.num_distinct_samples = len(self.models)
        self.input_shape = _input_shape(self.models[0])
        self.input_dtype = _input_dtype(self.models[0])
        shapes = [[tuple(v.shape) for v in values] for values in self._values]
        if any(other != shapes[0] for other in shapes):
            raise ValueError(
                "Argument `model` must be a list of models with the same variables. Received: "
                f"models with {[len(other) for other in shapes]} variables, or of other shapes"
            )

    def draw(self, num_samples, key):
        count = len(self.models)
        offset = tf.random.stateless_uniform((), key, maxval=count, dtype=tf.int32)
        index = (offset + tf.range(num_samples)) % count
        return {
            name: tf.gather(tf.stack([values[i].value for values in self._values]), index)
            for i, name in enumerate(self.sample_shapes)
        }

    def logits(self, x, sample):
        # Members differ in their values only, which the sample gives.
        values = [(v, sample[v.path]) for v in self._values[0]]
        with draws.forward_pass(is_sample=True):
            return call_with(self._roots[0], values, x)


def as_sampler(model):
    """Returns what draws posterior samples of a model: itself, or a sampler of a Keras model.

    Args:
        model: Something with `draw` and `logits`, a Keras model, or a list of Keras models.
    """
    if isinstance(model, (list, tuple)):
        return EnsembleSampler(model)
    return model if hasattr(model, "draw") else ModelSampler(model)


def _state(model):
    """Variables of a model that decide its outputs: all but the states of seed generators."""
    seeds = {id(state) for state in draws.seed_states(model)}
    return [v for v in model.variables if id(v) not in seeds]


def _input_shape(model):
    try:
        shape = model.input_shape
    except AttributeError:  # a subclassed model has none
        return None
    return tuple(shape[1:]) if isinstance(shape, tuple) else None


def _input_dtype(model):
    inputs = getattr(model, "inputs", None) or []  # a subclassed model has none
    return inputs[0].dtype if len(inputs) == 1 else "float32"


def sample_bytes(sampler):
    """Returns the size of one posterior sample, as float32."""
    return 4 * sum(math.prod(shape) for shape in sampler.sample_shapes.values())
