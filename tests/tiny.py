"""A network and data small enough that a test trains in a second."""

import dataclasses

import numpy as np
import tensorflow as tf
from keras import layers as keras_layers

from bayes_by_hypernet.data import Dataset, Examples
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.configuration import RunConfig
from bayes_by_hypernet.paper.methods.keras_method import PointFamily
from bayes_by_hypernet.paper.networks import Network

NUM_CLASSES = 3
SHAPE = (6, 6, 1)
HIDDEN_UNITS = (4, 8)
# Settings that make a method small.
OPTIONS = {"bbh": {"hidden_units": HIDDEN_UNITS}, "ensemble": {"num_members": 2}}


def _apply(layers, images, num_outputs):
    x = keras_layers.ReLU()(layers.conv2d(images, 4, 3, name="conv"))
    x = layers.dropout(x, name="dropout")
    x = keras_layers.Flatten()(keras_layers.MaxPooling2D(2, padding="same")(x))
    return layers.dense(x, num_outputs, name="dense")


def _apply_normalised(layers, images, num_outputs, batch_norm):
    x = layers.conv2d(images, 4, 3, padding="same", name="conv")
    x = keras_layers.ReLU()(layers.batch_norm(x, batch_norm, name="norm"))
    x = layers.dropout(x, name="dropout")
    return layers.dense(keras_layers.Flatten()(x), num_outputs, name="dense")


NETWORK = Network("tiny", _apply, SHAPE, NUM_CLASSES, "mnist")
# Takes the crops of 32x32 images in colour.
CROPS = Network("tiny_crops", _apply_normalised, (24, 24, 3), NUM_CLASSES, "cifar5", "instance")
NORMALISED = Network("tiny_normalised", _apply_normalised, SHAPE, NUM_CLASSES, "mnist", "instance")


class DropoutRecorder(PointFamily):
    """Notes the shapes of what enters each place for dropout."""

    def __init__(self):
        self.dropped = {}

    def dropout(self, inputs, name=None):
        self.dropped[name] = tuple(inputs.shape[1:])
        return inputs


def examples(num, seed=0):
    """Images whose brightest third decides the class, so that training has something to learn."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, NUM_CLASSES, num)
    images = rng.uniform(0, 0.5, (num, *SHAPE)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 0.5
    return Examples(images, labels)


def dataset(num=60):
    outliers = np.random.default_rng(9).uniform(0, 1, (num, *SHAPE)).astype(np.float32)
    return Dataset(
        "mnist", "notmnist", NUM_CLASSES, examples(num), examples(30, 1), examples(30, 2), outliers
    )


def method(name="bbh", network=NETWORK, **options):
    cls = methods.get(name)
    return cls(network, cls.Options(**{**OPTIONS.get(name, {}), **options}))


def two_logical_cpus():
    """Makes TensorFlow see two CPUs; before it runs anything."""
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])


def config(method="bbh", network="tiny", **settings):
    """A `RunConfig` on a network that `networks.NETWORKS` must hold by then."""
    options = {**OPTIONS.get(method, {}), **settings.pop("options", {})}
    plan = RunConfig(
        network=network,
        method=method,
        dataset="mnist",
        outlier_dataset="notmnist",
        protocol="quick",
        epochs=2,
        batch_size=10,
        learning_rate=1e-2,
        annealing_start_epoch=0.5,
        annealing_epochs=1.0,
        temperature=1.0,
        seed=3,
        num_predictive_samples=6,
        max_train_examples=None,
        batch_norm=None,
        options=dataclasses.asdict(
            methods.get(method).Options(**options),
        ),
    )
    return dataclasses.replace(plan, **settings)
