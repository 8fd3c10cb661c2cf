"""Networks, each written once over a family of layers (see `family.LayerFamily`)."""

from bayes_by_hypernet.networks.family import GivenWeightsFamily, LayerFamily, Network
from bayes_by_hypernet.networks.lenet import LENET

NETWORKS = {LENET.name: LENET}


def get(name: str) -> Network:
    """Returns the `Network` called `name`; ValueError where there is none."""
    if name not in NETWORKS:
        raise ValueError(
            f"Argument `network` must be one of {sorted(NETWORKS)}. Received: network={name!r}"
        )
    return NETWORKS[name]


__all__ = ["LENET", "NETWORKS", "GivenWeightsFamily", "LayerFamily", "Network", "get"]
