"""Bayes by Hypernet: neural networks whose weights are samples from hypernetworks.

A port of 'Implicit Weight Uncertainty in Neural Networks' (Pawlowski et al., arXiv:1711.01297)
to TensorFlow 2 and Keras 3.
"""

from bayes_by_hypernet import callbacks, layers, metrics
from bayes_by_hypernet.attacks import fast_sign_attack
from bayes_by_hypernet.divergences import kernel_kl
from bayes_by_hypernet.export import export
from bayes_by_hypernet.hypernetworks import HypernetworkKernel, SingleHypernetwork
from bayes_by_hypernet.noise import AuxiliaryNoise
from bayes_by_hypernet.paper.posterior import Posterior, load
from bayes_by_hypernet.prediction import GaussianPrediction, Prediction, predict
from bayes_by_hypernet.priors import NormalPrior

__version__ = "0.1.0"

__all__ = [
    "AuxiliaryNoise",
    "GaussianPrediction",
    "HypernetworkKernel",
    "NormalPrior",
    "Posterior",
    "Prediction",
    "SingleHypernetwork",
    "callbacks",
    "export",
    "fast_sign_attack",
    "kernel_kl",
    "layers",
    "load",
    "metrics",
    "predict",
]
