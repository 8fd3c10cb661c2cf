"""Multiplicative normalising flows (Table 3, 'MNF')."""

import dataclasses

from bayes_by_hypernet import layers, randomness
from bayes_by_hypernet.paper.methods.keras_method import VariationalFamily, VariationalMethod
from bayes_by_hypernet.paper.methods.options import PriorOptions


@dataclasses.dataclass(frozen=True)
class MultiplicativeFlowOptions(PriorOptions):
    """Settings of multiplicative normalising flows.

    Attributes:
        prior_stddev: Standard deviation of the normal prior on every weight.
        max_stddev: Where the standard deviations used for sampling are clipped.
        flow_units: Hidden units of the flows of z; those of the auxiliary posterior have twice as
            many.
    """

    max_stddev: float = 0.5
    flow_units: int = 50

    def __post_init__(self):
        super().__post_init__()
        layers.DenseMNF(1, max_stddev=self.max_stddev, flow_units=self.flow_units)


class MultiplicativeNormalizingFlows(VariationalMethod):
    """Gaussians whose means are multiplied by a random vector z (Louizos & Welling, 2017).

    The KL of every layer is bounded with an auxiliary posterior r(z | W), from one draw a step.
    """

    name = "mnf"
    Options = MultiplicativeFlowOptions
    anneals_kl = True

    def __init__(self, network, options):
        family = VariationalFamily(
            layers.Conv2DMNF, layers.DenseMNF, kl_estimator=None, **dataclasses.asdict(options)
        )
        super().__init__(network, family, options)

    def kl(self, edges, key):
        with self.with_parameters(edges):
            keys = [randomness.fold_in(key, i) for i in range(len(self.layers))]
            return sum(layer.kl(key) for layer, key in zip(self.layers, keys, strict=True))
