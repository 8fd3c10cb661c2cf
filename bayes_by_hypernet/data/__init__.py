"""Data sets as arrays: MNIST, CIFAR-5, and embedded sets that need no download, with outliers.

`load` returns a `Dataset`; `resolve` says beforehand which one that will be. `corruptions.corrupt`
makes corrupted images of clean ones.
"""

from bayes_by_hypernet.data import corruptions
from bayes_by_hypernet.data.examples import Dataset, Examples, validate, validate_images
from bayes_by_hypernet.data.sources import Resolved, load, resolve

__all__ = [
    "Dataset",
    "Examples",
    "Resolved",
    "corruptions",
    "load",
    "resolve",
    "validate",
    "validate_images",
]
