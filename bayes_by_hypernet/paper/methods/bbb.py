"""Bayes by Backprop (Table 3, 'BbB', and Table 5)."""

import dataclasses

from bayes_by_hypernet import models
from bayes_by_hypernet.checks import check_choice, check_log_variance
from bayes_by_hypernet.paper.methods.base import Method, PriorOptions
from bayes_by_hypernet.paper.methods.estimators import (
    KL_ESTIMATORS,
    SAMPLED_ESTIMATORS,
    check_estimator,
    discriminator,
)

FORWARDS = ("flipout", "reparameterization")


@dataclasses.dataclass(frozen=True)
class BayesByBackpropOptions(PriorOptions):
    """Settings of Bayes by Backprop; the defaults are Table 3's.

    Attributes:
        prior_stddev: Standard deviation of the normal prior on every weight.
        initial_log_variance: Where the log variances of the weights start.
        forward: `"flipout"`, or `"reparameterization"`, the authors': one weight sample a batch.
        kl_estimator: `"analytic"`, `"kernel_independent"`, `"kernel_full"`, `"adversarial"` or,
            which is not the paper's, `"entropy"`.
        num_kl_samples: Weight samples a step of all but the first, in Eq. 2 with as many of the
            prior.
        adversarial_weights: Random weights that each adversarial estimate looks at; None: all.
    """

    initial_log_variance: float = -9.0
    forward: str = "flipout"
    kl_estimator: str = "analytic"
    num_kl_samples: int = 5
    adversarial_weights: int | None = None

    def __post_init__(self):
        super().__post_init__()
        check_choice("forward", self.forward, FORWARDS)
        check_log_variance("initial_log_variance", self.initial_log_variance)
        check_estimator(self, KL_ESTIMATORS)


class BayesByBackprop(Method):
    """Factorised Gaussian over every weight and bias (Blundell et al., 2015; Tables 3 and 5).

    The estimators from samples are Table 5's comparison: they ignore that the density is known.
    """

    name = "bbb"
    label = "BbB"
    colour = "#56B4E9"
    Options = BayesByBackpropOptions

    def make_member(self):
        options = self.options
        estimator = SAMPLED_ESTIMATORS.get(options.kl_estimator, options.kl_estimator)
        return models.bayesify(
            self.skeleton(),
            options.forward,
            prior_stddev=options.prior_stddev,
            initial_log_variance=options.initial_log_variance,
            kl_estimator=estimator,
            num_samples=options.num_kl_samples,
            estimator_settings=discriminator(options, (64, 64)),  # authors' code
            seed=self.seed,
            verbose=False,
        )
