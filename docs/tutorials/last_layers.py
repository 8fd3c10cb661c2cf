"""
Title: A pretrained network, last layers only
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: Keep the features that a network has learned; make what decides on them Bayesian.
"""

"""
## A network that somebody has trained

It tells the digits 0 to 4 apart. In practice this would be `keras.applications.ResNet50`.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

epochs = 30  # in tests: 1
inputs = keras.Input((8, 8, 1))
features = keras.layers.Conv2D(32, 3, activation="relu", name="conv")(inputs)
features = keras.layers.Flatten(name="flat")(features)
features = keras.layers.Dense(64, activation="relu", name="features")(features)
pretrained = keras.Model(inputs, keras.layers.Dense(5, name="head")(features))
pretrained.compile("adam", loss)
first = digits < 5
pretrained.fit(images[first], digits[first], epochs=epochs, verbose=0)

"""
## A new task, and few data

Sixty images of the digits 5 to 9. The layers up to `features` are frozen, a new head goes on top, and
`include` says that only the head gets a posterior. Everything else stays as it is.
"""

second = np.flatnonzero(~first)
few, rest = second[:60], second[60:]
base = keras.Model(pretrained.input, pretrained.get_layer("features").output)
base.trainable = False


def with_head():
    return keras.Model(base.input, keras.layers.Dense(5, name="new_head")(base.output))


steps = 600  # in tests: 2
model = bbh.bayesify(
    with_head(), "flipout", num_train_examples=len(few), include="new_head", seed=0
)
model.compile(keras.optimizers.Adam(1e-2), loss)
model.fit(images[few], digits[few] - 5, batch_size=60, epochs=steps, verbose=0)

plain = with_head()
plain.compile(keras.optimizers.Adam(3e-3), loss)
plain.fit(images[few], digits[few] - 5, batch_size=60, epochs=steps, verbose=0)

"""
## What it is good for

Both make about as many errors. The point head is too certain: it knows sixty images, and speaks as if it knew
thousands. The posterior averages over the heads that explain the sixty images, and its probabilities say better
how many errors to expect: compare the negative log-likelihood and the calibration error (ECE).
"""

labels = digits[rest] - 5
bayesian = bbh.predict(model, images[rest], num_samples=200, seed=0).mean
point = keras.ops.softmax(plain.predict(images[rest], verbose=0)).numpy()
for name, probs in (("point", point), ("posterior over the head", bayesian)):
    print(
        f"{name}: error {bbh.metrics.error_percent(probs, labels):.1f} %, "
        f"NLL {bbh.metrics.negative_log_likelihood(probs, labels):.3f} nats, "
        f"ECE {bbh.metrics.expected_calibration_error(probs, labels):.3f}"
    )

"""
## All layers, from where they are

`pretrained=True` puts the prior around the values that the layers have: the hypernetworks start near
zero and generate the change. A network of any size can be started from so.
"""

whole = keras.models.clone_model(pretrained)
whole.set_weights(pretrained.get_weights())
around = bbh.bayesify(
    whole, num_train_examples=int(first.sum()), pretrained=True, hidden_units=(8, 16), seed=0
)
before = pretrained.predict(images[first], verbose=0).argmax(axis=1)
after = bbh.predict(around, images[first], num_samples=20, seed=0).mean.argmax(axis=1)
print("share of equal answers before any training:", (before == after).mean())
