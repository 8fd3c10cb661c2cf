"""Keras layers with random weights: wrappers of any layer, and layers with their own estimators."""

from bayes_by_hypernet.layers.dropout import MCDropout
from bayes_by_hypernet.layers.flipout import (
    Conv2DFlipout,
    Conv2DReparameterization,
    DenseFlipout,
    DenseReparameterization,
)
from bayes_by_hypernet.layers.hypernet import Hypernet
from bayes_by_hypernet.layers.learned_stddev import LearnedStddev
from bayes_by_hypernet.layers.mean_field import MeanField
from bayes_by_hypernet.layers.mnf import Conv2DMNF, DenseMNF
from bayes_by_hypernet.layers.normalization import STATISTICS, BatchNormalization
from bayes_by_hypernet.layers.thin import Conv2DHypernet, DenseHypernet

__all__ = [
    "STATISTICS",
    "BatchNormalization",
    "Conv2DFlipout",
    "Conv2DHypernet",
    "Conv2DMNF",
    "Conv2DReparameterization",
    "DenseFlipout",
    "DenseHypernet",
    "DenseMNF",
    "DenseReparameterization",
    "Hypernet",
    "LearnedStddev",
    "MCDropout",
    "MeanField",
]
