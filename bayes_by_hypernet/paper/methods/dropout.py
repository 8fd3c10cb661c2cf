"""MC-dropout (Table 3, 'Dropout')."""

import dataclasses

from bayes_by_hypernet import models
from bayes_by_hypernet.checks import check_rate
from bayes_by_hypernet.paper.methods.base import Method, PriorOptions


@dataclasses.dataclass(frozen=True)
class DropoutOptions(PriorOptions):
    """Settings of MC-dropout.

    Attributes:
        prior_stddev: Standard deviation of the normal prior on every kernel weight.
        rate: Probability with which a unit is dropped.
    """

    rate: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        check_rate(self.rate)


class MonteCarloDropout(Method):
    """Dropout as approximate inference (Gal & Ghahramani, 2016; Table 3, 'Dropout')."""

    name = "dropout"
    label = "Dropout"
    colour = "#009E73"
    Options = DropoutOptions

    def make_member(self):
        self.draw_as_first_release(1)
        return models.bayesify(
            self.network.build(dropout=True),
            "dropout",
            rate=self.options.rate,
            prior_stddev=self.options.prior_stddev,
            seed=self.seed,
        )
