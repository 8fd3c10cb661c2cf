"""
Title: Segmentation: where in the image
Author: The Bayes by Hypernet developers
Date created: 2026/11/28
Last modified: 2026/11/28
Description: A class for every pixel, and an uncertainty for every pixel.
"""

"""
## Two digits in one image

Every image shows two digits side by side, with noise. Each pixel belongs to the background or to a
class of digits.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import bayes_by_hypernet as bbh

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
images, digits = load_digits(n_class=5, return_X_y=True)
images = (images / 16).astype("float32").reshape(-1, 8, 8)
background = 5


def scenes(indices, num):
    chosen = rng.choice(indices, (num, 2))
    x = np.concatenate([images[chosen[:, 0]], images[chosen[:, 1]]], axis=2)  # (num, 8, 16)
    classes = np.repeat(digits[chosen], 8, axis=1)[:, None, :]
    y = np.where(x > 0.3, classes, background)
    x = x + rng.normal(scale=0.1, size=x.shape)
    return x[..., None].astype("float32"), y


train, test = np.split(rng.permutation(len(images)), [700])
x, y = scenes(train, 2000)
x_test, y_test = scenes(test, 300)

"""
## Fit

The network is fully convolutional. The posterior is a Gaussian for each weight.
"""

epochs = 20  # in tests: 1
layers = [keras.layers.Conv2D(24, 3, padding="same", activation="relu") for _ in range(3)]
network = keras.Sequential(
    [
        keras.Input((8, 16, 1)),
        *layers,
        keras.layers.Conv2D(24, 5, padding="same", activation="relu"),
        keras.layers.Conv2D(6, 1),
    ]
)
model = bbh.bayesify(network, "mean_field", num_train_examples=len(x), seed=0)
model.compile(keras.optimizers.Adam(5e-3), bbh.likelihoods.Categorical())
model.fit(x, y, batch_size=50, epochs=epochs, verbose=0)

prediction = bbh.predict(model, x_test, num_samples=30, seed=0)
ink = y_test != background
wrong = prediction.mean.argmax(axis=-1) != y_test
print(f"error: all pixels {100 * wrong.mean():.1f} %, ink {100 * wrong[ink].mean():.1f} %")
print("one number for each image:", prediction.averaged["total"].shape)

"""
## Is the model unsure where it is wrong?

Of two pixels, one wrong and one right, the wrong one should have the higher entropy. The area under
the curve is the share of pairs in which it has.
"""

auroc = bbh.metrics.outlier_auroc(prediction.entropy[~wrong], prediction.entropy[wrong])
print(f"AUROC of the entropy for wrong pixels: {auroc:.3f}")

worst = np.argsort(prediction.averaged["total"])[-3:]
figure, axes = plt.subplots(3, 3, figsize=(8, 4.5))
for row, index in enumerate(worst):
    shown = (x_test[index, ..., 0], wrong[index], prediction.entropy[index])
    for axis, picture, title in zip(
        axes[row], shown, ("image", "wrong pixels", "entropy"), strict=True
    ):
        axis.imshow(picture, cmap="gray" if title == "image" else "viridis")
        axis.set_axis_off()
        axis.set_title(title if row == 0 else "")
