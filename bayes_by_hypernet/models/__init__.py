"""Keras models with a posterior over their variables."""

from bayes_by_hypernet.models.bayesian_model import BayesianModel
from bayes_by_hypernet.models.bayesify import METHODS, bayesify, register, replace_layers

__all__ = ["METHODS", "BayesianModel", "bayesify", "register", "replace_layers"]
