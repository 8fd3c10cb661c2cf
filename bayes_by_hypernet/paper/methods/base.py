"""What the methods of the paper share: settings, models to be fitted, samples, their looks."""

import abc
import dataclasses
import random

import keras

from bayes_by_hypernet.posteriors.samplers import ModelSampler
from bayes_by_hypernet.priors import NormalPrior


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
        name: The launchers' name for it.
        label, colour: For figures and tables; colours that colour-blind readers tell apart
            (Wong, 2011).
        Options: Dataclass of the method's settings, each a flag of the same name.
        learning_rate: Adam's (protocol).
        anneals_kl: Whether the KL is annealed.

    Attributes:
        members: Dict, name to the `BayesianModel`s that are fitted one after another; a single one
            without a name for every method but an ensemble.

    Args:
        network: `Network`.
        options: `Options`.
        seed: Integer, or None.
        prediction_batch_size: How many inputs are predicted at once, if their predictions depend
            on each other; None: any number.
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
        """Returns the statistics by which the authors' code normalises (ruling 10)."""
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

    def skeleton(self):
        """Returns the network for a method that does not use its initial weights.

        They leave no trace in what is random: a seed gives a method the same start for every
        network function.
        """
        state = random.getstate()
        model = self.network.build()
        random.setstate(state)
        return model

    @staticmethod
    def draw_as_first_release(count):
        """Draws as many seeds as the first release's throwaway layers: its runs can be repeated.

        It made one for each convolution of `bbh`, and one to check the settings of `dropout` and
        `mnf`.
        """
        for _ in range(count):
            keras.random.SeedGenerator()
