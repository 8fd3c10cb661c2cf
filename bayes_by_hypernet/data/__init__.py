"""Data sets as arrays: MNIST, CIFAR-5, and embedded sets that need no download, with outliers.

`load` returns a `Dataset`; `resolve` says beforehand which one that will be.
"""

from bayes_by_hypernet.data.examples import Dataset, Examples, validate, validate_images
from bayes_by_hypernet.data.sources import Resolved, load, resolve

__all__ = [
    "Dataset",
    "Examples",
    "Resolved",
    "load",
    "resolve",
    "validate",
    "validate_images",
]
