"""
Title: Add a method of your own
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: A layer that draws, a name for bayesify, and the whole library works with it.
"""

"""
## The method

Gaussian dropout multiplies units by Gaussian noise, where MC-dropout sets them to zero (Srivastava et
al., 2014). It needs a layer that draws the noise, and a function that puts the layer into a model.

A `DrawingLayer` gets a key for every pass from `next_key`, so that seeds repeat its draws and threads
do not disturb each other. In a *posterior sample*, as `bbh.predict` draws them, the noise holds for all
inputs.
"""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import bayes_by_hypernet as bbh
from bayes_by_hypernet import draws, models


@keras.saving.register_keras_serializable(package="tutorial")
class GaussianDropout(draws.DrawingLayer):
    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs):
        shape = tf.shape(inputs)
        if draws.current().is_sample:
            shape = tf.concat([[1], shape[1:]], axis=0)
        stddev = (self.rate / (1 - self.rate)) ** 0.5
        return inputs * tf.random.stateless_normal(shape, self.next_key(), 1.0, stddev)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


"""
## Its name

`register` makes it known to `bayesify`. The function gets the model and the settings that every method
has, and its own options by keyword. `replace_layers` exchanges layers and keeps their weights.
"""


@models.register("tutorial_gaussian_dropout")
def gaussian_dropout(model, settings, selection, rate=0.5, prior_stddev=1.0):
    def convert(layer):
        is_dropout = isinstance(layer, keras.layers.Dropout)
        return GaussianDropout(rate, name=layer.name) if is_dropout else layer

    body = models.replace_layers(model, convert)
    return models.BayesianModel(body, weight_decay_stddev=prior_stddev, **settings)


"""
## Use it

Fit, predict, save and export know nothing of the method, and work.
"""

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
x = (images / 16).astype("float32")
train, test = np.split(np.random.default_rng(0).permutation(len(x)), [1000])

epochs = 40  # in tests: 1
for method in ("dropout", "tutorial_gaussian_dropout"):
    network = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10),
        ]
    )
    model = bbh.bayesify(network, method, num_train_examples=len(train), seed=0)
    model.compile(keras.optimizers.Adam(3e-3), bbh.likelihoods.Categorical())
    model.fit(x[train], digits[train], batch_size=50, epochs=epochs, verbose=0)
    prediction = bbh.predict(model, x[test], num_samples=50, seed=0)
    print(
        f"{method}: error {bbh.metrics.error_percent(prediction.mean, digits[test]):.1f} %, "
        f"mutual information {prediction.mutual_information.mean():.3f} nats"
    )

"""
CONTRIBUTING.md shows the third step: how the launchers train such a method and put it beside the
paper's.
"""
