"""Keras layers: weights from hypernetworks, and layers whose weights are inputs."""

from bayes_by_hypernet.layers.given_weights import Conv2DGivenWeights, DenseGivenWeights
from bayes_by_hypernet.layers.hypernet import Conv2DHypernet, DenseHypernet

__all__ = ["Conv2DGivenWeights", "Conv2DHypernet", "DenseGivenWeights", "DenseHypernet"]
