"""The networks of the paper: functions that return Keras models."""

import dataclasses

from bayes_by_hypernet.checks import check_choice
from bayes_by_hypernet.layers import STATISTICS
from bayes_by_hypernet.paper.networks.base import Network
from bayes_by_hypernet.paper.networks.lenet import LENET, lenet
from bayes_by_hypernet.paper.networks.mlp import TOY, mlp
from bayes_by_hypernet.paper.networks.resnet32 import RESNET32, resnet32

# A configuration can name these. The toy regression's network has other data and settings.
NETWORKS = {network.name: network for network in (LENET, RESNET32)}


def get(name: str, batch_norm: str | None = None) -> Network:
    """Returns the `Network` called `name`.

    Args:
        name: String.
        batch_norm: Statistics by which it normalises, `"instance"`, `"batch"` or `"moving"`;
            None: its default.

    Raises:
        ValueError: If there is no such network, or `batch_norm` means nothing to it.
    """
    network = NETWORKS[check_choice("network", name, tuple(sorted(NETWORKS)))]
    if batch_norm is None:
        return network
    allowed = STATISTICS if network.batch_norm else (None,)
    if batch_norm not in allowed:
        raise ValueError(
            f"Argument `batch_norm` must be one of {allowed} for network={name!r}. "
            f"Received: batch_norm={batch_norm!r}"
        )
    return dataclasses.replace(network, batch_norm=batch_norm)


__all__ = [
    "LENET",
    "NETWORKS",
    "RESNET32",
    "TOY",
    "Network",
    "get",
    "lenet",
    "mlp",
    "resnet32",
]
