"""
Title: Regression with known and unknown noise
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Tell what the data cannot say from what the network has not learned.
"""

"""
## Data with gaps

A sensor measures a curve between -4 and 4, but not between -1 and 1.5. Its noise grows to the right.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def noise(x):
    return 0.05 + 0.05 * (x + 4)


x = np.concatenate([rng.uniform(-4, -1, 1500), rng.uniform(1.5, 4, 1500)])[:, None]
y = np.sin(x) + noise(x) * rng.normal(size=x.shape)
x, y = x.astype("float32"), y.astype("float32")
grid = np.linspace(-6, 6, 200, dtype="float32")[:, None]


def network(units):
    return keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dense(units),
        ]
    )


"""
## Noise that is known

`Gaussian(stddev)` is the likelihood of a measurement whose noise is known. The network returns the mean.
"""

epochs = 200  # in tests: 2


def fit(likelihood, units):
    model = bbh.bayesify(network(units), "flipout", num_train_examples=len(x), seed=0)
    model.compile(keras.optimizers.Adam(1e-2), likelihood)
    model.fit(x, y, batch_size=200, epochs=epochs, verbose=0)
    return model


known = bbh.likelihoods.Gaussian(0.25)
by_known = bbh.predict(fit(known, units=1), grid, num_samples=200, seed=0)

"""
## Noise that the network has to find

With `Gaussian("learned")` the network has two outputs: the mean, and the logarithm of the noise's
standard deviation. The noise may then depend on the input.
"""

learned = bbh.likelihoods.Gaussian("learned")
model = fit(learned, units=2)
prediction = bbh.predict(model, grid, num_samples=200, seed=0, return_samples=True)
inside = (np.abs(grid[:, 0]) < 4) & ~((grid[:, 0] > -1) & (grid[:, 0] < 1.5))
found = np.sqrt(prediction.aleatoric[inside, 0])
print("mean relative error of the noise:", np.abs(found / noise(grid[inside, 0]) - 1).mean())

"""
## Two kinds of uncertainty

The *aleatoric* part is the noise: it stays, however many data there are. The *epistemic* part is what
the draws of the weights disagree about: it is small where there are data, and grows in the gap and
outside. Their variances add up to the total.
"""

figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for axis, title, answer in (
    (axes[0], "noise known (0.25)", by_known),
    (axes[1], "noise learned", prediction),
):
    mean, total = answer.mean[:, 0], np.sqrt(answer.total[:, 0])
    std = np.sqrt(answer.epistemic[:, 0])
    axis.fill_between(grid[:, 0], mean - 2 * total, mean + 2 * total, alpha=0.2, label="total")
    axis.fill_between(grid[:, 0], mean - 2 * std, mean + 2 * std, alpha=0.4, label="epistemic")
    axis.plot(grid[:, 0], mean)
    axis.plot(x[:, 0], y[:, 0], "k.", markersize=1)
    axis.set(title=title, ylim=(-4, 4), xlabel="x")
axes[0].legend()

"""
## Intervals

`quantile` inverts the predictive distribution, a mixture over the draws, and assumes no shape for it.
On new data from the same source a 90 % interval should hold 90 % of the measurements.
"""

new = np.concatenate([rng.uniform(-4, -1, 1000), rng.uniform(1.5, 4, 1000)])[:, None]
measured = np.sin(new) + noise(new) * rng.normal(size=new.shape)
answer = bbh.predict(model, new.astype("float32"), num_samples=200, seed=0, return_samples=True)
low, high = answer.quantile([0.05, 0.95])
held = np.stack([low[:, 0], high[:, 0]], axis=-1)
print("share within:", bbh.metrics.interval_coverage(held, measured[:, 0]))
print(learned.measures(measured.astype("float32"), answer))
