"""Bayes by Backprop: a Gaussian for each weight (Tables 3 and 5, 'BbB')."""

import dataclasses

from bayes_by_hypernet import layers, randomness
from bayes_by_hypernet.divergences import SAMPLED_ESTIMATORS
from bayes_by_hypernet.paper.methods.keras_method import VariationalFamily, VariationalMethod
from bayes_by_hypernet.paper.methods.options import (
    PriorOptions,
    check_choice,
    check_estimator,
    make_estimator,
)

# Convolution and dense layer of each forward pass.
FORWARDS = {
    "flipout": (layers.Conv2DFlipout, layers.DenseFlipout),
    "reparameterization": (layers.Conv2DReparameterization, layers.DenseReparameterization),
}
KL_ESTIMATORS = ("analytic", *SAMPLED_ESTIMATORS)
DISCRIMINATOR_UNITS = (64, 64)  # authors' code


@dataclasses.dataclass(frozen=True)
class BayesByBackpropOptions(PriorOptions):
    """Settings of Bayes by Backprop; the defaults are Table 3's.

    Attributes:
        prior_stddev: Standard deviation of the normal prior on every weight.
        initial_log_variance: Where the log variances of the weights start.
        forward: `"flipout"`, or `"reparameterization"`, the authors': one weight sample a batch.
        kl_estimator: `"analytic"`, `"kernel_independent"`, `"kernel_full"` or `"adversarial"`.
        num_kl_samples: Weight samples a step of the last three, with as many of the prior.
        adversarial_weights: Random weights that each adversarial estimate looks at; None: all.
    """

    initial_log_variance: float = -9.0
    forward: str = "flipout"
    kl_estimator: str = "analytic"
    num_kl_samples: int = 5
    adversarial_weights: int | None = None

    def __post_init__(self):
        super().__post_init__()
        check_choice("forward", self.forward, tuple(FORWARDS))
        check_estimator(self, KL_ESTIMATORS)


class BayesByBackprop(VariationalMethod):
    """Factorised Gaussian over every weight and bias (Blundell et al., 2015).

    The estimators from samples are Table 5's comparison: they ignore that the density is known.
    """

    name = "bbb"
    Options = BayesByBackpropOptions

    def __init__(self, network, options):
        family = VariationalFamily(
            *FORWARDS[options.forward],
            kl_estimator=None,
            prior_stddev=options.prior_stddev,
            initial_log_variance=options.initial_log_variance,
        )
        super().__init__(network, family, options)
        if options.kl_estimator in SAMPLED_ESTIMATORS:
            self.estimator = make_estimator(options, DISCRIMINATOR_UNITS)

    def kl(self, edges, key):
        with self.with_parameters(edges):
            if self.estimator is None:
                return sum(layer.kl() for layer in self.layers)
            draws = self.draw(self.options.num_kl_samples, randomness.fold_in(key, "posterior"))
        return self.estimator(list(draws.values()), key)
