"""
Title: Make your Keras model Bayesian
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: One line between a network that you have and predictions that say how sure they are.
"""

"""
## A network, as always

The data are small images of digits. Three of the ten classes are kept out: the network will meet them
only after training, as things that it has never seen.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
known = digits < 7
train, test = np.split(np.flatnonzero(known), [900])

network = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(7),
    ]
)

"""
## A posterior over its weights

`bayesify` replaces every weight by a distribution. Here a hypernetwork turns Gaussian noise into the
weights of each layer. `num_train_examples` sets the balance between the data and the prior: the more
examples, the less the prior counts.

The result is a Keras model. Its loss is the negative log-likelihood of the batch plus the divergence of
the posterior from the prior, per example. `KLAnnealing` lets the second part in slowly.
"""

epochs = 100  # in tests: 3
model = bbh.bayesify(network, num_train_examples=len(train), hidden_units=(16, 32), seed=0)
model.compile(bbh.FusedAdam(3e-3), bbh.likelihoods.Categorical(), metrics=["accuracy"])
history = model.fit(
    images[train],
    digits[train],
    batch_size=50,
    epochs=epochs,
    callbacks=[bbh.callbacks.KLAnnealing(start_epoch=0.2 * epochs, num_epochs=0.3 * epochs)],
    verbose=0,
)
print({name: round(values[-1], 3) for name, values in history.history.items()})

"""
## Predict, and ask how sure

`bbh.predict` averages over draws of all the weights. The entropy of that average is the whole
uncertainty. The mutual information is the part on which the draws disagree, which more data would
reduce.
"""

seen = bbh.predict(model, images[test], num_samples=100, seed=0)
unseen = bbh.predict(model, images[~known], num_samples=100, seed=0)
error = bbh.metrics.error_percent(seen.mean, digits[test])
print(f"error on digits 0 to 6: {error:.1f} %")
for name, prediction in (("0 to 6", seen), ("7 to 9", unseen)):
    print(
        f"digits {name}: entropy {prediction.entropy.mean():.2f} nats, "
        f"mutual information {prediction.mutual_information.mean():.2f} nats"
    )
auroc = bbh.metrics.outlier_auroc(seen.entropy, unseen.entropy)
print(f"AUROC of the entropy for digits never seen: {auroc:.3f}")

figure, axis = plt.subplots(figsize=(6, 3))
bins = np.linspace(0, np.log(7), 30)
axis.hist(seen.entropy, bins, density=True, alpha=0.6, label="digits 0 to 6")
axis.hist(unseen.entropy, bins, density=True, alpha=0.6, label="digits 7 to 9, never seen")
axis.set(xlabel="entropy of the prediction [nats]", ylabel="density")
axis.legend()

"""
The network is sure of most digits that it knows, and unsure of most that it does not.

## Keep it

The model is saved and loaded as any Keras model. `bbh.export` makes a SavedModel that needs TensorFlow
alone: see [the tutorial on serving](serving.md).
"""

import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.keras")
    model.save(path)
    again = bbh.predict(keras.models.load_model(path), images[test], num_samples=100, seed=0)
print("largest difference after reloading:", np.abs(again.mean - seen.mean).max())
