"""
Title: Bayesian neural networks in Keras 3
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Point weights, a posterior over the weights, and a learned noise, on a real regression.
"""

"""
## Three models of one data set

The data are of 442 patients with diabetes: ten measurements, and how far the illness had come a year
later. A network with point weights gives one number. A Bayesian network gives a distribution over
numbers, since its weights have one. A *probabilistic* Bayesian network predicts the noise of the
measurement as well.

All of this is Keras 3: ordinary layers, `compile` and `fit`, mixed precision included.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
x, y = load_diabetes(return_X_y=True)
order = np.random.default_rng(0).permutation(len(x))
train, test = order[:300], order[300:]
mean, std = x[train].mean(axis=0), x[train].std(axis=0)
x = ((x - mean) / std).astype("float32")
y_mean, y_std = y[train].mean(), y[train].std()
y = ((y - y_mean) / y_std)[:, None].astype("float32")


def network(units):
    return keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(units),
        ]
    )


epochs = 200  # in tests: 2

"""
## Experiment 1: point weights
"""

point = network(1)
point.compile(keras.optimizers.Adam(3e-3), "mse")
point.fit(x[train], y[train], batch_size=50, epochs=epochs, verbose=0)


def rmse(predicted):
    return y_std * np.sqrt(np.mean((predicted - y[test]) ** 2))


print(f"RMSE of the point network: {rmse(point.predict(x[test], verbose=0)):.1f}")

"""
## Experiment 2: a Bayesian network

The same network, and a Gaussian posterior over its weights. The noise of the data is one number that
`LearnedStddev` learns with the weights.
"""

body = network(1)
body.add(bbh.layers.LearnedStddev())
bayesian = bbh.bayesify(body, "mean_field", num_train_examples=len(train), seed=0)
learned = bbh.likelihoods.Gaussian("learned")
bayesian.compile(keras.optimizers.Adam(1e-2), learned)
bayesian.fit(x[train], y[train], batch_size=50, epochs=epochs, verbose=0)
prediction = bbh.predict(bayesian, x[test], num_samples=200, seed=0, return_samples=True)
print(f"RMSE of the Bayesian network: {rmse(prediction.mean):.1f}")
print(f"noise: {y_std * np.sqrt(prediction.aleatoric.mean()):.1f}")

"""
Ten patients of the test set, with what the network knows about each:
"""

for i in range(10):
    print(
        f"predicted {y_mean + y_std * prediction.mean[i, 0]:5.0f}, "
        f"epistemic +- {y_std * np.sqrt(prediction.epistemic[i, 0]):4.1f}, "
        f"observation +- {y_std * np.sqrt(prediction.total[i, 0]):4.1f}, "
        f"measured {y_mean + y_std * y[test][i, 0]:4.0f}"
    )

"""
## Experiment 3: a probabilistic Bayesian network

Two outputs: the mean, and the logarithm of the noise's standard deviation, which may differ between
patients.
"""

probabilistic = bbh.bayesify(network(2), "mean_field", num_train_examples=len(train), seed=0)
probabilistic.compile(keras.optimizers.Adam(1e-2), learned)
probabilistic.fit(x[train], y[train], batch_size=50, epochs=epochs, verbose=0)
both = bbh.predict(probabilistic, x[test], num_samples=200, seed=0, return_samples=True)
for name, answer in (("one noise", prediction), ("noise of each patient", both)):
    low, high = answer.quantile([0.05, 0.95])
    held = np.stack([low[:, 0], high[:, 0]], axis=-1)
    coverage = bbh.metrics.interval_coverage(held, y[test][:, 0])
    measures = {
        key: round(float(value), 3) for key, value in learned.measures(y[test], answer).items()
    }
    print(f"{name}: {measures}, share in the 90 % interval {coverage:.2f}")

figure, axis = plt.subplots(figsize=(6, 3.5))
by_size = np.argsort(both.mean[:, 0])
places = np.arange(len(by_size))
centre, width = both.mean[by_size, 0], 1.645 * np.sqrt(both.total[by_size, 0])
axis.fill_between(
    places,
    y_mean + y_std * (centre - width),
    y_mean + y_std * (centre + width),
    alpha=0.3,
    label="90 % interval",
)
axis.plot(places, y_mean + y_std * centre, label="mean")
axis.plot(places, y_mean + y_std * y[test][by_size, 0], "k.", markersize=3, label="measured")
axis.set(xlabel="patients of the test set, by predicted value", ylabel="progression")
axis.legend()

"""
## Other posteriors

`method=` exchanges the posterior: `"flipout"` for the same Gaussians with noise of each example's own, `"mnf"`
for normalising flows, `"hypernet"` for weights that a hypernetwork makes of noise, `"dropout"`, `"map"`. Nothing
else changes. (Hypernetworks and a noise that depends on the input do not go well together with ReLU units: their
draws have heavy tails, and the exponential of the second output makes them heavier.)
"""

for method in ("flipout", "mnf"):
    model = bbh.bayesify(network(2), method, num_train_examples=len(train), seed=0)
    model.compile(keras.optimizers.Adam(1e-2), learned)
    model.fit(x[train], y[train], batch_size=50, epochs=epochs, verbose=0)
    answer = bbh.predict(model, x[test], num_samples=200, seed=0)
    print(method, {k: round(float(v), 3) for k, v in learned.measures(y[test], answer).items()})
