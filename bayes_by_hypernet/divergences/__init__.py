"""Estimates of KL(q || p) between weight distributions, and how they enter the loss."""

from bayes_by_hypernet.divergences.adversarial import AdversarialKL
from bayes_by_hypernet.divergences.estimators import SAMPLED_ESTIMATORS, sampled_estimator
from bayes_by_hypernet.divergences.gaussian import gaussian_kl
from bayes_by_hypernet.divergences.kernel import kernel_kl, kernel_kl_to_prior
from bayes_by_hypernet.divergences.scaling import linear_annealing, scaled_kl

__all__ = [
    "SAMPLED_ESTIMATORS",
    "AdversarialKL",
    "gaussian_kl",
    "kernel_kl",
    "kernel_kl_to_prior",
    "linear_annealing",
    "sampled_estimator",
    "scaled_kl",
]
