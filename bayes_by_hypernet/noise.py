"""Layers that draw random numbers, and z ~ N(0, I), the input of every hypernetwork (Section 2)."""

import contextlib

import keras
import tensorflow as tf

from bayes_by_hypernet import randomness


class DrawingLayer(keras.layers.Layer):
    """A layer that draws from keys: a new one at each call, or one that is held for it.

    Args:
        seed: Integer or None. An integer makes the sequence of draws repeatable.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._held_key = None

    @contextlib.contextmanager
    def hold(self, key):
        """Context in which every call draws from the stateless `key`: one draw over all batches."""
        before, self._held_key = self._held_key, key
        try:
            yield self
        finally:
            self._held_key = before

    @property
    def is_held(self):
        return self._held_key is not None

    def next_key(self):
        """Returns the key `(2,)` of one call."""
        return self._held_key if self.is_held else randomness.next_key(self.seed_generator)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class AuxiliaryNoise(DrawingLayer):
    """Draws the auxiliary variable z ~ N(0, I) that hypernetworks turn into weights.

    One noise layer that feeds several hypernetwork layers couples their weights (shared noise);
    one noise layer each decouples them (independent noise; Table 2).

    ```
    z = bbh.AuxiliaryNoise()(x)
    outputs = bbh.layers.DenseHypernet(10, num_train_examples=60000)(x, noise=z)
    ```

    Args:
        dim: Integer, at least 1, the number of noise dimensions `d`.
        num_samples: Integer, at least 1, the number of samples `n` of one call.
        seed: Integer or None. An integer makes the sequence of draws repeatable.

    Call arguments:
        inputs: Ignored. Ties the noise into a functional graph.
        num_samples: Integer or scalar tensor, in place of the constructor's.

    Returns:
        Tensor `(num_samples, dim)`.
    """

    def __init__(self, dim=1, num_samples=5, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        if dim < 1:
            raise ValueError(f"Argument `dim` must be at least 1. Received: dim={dim}")
        self.dim = dim
        self.num_samples = _check_num_samples(num_samples)

    def build(self, input_shape=None):
        self.built = True

    def call(self, inputs=None, num_samples=None):
        shape = (self._count(num_samples), self.dim)
        return tf.random.stateless_normal(shape, self.next_key(), dtype=self.compute_dtype)

    def compute_output_spec(self, inputs=None, num_samples=None):
        count = self._count(num_samples)
        count = count if isinstance(count, int) else None
        return keras.KerasTensor((count, self.dim), self.compute_dtype)

    def _count(self, num_samples):
        return self.num_samples if num_samples is None else _check_num_samples(num_samples)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "num_samples": self.num_samples}


def _check_num_samples(num_samples):
    if isinstance(num_samples, int) and num_samples < 1:
        raise ValueError(
            f"Argument `num_samples` must be at least 1. Received: num_samples={num_samples}"
        )
    return num_samples


def find_layers(model, kind):
    """Returns every layer of class `kind` in a Keras model, at any depth, in a fixed order."""
    # Private, and without a public equal: `model.layers` does not go into composite layers, nor
    # TensorFlow's `TrackableView` into a dict of lists of layers.
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def hold_noise(model, key):
    """Context in which each drawing layer inside `model` keeps one draw, which `key` decides."""
    stack = contextlib.ExitStack()
    for index, layer in enumerate(find_layers(model, DrawingLayer)):
        stack.enter_context(layer.hold(randomness.fold_in(key, index)))
    return stack
