"""The toy regression of Figure 1 (Hernandez-Lobato & Adams, 2015): y = x^3 with noise."""

from typing import NamedTuple

import numpy as np

from bayes_by_hypernet.data.examples import Examples

NUM_TRAIN = 20
NUM_HELD_OUT = 200  # ours, in each of two regions (protocol)
TRAIN_LIMIT, PLOT_LIMIT = 4.0, 6.0  # largest |x| of the data and of the figure
NOISE_STDDEV = 3.0


class ToyData(NamedTuple):
    """Noisy observations in three `Examples`, whose `images` are x and labels y, `(N, 1)` float32.

    Attributes:
        train: 20 points, x uniform on [-4, 4].
        inside: 200 held-out points, x uniform on [-4, 4].
        outside: 200 held-out points, x uniform on [-6, -4] and [4, 6].
    """

    train: Examples
    inside: Examples
    outside: Examples


def true_function(x):
    """Returns the mean of y, `x^3`."""
    return x**3


def load(seed: int) -> ToyData:
    """Returns the data of an integer seed: `y = x^3 + N(0, 3^2)`."""
    rng = np.random.default_rng(seed)
    return ToyData(
        _draw(rng, NUM_TRAIN, 0.0, TRAIN_LIMIT),
        _draw(rng, NUM_HELD_OUT, 0.0, TRAIN_LIMIT),
        _draw(rng, NUM_HELD_OUT, TRAIN_LIMIT, PLOT_LIMIT),
    )


def _draw(rng, num, low, high):
    """Returns examples with `low <= |x| <= high`, on both sides of 0 alike."""
    x = rng.uniform(low, high, (num, 1)) * rng.choice([-1, 1], (num, 1))
    y = true_function(x) + rng.normal(0, NOISE_STDDEV, (num, 1))
    return Examples(x.astype(np.float32), y.astype(np.float32))
