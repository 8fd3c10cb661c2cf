"""
Title: Yesterday's posterior as today's prior
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Learn from data in parts: what the first part taught becomes the prior of the second.
"""

"""
## Why

A posterior says what is known after some data. Bayes' rule makes it the prior of the next data: the
second training needs the first posterior and not the first data.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
x = (images / 16).astype("float32")
order = np.random.default_rng(0).permutation(len(x))
first, second, test = np.split(order, [600, 640])


def network():
    return keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    )


epochs = 60  # in tests: 1


def fit(model, indices, epochs=epochs):
    model.compile(bbh.FusedAdam(3e-3), bbh.likelihoods.Categorical())
    model.fit(x[indices], digits[indices], batch_size=40, epochs=epochs, verbose=0)
    return model


def report(name, model):
    probs = bbh.predict(model, x[test], num_samples=100, seed=0).mean
    measures = bbh.metrics.error_percent(probs, digits[test])
    nll = bbh.metrics.negative_log_likelihood(probs, digits[test])
    print(f"{name}: error {measures:.1f} %, NLL {nll:.3f} nats")


"""
## The first posterior

A Gaussian for each weight, fitted to 600 images.
"""

yesterday = fit(bbh.bayesify(network(), "mean_field", num_train_examples=len(first), seed=0), first)
report("600 images", yesterday)

"""
## A prior from it

`pretrained=True` centres the prior at the values that a network has, and the hypernetworks generate the
change. So the network gets the means of the first posterior, and the prior of the change its standard
deviations, both from 200 draws.

A prior is any function of a shape and a seed that returns samples. The tensors of this network have
different shapes, so that the shape tells which tensor is meant.
"""

import tensorflow as tf

from bayes_by_hypernet.posteriors.samplers import as_sampler

draws = as_sampler(yesterday).draw(200, tf.constant([0, 1]))
means = {draw.shape[1:]: tf.reduce_mean(draw, axis=0) for draw in draws.values()}
stddevs = {draw.shape[1:]: tf.math.reduce_std(draw, axis=0) for draw in draws.values()}
start = network()
for variable in start.trainable_variables:
    variable.assign(means[tf.TensorShape(variable.shape)])


def prior(shape, seed):
    return stddevs[tf.TensorShape(shape)[1:]] * tf.random.stateless_normal(shape, seed)


"""
## The second posterior

Eq. 2 of the paper estimates the divergence from samples alone, so that a hypernetwork can be trained
against this prior, although nobody wrote down a formula for it. It sees forty new images.
"""

options = {"num_train_examples": len(second), "hidden_units": (16, 32), "seed": 0}
steps = 600  # in tests: 2
alone = bbh.bayesify(network(), **options)
report("40 images, N(0, 1) prior", fit(alone, second, steps))
today = bbh.bayesify(start, prior=prior, pretrained=True, **options)
report("40 images, yesterday's prior", fit(today, second, steps))

"""
Forty images alone teach little. With yesterday's prior the network keeps nearly all that it knew. It does
not get better: forty images add little to six hundred, and the second posterior is another approximation, which
has its price in the negative log-likelihood.
"""
