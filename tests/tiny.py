"""A network and data small enough that a test trains in a second."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from bayes_by_hypernet.data import Dataset, Examples
from bayes_by_hypernet.layers import BatchNormalization
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.configuration import RunConfig
from bayes_by_hypernet.paper.networks import Network

NUM_CLASSES = 3
SHAPE = (6, 6, 1)
HIDDEN_UNITS = (4, 8)
# Settings that make a method small.
OPTIONS = {"bbh": {"hidden_units": HIDDEN_UNITS}, "ensemble": {"num_members": 2}}


def _make(dropout=True):
    images = keras.Input(SHAPE, name="images")
    x = keras.layers.ReLU()(keras.layers.Conv2D(4, 3, name="conv")(images))
    x = _drop(x, dropout)
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(2, padding="same")(x))
    return keras.Model(images, keras.layers.Dense(NUM_CLASSES, name="dense")(x), name="tiny")


def _maker_of_normalised(shape):
    def make(dropout=True, batch_norm="instance"):
        images = keras.Input(shape, name="images")
        x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(images)
        x = keras.layers.ReLU()(BatchNormalization(batch_norm, name="norm")(x))
        x = keras.layers.Flatten()(_drop(x, dropout))
        return keras.Model(images, keras.layers.Dense(NUM_CLASSES, name="dense")(x))

    return make


def _drop(x, dropout):
    return keras.layers.Dropout(0.5, name="dropout")(x) if dropout else x


NETWORK = Network("tiny", _make, "mnist")
# Takes the crops of 32x32 images in colour.
CROPS = Network("tiny_crops", _maker_of_normalised((24, 24, 3)), "cifar5", "instance")
NORMALISED = Network("tiny_normalised", _maker_of_normalised(SHAPE), "mnist", "instance")


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
