"""How labels are distributed given a network's outputs, p(y | x, w): one object for every use.

A likelihood is the loss of training (also in `compile`), and says how posterior samples are
averaged, what a prediction reports, what an attack follows and what a SavedModel answers.
"""

from bayes_by_hypernet.likelihoods.base import Likelihood
from bayes_by_hypernet.likelihoods.bernoulli import Bernoulli
from bayes_by_hypernet.likelihoods.categorical import Categorical
from bayes_by_hypernet.likelihoods.compiled import (
    get,
    known_terms_per_example,
    losses_of_outputs,
    of_loss,
    of_model,
    terms_per_example,
)
from bayes_by_hypernet.likelihoods.gaussian import Gaussian
from bayes_by_hypernet.likelihoods.joint import Joint
from bayes_by_hypernet.likelihoods.predictions import GaussianPrediction, Prediction

__all__ = [
    "Bernoulli",
    "Categorical",
    "Gaussian",
    "GaussianPrediction",
    "Joint",
    "Likelihood",
    "Prediction",
    "get",
    "known_terms_per_example",
    "losses_of_outputs",
    "of_loss",
    "of_model",
    "terms_per_example",
]
