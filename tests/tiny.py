"""A network and data small enough that a test trains in a second."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from bayes_by_hypernet.data import Dataset, Examples
from bayes_by_hypernet.layers import BatchNormalization
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.configuration import RunConfig
from bayes_by_hypernet.paper.networks import Network
from bayes_by_hypernet.paper.networks.base import initializer

NUM_CLASSES = 3
SHAPE = (6, 6, 1)
HIDDEN_UNITS = (4, 8)
# Settings that make a method small.
OPTIONS = {"bbh": {"hidden_units": HIDDEN_UNITS}, "ensemble": {"num_members": 2}}


def tiny(input_shape=SHAPE, num_classes=NUM_CLASSES, dropout=True):
    """Returns a convolution and a dense layer, 91 weights."""
    images = keras.Input(input_shape, name="images")
    x = layers.ReLU()(layers.Conv2D(4, 3, kernel_initializer=initializer(), name="conv")(images))
    if dropout:
        x = layers.Dropout(0.5, name="dropout")(x)
    x = layers.Flatten()(layers.MaxPooling2D(2, padding="same")(x))
    x = layers.Dense(num_classes, kernel_initializer=initializer(), name="dense")(x)
    return keras.Model(images, x, name="tiny")


def normalised(input_shape=SHAPE, num_classes=NUM_CLASSES, batch_norm="instance", dropout=True):
    """Returns the same with a normalisation, and without pooling."""
    images = keras.Input(input_shape, name="images")
    settings = {"padding": "same", "kernel_initializer": initializer(), "name": "conv"}
    x = layers.Conv2D(4, 3, **settings)(images)
    x = layers.ReLU()(BatchNormalization(batch_norm, name="norm")(x))
    if dropout:
        x = layers.Dropout(0.5, name="dropout")(x)
    dense = layers.Dense(num_classes, kernel_initializer=initializer(), name="dense")
    x = dense(layers.Flatten()(x))
    return keras.Model(images, x, name="normalised")


def crops(batch_norm="instance", dropout=True):
    """Returns the same for the crops of 32x32 images in colour."""
    return normalised((24, 24, 3), batch_norm=batch_norm, dropout=dropout)


NETWORK = Network("tiny", tiny, "mnist")
CROPS = Network("tiny_crops", crops, "cifar5", "instance")
NORMALISED = Network("tiny_normalised", normalised, "mnist", "instance")


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


def method(name="bbh", network=NETWORK, seed=None, prediction_batch_size=None, **options):
    cls = methods.get(name)
    options = cls.Options(**{**OPTIONS.get(name, {}), **options})
    return cls(network, options, seed, prediction_batch_size)


def member(name="bbh", network=NETWORK, **options):
    """The `BayesianModel` of a method, the first of an ensemble."""
    return next(iter(method(name, network, **options).members.values()))


def dropped(model):
    """Shapes of what enters each `Dropout` layer of a Keras model, by its name."""
    return {
        layer.name: tuple(layer.input.shape[1:])
        for layer in model.layers
        if isinstance(layer, layers.Dropout)
    }


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
