"""Posteriors: distributions over the tensors that stand for a layer's variables."""

from bayes_by_hypernet.posteriors.base import Posterior
from bayes_by_hypernet.posteriors.binding import call_with
from bayes_by_hypernet.posteriors.gaussian import GaussianPosterior
from bayes_by_hypernet.posteriors.hypernet import ARCHITECTURES, NOISES, HypernetPosterior

__all__ = [
    "ARCHITECTURES",
    "NOISES",
    "GaussianPosterior",
    "HypernetPosterior",
    "Posterior",
    "call_with",
]
