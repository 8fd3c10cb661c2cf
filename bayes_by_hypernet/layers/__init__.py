"""Keras layers: random weights by six methods, and layers whose weights are inputs."""

from bayes_by_hypernet.layers.dropout import MCDropout
from bayes_by_hypernet.layers.flipout import (
    Conv2DFlipout,
    Conv2DReparameterization,
    DenseFlipout,
    DenseReparameterization,
)
from bayes_by_hypernet.layers.given_weights import Conv2DGivenWeights, DenseGivenWeights
from bayes_by_hypernet.layers.hypernet import Conv2DHypernet, DenseHypernet
from bayes_by_hypernet.layers.mnf import Conv2DMNF, DenseMNF
from bayes_by_hypernet.layers.normalization import STATISTICS, BatchNormalization
from bayes_by_hypernet.layers.variational import VariationalLayer

__all__ = [
    "STATISTICS",
    "BatchNormalization",
    "Conv2DFlipout",
    "Conv2DGivenWeights",
    "Conv2DHypernet",
    "Conv2DMNF",
    "Conv2DReparameterization",
    "DenseFlipout",
    "DenseGivenWeights",
    "DenseHypernet",
    "DenseMNF",
    "DenseReparameterization",
    "MCDropout",
    "VariationalLayer",
]
