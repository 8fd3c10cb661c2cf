"""Hypernetworks G: noise z to samples of weights, w = G(z) (paper, Section 2 and Table 1)."""

from bayes_by_hypernet.hypernetworks.generators import (
    HIDDEN_UNITS,
    check_hidden_units,
    check_noise,
)
from bayes_by_hypernet.hypernetworks.joint import ChunkedHypernetwork, SingleHypernetwork
from bayes_by_hypernet.hypernetworks.kernel import HypernetworkKernel

__all__ = [
    "HIDDEN_UNITS",
    "ChunkedHypernetwork",
    "HypernetworkKernel",
    "SingleHypernetwork",
    "check_hidden_units",
    "check_noise",
]
