"""Data sets as arrays: MNIST with notMNIST as outliers, and an embedded set that needs no download.

`load` returns a `Dataset`; `resolve` says beforehand which one that will be.
"""

from bayes_by_hypernet.data.examples import Dataset, Examples, validate, validate_images
from bayes_by_hypernet.data.sources import NAMES, Resolved, load, resolve

__all__ = [
    "NAMES",
    "Dataset",
    "Examples",
    "Resolved",
    "load",
    "resolve",
    "validate",
    "validate_images",
]
