"""Estimates of KL(q || p) between weight distributions, and how they enter the loss."""

from bayes_by_hypernet.divergences.adversarial import AdversarialKL
from bayes_by_hypernet.divergences.entropy import entropy_kl
from bayes_by_hypernet.divergences.estimators import SAMPLED_ESTIMATORS, sampled_estimator
from bayes_by_hypernet.divergences.gaussian import gaussian_kl
from bayes_by_hypernet.divergences.nearest_neighbor import (
    kernel_kl,
    nearest_neighbor_kl,
    nearest_neighbor_kl_to_prior,
)
from bayes_by_hypernet.divergences.scaling import linear_annealing, scaled_kl

__all__ = [
    "SAMPLED_ESTIMATORS",
    "AdversarialKL",
    "entropy_kl",
    "gaussian_kl",
    "nearest_neighbor_kl",
    "nearest_neighbor_kl_to_prior",
    "kernel_kl",
    "linear_annealing",
    "sampled_estimator",
    "scaled_kl",
]
