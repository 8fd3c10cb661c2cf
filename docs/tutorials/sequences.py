"""
Title: Sequences: how sure after each step
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: A recurrent network reads a digit row by row, and says after each row what it believes.
"""

"""
## Digits, row by row

An image of a digit is a sequence of eight rows. The network has to name the digit after every row: at
first it cannot know, and its uncertainty should say so.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
rows = (images / 16).astype("float32").reshape(-1, 8, 8)  # (digits, rows, pixels)
labels = np.repeat(digits[:, None], 8, axis=1)  # the same after every row
train, test = np.split(np.random.default_rng(0).permutation(len(rows)), [1300])

"""
## A posterior over an LSTM

`bayesify` takes any layer, and a draw holds for the whole sequence: the same weights read every row.
The outputs have a time axis, `(digits, rows, classes)`, and the likelihood counts every row.
"""

epochs = 60  # in tests: 1
inputs = keras.Input((8, 8))
hidden = keras.layers.LSTM(32, return_sequences=True)(inputs)
network = keras.Model(inputs, keras.layers.Dense(10)(hidden))
model = bbh.bayesify(network, num_train_examples=len(train), hidden_units=(16, 32), seed=0)
model.compile(bbh.FusedAdam(3e-3), bbh.likelihoods.Categorical())
model.fit(rows[train], labels[train], batch_size=50, epochs=epochs, verbose=0)

prediction = bbh.predict(model, rows[test], num_samples=50, seed=0)
error = 100 * (prediction.mean.argmax(axis=-1) != labels[test]).mean(axis=0)
for row in range(8):
    print(
        f"after row {row + 1}: error {error[row]:5.1f} %, "
        f"entropy {prediction.entropy[:, row].mean():.2f} nats"
    )

"""
## Uncertainty that falls as evidence comes in
"""

figure, axes = plt.subplots(1, 2, figsize=(8, 3))
steps = np.arange(1, 9)
axes[0].plot(steps, prediction.total.mean(axis=0), label="total")
axes[0].plot(steps, prediction.aleatoric.mean(axis=0), label="aleatoric")
axes[0].plot(steps, prediction.epistemic.mean(axis=0), label="epistemic")
axes[0].set(xlabel="rows read", ylabel="mean uncertainty [nats]")
axes[0].legend()
axes[1].plot(steps, error)
axes[1].set(xlabel="rows read", ylabel="error [%]", ylim=(0, None))
figure.tight_layout()
