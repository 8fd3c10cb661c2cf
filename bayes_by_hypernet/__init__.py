"""Bayes by Hypernet: neural networks whose weights are samples from hypernetworks.

A port of 'Implicit Weight Uncertainty in Neural Networks' (Pawlowski et al., arXiv:1711.01297)
to TensorFlow 2 and Keras 3.
"""

import importlib
from typing import TYPE_CHECKING

import keras

if keras.backend.backend() != "tensorflow":
    raise RuntimeError(
        "Bayes by Hypernet needs Keras's backend 'tensorflow', and the backend is "
        f"{keras.backend.backend()!r}: set the environment variable KERAS_BACKEND=tensorflow "
        "before Python imports keras."
    )

# Imported with the package: the modules whose classes `keras.saving.load_model` finds by name, and
# `export`, a function that a later import of the module of that name would replace.
from bayes_by_hypernet import layers, models
from bayes_by_hypernet.divergences import kernel_kl, nearest_neighbor_kl
from bayes_by_hypernet.export import export
from bayes_by_hypernet.hypernetworks import (
    ChunkedHypernetwork,
    HypernetworkKernel,
    SingleHypernetwork,
)
from bayes_by_hypernet.models import bayesify
from bayes_by_hypernet.noise import AuxiliaryNoise
from bayes_by_hypernet.prediction import GaussianPrediction, Prediction, predict
from bayes_by_hypernet.priors import NormalPrior
from bayes_by_hypernet.training.optimizer import FusedAdam

if TYPE_CHECKING:  # the names in `_LAZY`, for editors and type checkers
    from bayes_by_hypernet import calibration, callbacks, data, decisions, likelihoods, metrics
    from bayes_by_hypernet.attacks import fast_sign_attack
    from bayes_by_hypernet.divergences import entropy_kl
    from bayes_by_hypernet.paper.posterior import Posterior, load

__version__ = "0.1.0"

# Imported when first used: public name to module, and attribute of the module or None for itself.
_LAZY = {
    "Posterior": ("bayes_by_hypernet.paper.posterior", "Posterior"),
    "calibration": ("bayes_by_hypernet.calibration", None),
    "callbacks": ("bayes_by_hypernet.callbacks", None),
    "data": ("bayes_by_hypernet.data", None),
    "decisions": ("bayes_by_hypernet.decisions", None),
    "entropy_kl": ("bayes_by_hypernet.divergences", "entropy_kl"),
    "fast_sign_attack": ("bayes_by_hypernet.attacks", "fast_sign_attack"),
    "likelihoods": ("bayes_by_hypernet.likelihoods", None),
    "load": ("bayes_by_hypernet.paper.posterior", "load"),
    "metrics": ("bayes_by_hypernet.metrics", None),
}

__all__ = [
    "AuxiliaryNoise",
    "ChunkedHypernetwork",
    "FusedAdam",
    "GaussianPrediction",
    "HypernetworkKernel",
    "NormalPrior",
    "Posterior",
    "Prediction",
    "SingleHypernetwork",
    "bayesify",
    "calibration",
    "callbacks",
    "data",
    "decisions",
    "entropy_kl",
    "export",
    "fast_sign_attack",
    "kernel_kl",
    "layers",
    "likelihoods",
    "load",
    "metrics",
    "models",
    "nearest_neighbor_kl",
    "predict",
]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = importlib.import_module(module)
    if attribute is not None:
        value = getattr(value, attribute)
    globals()[name] = value  # so that the next access does not come here
    return value


def __dir__():
    return sorted({*globals(), *__all__})
