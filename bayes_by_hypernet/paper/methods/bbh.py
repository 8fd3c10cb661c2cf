"""Bayes by Hypernet, the paper's method (all tables)."""

import dataclasses

import keras

from bayes_by_hypernet import models
from bayes_by_hypernet.checks import check_choice, check_integer
from bayes_by_hypernet.hypernetworks import HIDDEN_UNITS, check_hidden_units
from bayes_by_hypernet.paper.methods.base import Method, Options
from bayes_by_hypernet.paper.methods.estimators import (
    SAMPLED_ESTIMATORS,
    check_estimator,
    discriminator,
)
from bayes_by_hypernet.posteriors.hypernet import NOISES
from bayes_by_hypernet.priors import NormalPrior

ARCHITECTURES = ("layerwise", "sliced", "single")  # Table 1
# Slices of the single hypernetwork (protocol), by network; both divide the number of weights.
SINGLE_NUM_SLICES = {"lenet": 130, "resnet32": 231}
# The paper's sizes are known: a run that does not fit is the machine's affair, not a mistake.
MAX_PARAMETERS = 2**31


@dataclasses.dataclass(frozen=True)
class BayesByHypernetOptions(Options):
    """Settings of Bayes by Hypernet; the defaults are Table 3's.

    Attributes:
        architecture: `"layerwise"`, `"sliced"` or `"single"` (Table 1).
        noise: `"independent"` (a z for each weight tensor) or `"shared"` (one z; Table 2). None:
            independent, and shared for the single hypernetwork, which has one z by construction.
        noise_dim: Dimension d of z.
        num_kl_samples: Samples n of z a step, all in the KL, in Eq. 2 with as many prior samples.
        num_likelihood_samples: How many of them enter the likelihood (ruling 11).
        prior_stddev: Standard deviation of the normal prior on every weight.
        kl_estimator: `"kernel_independent"`, `"kernel_full"` (Eq. 2), `"adversarial"` or, which is
            not the paper's, `"entropy"`.
        hidden_units: Hidden units of the hypernetworks.
        adversarial_weights: Random weights that each adversarial estimate looks at; None: all.
    """

    architecture: str = "layerwise"
    noise: str | None = None
    noise_dim: int = 1
    num_kl_samples: int = 5
    num_likelihood_samples: int = 1
    prior_stddev: float = 1.0
    kl_estimator: str = "kernel_independent"
    hidden_units: tuple = HIDDEN_UNITS
    adversarial_weights: int | None = None

    def __post_init__(self):
        check_choice("architecture", self.architecture, ARCHITECTURES)
        single = self.architecture == "single"
        if self.noise is None:
            object.__setattr__(self, "noise", "shared" if single else "independent")
        check_choice("noise", self.noise, NOISES)
        if self.kl_estimator == "analytic":
            raise ValueError(
                f"Argument `kl_estimator` must be one of {tuple(SAMPLED_ESTIMATORS)} for "
                "method='bbh': the weights are samples from a hypernetwork, whose density is not "
                "known, so that their KL can only be estimated. Received: kl_estimator='analytic'"
            )
        check_estimator(self, tuple(SAMPLED_ESTIMATORS))
        if single and self.noise == "independent":
            raise ValueError(
                'Argument `noise` must be "shared" with architecture="single": one hypernetwork '
                "makes every weight from the same z. Received: noise='independent'"
            )
        check_integer("noise_dim", self.noise_dim, 1)
        if not 1 <= self.num_likelihood_samples <= self.num_kl_samples:
            raise ValueError(
                "Argument `num_likelihood_samples` must be between 1 and `num_kl_samples`="
                f"{self.num_kl_samples}. "
                f"Received: num_likelihood_samples={self.num_likelihood_samples}"
            )
        NormalPrior(self.prior_stddev)
        object.__setattr__(self, "hidden_units", check_hidden_units(self.hidden_units))


class BayesByHypernet(Method):
    """Implicit posterior: z ~ N(0, I), w = G(z), outputs = network(x, w) (paper, Section 2)."""

    name = "bbh"
    label = "BbH"
    colour = "#D55E00"
    Options = BayesByHypernetOptions
    learning_rate = 1e-4
    anneals_kl = True

    @staticmethod
    def authors_batch_norm(options):
        return "batch" if options.architecture == "layerwise" else "instance"

    def make_member(self):
        options, num_slices = self.options, None
        if options.architecture == "single":
            num_slices = SINGLE_NUM_SLICES.get(self.network.name)
        model = self.skeleton()
        self.draw_as_first_release(sum(isinstance(o, keras.layers.Conv2D) for o in model.layers))
        return models.bayesify(
            model,
            "hypernet",
            architecture=options.architecture,
            noise=options.noise,
            noise_dim=options.noise_dim,
            num_samples=options.num_kl_samples,
            num_likelihood_samples=options.num_likelihood_samples,
            hidden_units=options.hidden_units,
            num_slices=num_slices,
            prior=NormalPrior(options.prior_stddev),
            kl_estimator=SAMPLED_ESTIMATORS[options.kl_estimator],
            estimator_settings=discriminator(options, (64, 64, 64)),  # authors' code
            max_parameters=MAX_PARAMETERS,
            seed=self.seed,
            verbose=False,
        )
