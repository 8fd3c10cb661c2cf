"""Posterior samples of Keras models: what prediction, export and attacks draw and evaluate."""

import math
import os

import keras
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
        inputs: KerasTensors of the inputs in the model's structure; None where not known.
        outputs: Likewise, of the outputs.
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
        self.inputs, self.outputs = signature_of(model)

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
        self.inputs, self.outputs = signature_of(self.models[0])
        shapes = [[tuple(v.shape) for v in values] for values in self._values]
        if any(other != shapes[0] for other in shapes):
            raise ValueError(
                "Argument `model` must be a list of models with the same variables. Received: "
                f"models with {[len(other) for other in shapes]} variables, or of other shapes"
            )

    def draw(self, num_samples, key):
        index = _in_turns(len(self.models), num_samples, key)
        return {
            name: tf.gather(tf.stack([values[i].value for values in self._values]), index)
            for i, name in enumerate(self.sample_shapes)
        }

    def logits(self, x, sample):
        # Members differ in their values only, which the sample gives.
        values = [(v, sample[v.path]) for v in self._values[0]]
        with draws.forward_pass(is_sample=True):
            return call_with(self._roots[0], values, x)


class MixtureSampler:
    """Models of any kind as equally likely: each sample is a sample of one of them, in turns.

    For models of different architectures, and for those whose own calls differ.

    Args:
        models: List of Keras models with the same inputs and outputs.

    Attributes are those of `ModelSampler`.
    """

    prediction_batch_size = None

    def __init__(self, models):
        self.models = list(models)
        self._samplers = [ModelSampler(model) for model in self.models]
        self.variables = [v for sampler in self._samplers for v in sampler.variables]
        self.sample_shapes = {"member": ()}
        for i, sampler in enumerate(self._samplers):
            self.sample_shapes |= {f"{i}/{n}": s for n, s in sampler.sample_shapes.items()}
        self.weight_names = [
            f"{i}/{name}" for i, s in enumerate(self._samplers) for name in s.weight_names
        ]
        certain = all(s.num_distinct_samples is not None for s in self._samplers)
        self.num_distinct_samples = len(self.models) if certain else None
        self.inputs, self.outputs = signature_of(self.models[0])
        signatures = [_outline(signature_of(model)) for model in self.models]
        for other in signatures:
            if other != signatures[0]:
                raise ValueError(
                    "Argument `model` must be a list of models with the same inputs and outputs. "
                    f"Received: {signatures[0]} and {other}"
                )

    def draw(self, num_samples, key):
        samples = {"member": _in_turns(len(self.models), num_samples, key)}
        for i, sampler in enumerate(self._samplers):
            drawn = sampler.draw(num_samples, randomness.fold_in(key, i))
            samples |= {f"{i}/{name}": values for name, values in drawn.items()}
        return samples

    def logits(self, x, sample):
        def of_member(i, sampler):
            own = {name: sample[f"{i}/{name}"] for name in sampler.sample_shapes}
            return lambda: sampler.logits(x, own)

        branches = [of_member(i, sampler) for i, sampler in enumerate(self._samplers)]
        return tf.switch_case(sample["member"], branches)


def _in_turns(count, num_samples, key):
    """Returns which of `count` models each sample is of, from a random one on, `(num_samples,)`."""
    offset = tf.random.stateless_uniform((), key, maxval=count, dtype=tf.int32)
    return (offset + tf.range(num_samples)) % count


def as_sampler(model):
    """Returns what draws posterior samples of a model: itself, or a sampler of a Keras model.

    Args:
        model: Something with `draw` and `logits`, a Keras model, the path of a `.keras` file, or a
            list of models or paths, which are equally likely.

    Raises:
        ValueError: If it is none of these, or the models of a list do not fit together.
    """
    if isinstance(model, (list, tuple)):
        models = [_loaded(one) for one in model]
        if not models:
            raise ValueError("Argument `model` must hold at least one model. Received: []")
        first = _shapes(models[0])
        alike = all(_shapes(one) == first for one in models)
        if alike and not any(draws.seed_states(one) for one in models):
            return EnsembleSampler(models)
        return MixtureSampler(models)
    return model if hasattr(model, "draw") else ModelSampler(_loaded(model))


def source_of(model, sampler):
    """Returns what says which likelihood a model has: itself, or a model of what was loaded.

    Args:
        model: As for `as_sampler`.
        sampler: What that returned.
    """
    if not isinstance(model, (list, tuple, str, os.PathLike)):
        return model
    return sampler.models[0] if hasattr(sampler, "models") else sampler.model


def _loaded(model):
    """Returns a Keras model, loaded where a path is given."""
    if isinstance(model, (str, os.PathLike)):
        model = keras.saving.load_model(model, safe_mode=True)
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            "Argument `model` must be a Keras model, a posterior, the path of a `.keras` file, or "
            f"a list of models. Received: {model!r} of type {type(model).__name__}"
        )
    return model


def _shapes(model):
    return [tuple(v.shape) for v in _state(getattr(model, "body", model))]


def _state(model):
    """Variables of a model that decide its outputs: all but the states of seed generators."""
    seeds = {id(state) for state in draws.seed_states(model)}
    return [v for v in model.variables if id(v) not in seeds]


def signature_of(model):
    """Returns the KerasTensors of a model's inputs and outputs, None for those not known.

    A subclassed model has none.
    """
    if isinstance(model, keras.Sequential):
        if not model.built or not model.inputs:
            return None, None
        return model.inputs[0], model.outputs[0]
    try:
        return model.input, model.output
    except (AttributeError, ValueError):  # never called, or no attribute of a subclassed model
        return None, None


def _outline(signature):
    """Returns shapes in place of KerasTensors."""
    return keras.tree.map_structure(lambda x: tuple(x.shape), signature)


def sample_bytes(sampler):
    """Returns the size of one posterior sample, as float32."""
    return 4 * sum(math.prod(shape) for shape in sampler.sample_shapes.values())
