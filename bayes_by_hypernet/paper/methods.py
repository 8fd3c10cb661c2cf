"""The methods that the paper compares, by name: settings of `bayesify`, and how runs show them."""

import abc
import dataclasses
import random

import keras

from bayes_by_hypernet import models, perturbations
from bayes_by_hypernet.checks import check_at_least, check_choice, check_integer, check_positive
from bayes_by_hypernet.hypernetworks import HIDDEN_UNITS, check_hidden_units
from bayes_by_hypernet.posteriors.hypernet import NOISES
from bayes_by_hypernet.posteriors.samplers import EnsembleSampler, ModelSampler
from bayes_by_hypernet.priors import NormalPrior

# What launchers say, and what the library calls it.
SAMPLED_ESTIMATORS = {
    "kernel_independent": "independent",
    "kernel_full": "full",
    "adversarial": "adversarial",
}
KL_ESTIMATORS = ("analytic", *SAMPLED_ESTIMATORS)
ARCHITECTURES = ("layerwise", "sliced", "single")  # Table 1
FORWARDS = ("flipout", "reparameterization")
# Slices of the single hypernetwork (protocol), by network; both divide the number of weights.
SINGLE_NUM_SLICES = {"lenet": 130, "resnet32": 231}


@dataclasses.dataclass(frozen=True)
class Options:
    """Settings of a method, validated when made; the defaults are the paper's."""


@dataclasses.dataclass(frozen=True)
class PriorOptions(Options):
    """Settings of a method with a normal prior.

    Attributes:
        prior_stddev: Standard deviation of the normal prior.
    """

    prior_stddev: float = 1.0

    def __post_init__(self):
        NormalPrior(self.prior_stddev)


class Method(abc.ABC):
    """A method of the paper on a network: Bayesian models to be fitted, and their samples.

    Class attributes:
        name: As launchers say it.
        label, colour: As figures and tables show it; colours that colour-blind readers tell apart
            (Wong, 2011).
        Options: Dataclass of the method's settings, each a flag of the same name.
        learning_rate: Adam's (protocol).
        anneals_kl: Whether the KL is annealed.

    Attributes:
        members: Dict, name to the `BayesianModel`s that are fitted one after another, each in a
            run of its own; one without a name for everything but an ensemble.

    Args:
        network: `Network`.
        options: `Options`.
        seed: Integer, or None.
        prediction_batch_size: How many inputs are predicted at once, where their answers depend
            on each other; None: as many as one likes.
    """

    name: str
    label: str
    colour: str
    Options = Options
    learning_rate = 1e-3
    anneals_kl = False

    def __init__(self, network, options, seed=None, prediction_batch_size=None):
        self.network = network
        self.options = options
        self.seed = seed
        self.likelihood = network.likelihood
        self.prediction_batch_size = prediction_batch_size
        self.members = {name: self.make_member() for name in self.member_names()}

    @staticmethod
    def authors_batch_norm(options):
        """Returns whose statistics a network normalises by in the authors' code (ruling 10)."""
        return "instance"

    def member_names(self):
        """Returns the names of the models to be fitted."""
        return [""]

    @abc.abstractmethod
    def make_member(self):
        """Returns a newly initialised `BayesianModel`."""

    def leave_out(self, name):
        """Removes the member `name`, whose training failed."""
        if len(self.members) == 1:
            raise ValueError(f"The method {self.name!r} has no members to leave out: {name!r}")
        del self.members[name]

    @property
    def sampler(self):
        """Draws posterior samples and evaluates the network under one."""
        [member] = self.members.values()
        return ModelSampler(member, self.prediction_batch_size)

    @property
    def _first(self):
        return next(iter(self.members.values()))

    @property
    def num_weights(self):
        """Number of weights of the network."""
        return self._first.num_weights

    @property
    def num_parameters(self):
        """Number of trained parameters."""
        return sum(member.num_parameters for member in self.members.values())

    def _skeleton(self):
        """Returns the network for a method that does not use its initial weights.

        They leave no trace in what is random: a seed gives a method the same start for every
        network function.
        """
        state = random.getstate()
        model = self.network.build()
        random.setstate(state)
        return model

    @staticmethod
    def _draw_as_first_release(count):
        """Draws as many seeds as the first release's throwaway layers: its runs can be repeated.

        It made one for each convolution of `bbh`, and one to check the settings of `dropout` and
        `mnf`.
        """
        for _ in range(count):
            keras.random.SeedGenerator()


class MaximumAPosteriori(Method):
    """Point estimate of the weights (Table 3, 'MAP').

    The 'KL' is the prior's negative log density, `sum over kernels of w^2 / (2 prior_stddev^2)`,
    constants left out; biases have no prior, as in the authors' code.
    """

    name = "map"
    label = "MAP"
    colour = "#000000"
    Options = PriorOptions

    def make_member(self):
        return models.bayesify(
            self.network.build(), "map", prior_stddev=self.options.prior_stddev, seed=self.seed
        )

    @property
    def sampler(self):
        return EnsembleSampler(self.members.values(), self.prediction_batch_size)


@dataclasses.dataclass(frozen=True)
class EnsembleOptions(Options):
    """Settings of a deep ensemble.

    Attributes:
        num_members: Number of networks.
        adversarial_epsilon: Step of the fast sign method in training, in units of the inputs.
    """

    num_members: int = 10
    adversarial_epsilon: float = 0.01

    def __post_init__(self):
        check_integer("num_members", self.num_members, 1)
        check_at_least("adversarial_epsilon", self.adversarial_epsilon, 0)


class EnsembleMember(models.BayesianModel):
    """One network, without a prior, trained on `(loss(x) + loss(x_adv)) / 2`."""

    def __init__(self, body, adversarial_epsilon, **kwargs):
        super().__init__(body, **kwargs)
        self.adversarial_epsilon = adversarial_epsilon

    def training_outputs(self, inputs, parameters, key, finish=None, loss=None):
        def forward(inputs):
            """Returns the outputs, and what `finish` makes of them."""
            [both] = super(EnsembleMember, self).training_outputs(
                inputs, parameters, key, lambda outputs: (outputs, finish and finish(outputs))
            )
            return both

        def loss_of(inputs):
            results.append(forward(inputs))
            return loss(results[0][0])

        results = []
        adversarial = perturbations.fast_sign(inputs, self.adversarial_epsilon, loss_of)
        results.append(forward(adversarial))
        return [finished if finish else outputs for outputs, finished in results]


class Ensemble(Method):
    """Independent networks, trained with an adversarial term (Lakshminarayanan et al., 2017)."""

    name = "ensemble"
    label = "Ensemble"
    colour = "#E69F00"
    Options = EnsembleOptions

    def member_names(self):
        return [f"member_{i:02}" for i in range(self.options.num_members)]

    def make_member(self):
        epsilon = self.options.adversarial_epsilon
        return EnsembleMember(self.network.build(), epsilon, seed=self.seed)

    @property
    def sampler(self):
        return EnsembleSampler(self.members.values(), self.prediction_batch_size)


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
        check_choice("forward", self.forward, FORWARDS)
        _check_estimator(self, KL_ESTIMATORS)


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
            self._skeleton(),
            options.forward,
            prior_stddev=options.prior_stddev,
            initial_log_variance=options.initial_log_variance,
            kl_estimator=estimator,
            num_samples=options.num_kl_samples,
            estimator_settings=_discriminator(options, (64, 64)),  # authors' code
            seed=self.seed,
            verbose=False,
        )


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
        if not 0 <= self.rate < 1:
            raise ValueError(
                f"Argument `rate` must be at least 0 and less than 1. Received: rate={self.rate}"
            )


class MonteCarloDropout(Method):
    """Dropout as approximate inference (Gal & Ghahramani, 2016; Table 3, 'Dropout')."""

    name = "dropout"
    label = "Dropout"
    colour = "#009E73"
    Options = DropoutOptions

    def make_member(self):
        self._draw_as_first_release(1)
        return models.bayesify(
            self.network.build(dropout=True),
            "dropout",
            rate=self.options.rate,
            prior_stddev=self.options.prior_stddev,
            seed=self.seed,
        )


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
        self._draw_as_first_release(1)
        return models.bayesify(
            self._skeleton(),
            "mnf",
            seed=self.seed,
            verbose=False,
            **dataclasses.asdict(self.options),
        )


@dataclasses.dataclass(frozen=True)
class BayesByHypernetOptions(Options):
    """Settings of Bayes by Hypernet; the defaults are Table 3's.

    Attributes:
        architecture: `"layerwise"`, `"sliced"` or `"single"` (Table 1).
        noise: `"independent"` (a z for each weight tensor) or `"shared"` (one z; Table 2). None:
            independent, and shared for the single hypernetwork, which has one z by construction.
        noise_dim: Dimension d of z.
        num_kl_samples: Samples n of z a step, all in the KL, with as many prior samples.
        num_likelihood_samples: How many of them enter the likelihood (ruling 11).
        prior_stddev: Standard deviation of the normal prior on every weight.
        kl_estimator: `"kernel_independent"`, `"kernel_full"` (Eq. 2) or `"adversarial"`.
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
        _check_estimator(self, tuple(SAMPLED_ESTIMATORS))
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
        model = self._skeleton()
        self._draw_as_first_release(sum(isinstance(o, keras.layers.Conv2D) for o in model.layers))
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
            estimator_settings=_discriminator(options, (64, 64, 64)),  # authors' code
            max_parameters=MAX_PARAMETERS,
            seed=self.seed,
            verbose=False,
        )


# The paper's sizes are known: a run that does not fit is the machine's affair, not a mistake.
MAX_PARAMETERS = 2**31

METHODS = {
    method.name: method
    for method in (
        MaximumAPosteriori,
        Ensemble,
        BayesByBackprop,
        MonteCarloDropout,
        MultiplicativeNormalizingFlows,
        BayesByHypernet,
    )
}


def get(name: str) -> type[Method]:
    """Returns the `Method` class called `name`; ValueError where there is none."""
    return METHODS[check_choice("method", name, tuple(sorted(METHODS)))]


def _discriminator(options, hidden_units):
    """Returns the settings of the adversarial estimate, None where another one is asked for."""
    if options.kl_estimator != "adversarial":
        return None
    return {
        "discriminator_units": hidden_units,
        "num_random_weights": options.adversarial_weights,
    }


def _check_estimator(options, allowed):
    """Checks the settings of a KL estimated from samples: those of `bbb` and `bbh`."""
    check_choice("kl_estimator", options.kl_estimator, allowed)
    if options.num_kl_samples < 2:
        raise ValueError(
            "Argument `num_kl_samples` must be at least 2, since Eq. 2 compares each sample "
            f"with its nearest other. Received: num_kl_samples={options.num_kl_samples}"
        )
    if options.adversarial_weights is not None:
        check_at_least("adversarial_weights", options.adversarial_weights, 1)
        if options.kl_estimator != "adversarial":
            raise ValueError(
                "Argument `adversarial_weights` has a meaning for kl_estimator='adversarial' only. "
                f"Received: adversarial_weights={options.adversarial_weights} with "
                f"kl_estimator={options.kl_estimator!r}"
            )
