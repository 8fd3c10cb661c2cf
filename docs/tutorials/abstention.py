"""
Title: Outliers, and saying 'I don't know'
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Find what the network was not trained for, and hand over what is too risky.
"""

"""
## Known and unknown digits

The network learns the digits 0 to 6. The digits 7 to 9 come later, unasked.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
x = (images / 16).astype("float32")
known = np.random.default_rng(0).permutation(np.flatnonzero(digits < 7))
train, held_out, test = np.split(known, [100, 700])
outliers = np.flatnonzero(digits >= 7)

epochs = 80  # in tests: 2
network = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(7)]
)
model = bbh.bayesify(network, "flipout", num_train_examples=len(train), seed=0)
model.compile(keras.optimizers.Adam(1e-2), bbh.likelihoods.Categorical())
model.fit(x[train], digits[train], batch_size=50, epochs=epochs, verbose=0)

"""
## Which score finds outliers?

Entropy and mutual information answer different questions. Compare them on data that look like those to
come.
"""


def predict(indices):
    return bbh.predict(model, x[indices], num_samples=100, seed=0)


inside, outside = predict(test), predict(outliers)
for name in ("entropy", "mutual_information"):
    auroc = bbh.metrics.outlier_auroc(getattr(inside, name), getattr(outside, name))
    fpr = bbh.metrics.outlier_fpr(getattr(inside, name), getattr(outside, name))
    print(f"{name}: AUROC {auroc:.3f}, false alarms at 95 % of the outliers {fpr:.3f}")

"""
## A target risk

Of the digits that the model answers, at most 3 % may be wrong. `fit_abstention` finds the threshold on
held-out data. With `delta` the promise is about digits to come: it fails with a probability of at most 10 %, over
draws of the held-out data.
"""

held = predict(held_out)
wrong = held.mean.argmax(axis=1) != digits[held_out]
rule = bbh.decisions.fit_abstention(held.entropy, wrong, risk=0.03, delta=0.1)
print(rule)

answered = ~rule.abstain(inside.entropy)
mistakes = inside.mean.argmax(axis=1) != digits[test]
print(f"answers {100 * answered.mean():.1f} % of the test digits")
print(f"error: all {100 * mistakes.mean():.2f} %, answered {100 * mistakes[answered].mean():.2f} %")
print(f"answers {100 * (~rule.abstain(outside.entropy)).mean():.1f} % of the outliers")

"""
## Every risk at once

The risk-coverage curve shows what is left of the error when the most uncertain digits are handed over.
"""

order = np.argsort(inside.entropy)
risk = np.cumsum(mistakes[order]) / np.arange(1, len(order) + 1)
figure, axis = plt.subplots(figsize=(5, 3))
axis.plot(np.arange(1, len(order) + 1) / len(order), 100 * risk)
axis.set(xlabel="share answered", ylabel="error of the answers [%]")
aurc = bbh.metrics.aurc(inside.entropy, mistakes)
print(f"area under the curve: {aurc:.5f}")
