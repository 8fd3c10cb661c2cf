"""Multiplicative normalising flows (Table 3, 'MNF')."""

import dataclasses

from bayes_by_hypernet import models
from bayes_by_hypernet.checks import check_integer, check_positive
from bayes_by_hypernet.paper.methods.base import Method, PriorOptions


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
        check_positive("max_stddev", self.max_stddev)
        check_integer("flow_units", self.flow_units, 1)


class MultiplicativeNormalizingFlows(Method):
    """Gaussians whose means are multiplied by a random vector z (Louizos & Welling, 2017)."""

    name = "mnf"
    label = "MNF"
    colour = "#CC79A7"
    Options = MultiplicativeFlowOptions
    anneals_kl = True

    def make_member(self):
        self.draw_as_first_release(1)
        return models.bayesify(
            self.skeleton(),
            "mnf",
            seed=self.seed,
            verbose=False,
            **dataclasses.asdict(self.options),
        )
