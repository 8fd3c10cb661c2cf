"""Layers of multiplicative normalising flows, and inputs for them, for tests."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.layers.mnf import Conv2DMNF, DenseMNF

N = 40
KEY = tf.constant([5, 6], tf.int32)
IMAGES = np.random.default_rng(0).uniform(size=(12, 6, 6, 2)).astype(np.float32)
FLAT = IMAGES.reshape(12, 72)
LABELS = np.random.default_rng(1).integers(0, 3, 12)
NLL = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LAYERS = {  # name: class, its arguments, inputs
    "dense": (DenseMNF, (3,), FLAT),
    "conv": (Conv2DMNF, (3, 2), IMAGES),
}
AUXILIARY = ("aux_input_weights", "aux_mean_weights", "aux_log_precision_weights")
each_layer = pytest.mark.parametrize("kind", LAYERS)


def make(kind, *args, **kwargs):
    """A built layer and its inputs."""
    cls, default_args, inputs = LAYERS[kind]
    layer = cls(*(args or default_args), **{"num_train_examples": N, **kwargs})
    layer.build(inputs.shape)
    return layer, inputs


def assign(layer, **values):
    """Gives variables values that broadcast to them."""
    for name, value in values.items():
        variable = getattr(layer, name)
        variable.assign(np.broadcast_to(value, variable.shape))


def scale_only(flow, g):
    """Makes `z' = g z` of what every step of a flow moves; 1: the identity."""
    for shift, scale in zip(flow.shift, flow.scale, strict=True):
        for variable in (*shift.trainable_variables, scale.kernel):
            variable.assign(tf.zeros_like(variable))
        # In float32 sigmoid(40) is 1, and its logarithm 4e-18.
        scale.bias.assign(tf.fill(scale.bias.shape, 40.0 if g == 1 else np.log(g / (1 - g))))


def kl_draws(layer, num_draws=3000):
    """Mean and standard error of `layer.kl` over keys."""

    @tf.function
    def draw():
        keys = randomness.split(KEY, num_draws)
        return tf.map_fn(layer.kl, keys, fn_output_signature=tf.float32)

    kl = draw().numpy().astype(np.float64)
    return kl.mean(), kl.std() / np.sqrt(num_draws)


def means_of(layer):
    return layer.kernel_mean.numpy(), layer.bias_mean.numpy()


def patches(images, kernel_size):
    """`(positions, kernel_size^2 * channels)` of the first image, in the kernel's order."""
    sizes = [1, kernel_size, kernel_size, 1]
    found = tf.image.extract_patches(images[:1], sizes, [1] * 4, [1] * 4, "VALID")
    return tf.reshape(found, (-1, found.shape[-1])).numpy()
