"""
Title: Serve a posterior
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: A SavedModel that draws its own samples, says how sure it is, and hands over what is too risky.
"""

"""
## A model to serve
"""

import pathlib
import re
import tempfile

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
images, digits = load_digits(return_X_y=True)
x = (images / 16).astype("float32")
train, held_out, test = np.split(np.random.default_rng(0).permutation(len(x)), [700, 1200])

epochs = 60  # in tests: 2
network = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
)
model = bbh.bayesify(network, num_train_examples=len(train), hidden_units=(16, 32), seed=0)
model.compile(bbh.FusedAdam(3e-3), bbh.likelihoods.Categorical())
model.fit(x[train], digits[train], batch_size=50, epochs=epochs, verbose=0)

"""
## When to hand over to a person

The threshold on the entropy is chosen on held-out data, so that at most 2 % of the answers are wrong.
The exported model carries it.
"""

held = bbh.predict(model, x[held_out], num_samples=100, seed=0)
wrong = held.mean.argmax(axis=1) != digits[held_out]
rule = bbh.decisions.fit_abstention(held.entropy, wrong, risk=0.02)
print(rule)

folder = tempfile.TemporaryDirectory()
version = pathlib.Path(folder.name, "digits", "1")  # servers look for numbered folders
bbh.export(model, version, input_range=(0, 1), abstention=rule)
print(sorted(path.name for path in version.iterdir()))

"""
## Ask it

`serve` takes inputs and a number of posterior samples, `serving_default` the inputs alone. TensorFlow
is enough to load it. Every call draws anew.
"""

served = tf.saved_model.load(version)
answer = served.serve(x[test], num_samples=tf.constant(100))
for name in sorted(answer):
    print(name, tuple(answer[name].shape), answer[name].dtype.name)

abstains = answer["abstain"].numpy()
mistakes = answer["mean"].numpy().argmax(axis=1) != digits[test]
print(f"answers {100 * (~abstains).mean():.1f} % of the test digits")
print(
    f"error: all {100 * mistakes.mean():.2f} %, answered {100 * mistakes[~abstains].mean():.2f} %"
)

"""
## What it refuses

Pixels outside the range that was named, NaN, and fewer than one sample are errors. A server passes
their sentences on.
"""

for bad in (x[:1] + 2, np.full((1, 64), np.nan, "float32")):
    try:
        served.serve(bad, num_samples=tf.constant(10))
    except tf.errors.InvalidArgumentError as error:
        print(re.search(r"assertion failed: \[(.*?)\] \[", error.message)[1])

del served
folder.cleanup()
