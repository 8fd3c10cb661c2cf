"""The embedded set in colour: the digits 0 to 4 as CIFAR-5's stand-in, 5 to 9 as outliers.

The images of `embedded`, padded to 32x32 pixels, in a random colour on a background that changes
from one random colour to another. Sizes are CIFAR-5's; nothing else is like it.
"""

import math

import numpy as np

from bayes_by_hypernet.data import embedded
from bayes_by_hypernet.data.examples import Dataset, Examples

NAME = "embedded_colour"
OUTLIER_NAME = "embedded_colour_5_to_9"
NUM_CLASSES = 5
NUM_TRAIN = 25000
IMAGE_SIZE = 32
_MIN_CONTRAST = 0.4  # of every channel, between digit and background


def load(seed=embedded.DEFAULT_SEED):
    """Returns the set, a function of `seed` and of what `embedded.load` depends on.

    Args:
        seed: Integer, at least 0.

    Returns:
        `Dataset` of 32x32x3 images with five classes: 25,000 for training, about 5,000 for testing
        and as many outliers; none for validation, as CIFAR-5.
    """
    grey = embedded.load(seed=seed)
    rng = np.random.default_rng([seed, 5])
    first, rest = (grey.test.labels < NUM_CLASSES), (grey.test.labels >= NUM_CLASSES)
    kept = np.flatnonzero(grey.train.labels < NUM_CLASSES)[:NUM_TRAIN]
    return Dataset(
        name=NAME,
        outlier_name=OUTLIER_NAME,
        num_classes=NUM_CLASSES,
        train=Examples(_coloured(rng, grey.train.images[kept]), grey.train.labels[kept]),
        validation=None,
        test=Examples(_coloured(rng, grey.test.images[first]), grey.test.labels[first]),
        outliers=_coloured(rng, grey.test.images[rest]),
    )


def _coloured(rng, masks):
    """Returns `(N, 32, 32, 3)` float32 images of masks `(N, height, width, 1)`."""
    margin = (IMAGE_SIZE - embedded.IMAGE_SIZE) // 2
    masks = np.pad(masks, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
    count = len(masks)
    # Bright on dark or dark on bright: a digit must be legible whatever its hue.
    sign = rng.choice(np.float32([-1, 1]), (count, 1))
    digit, start, end = (0.5 + s * _colours(rng, count) for s in (sign, -sign, -sign))
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1)).astype(np.float32)
    axis = np.linspace(-0.5, 0.5, IMAGE_SIZE, dtype=np.float32)
    along = np.sin(angle) * axis[:, None] + np.cos(angle) * axis  # (N, 32, 32)
    share = np.clip(along / math.sqrt(2) + 0.5, 0, 1)[..., None]
    images = start[:, None, None] * (1 - share) + end[:, None, None] * share
    images += masks * (digit[:, None, None] - images)
    return np.clip(images, 0, 1, out=images)


def _colours(rng, count):
    """Random distances of red, green and blue from medium grey, `(count, 3)`."""
    return rng.uniform(_MIN_CONTRAST / 2, 0.5, (count, 3)).astype(np.float32)
