"""Samples for the C++ form of Eq. 2, and what its gradients are compared by."""

import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.kernels.kernel_kl import GUARD

DTYPES = (np.float32, np.float64)
# Up to n + m = 64 each sample is compared with each; beyond, they are sorted.
SEARCHES = pytest.mark.parametrize("n, m", [(6, 7), (40, 30)], ids=["all_pairs", "sorted"])
# Ends of vectors (2 to 16 weights) and of tiles (1024), and nothing at all.
WIDTHS = (1, 3, 0, 17, 1024, 1025, 4097)


def draw(n, m, widths=WIDTHS, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    q = [(0.3 + 0.5 * rng.normal(size=(n, width))).astype(dtype) for width in widths]
    return q, [rng.normal(size=(m, width)).astype(dtype) for width in widths]


def value_and_gradients(kl, q, p, upstream=1.0):
    """Returns the value and the gradients for q and for p, lists as they are."""
    q, p = [[tf.convert_to_tensor(x) for x in pieces] for pieces in (q, p)]
    with tf.GradientTape() as tape:
        tape.watch([q, p])
        value = upstream * kl(q, p)
    return value, *tape.gradient(value, [q, p])


def largest_terms(q, p):
    """The largest of the terms 1 / (n distance) whose sums the gradients are, for each weight."""
    terms = np.zeros(q.shape[1])
    for i, sample in enumerate(q):
        for others in (p, np.delete(q, i, axis=0)):
            distance = np.abs(sample - others).min(axis=0)
            terms = np.maximum(terms, distance / (distance**2 + GUARD) / len(q))
    return terms
