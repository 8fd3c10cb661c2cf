"""Bayes by Hypernet: weights are samples from hypernetworks, w = G(z) (paper, Section 2)."""

import dataclasses
import math

import tensorflow as tf

from bayes_by_hypernet import likelihoods, randomness
from bayes_by_hypernet.divergences import SAMPLED_ESTIMATORS
from bayes_by_hypernet.hypernetworks import (
    HIDDEN_UNITS,
    HypernetworkKernel,
    SingleHypernetwork,
    check_hidden_units,
)
from bayes_by_hypernet.paper.methods import functional
from bayes_by_hypernet.paper.methods.base import Method, Options
from bayes_by_hypernet.paper.methods.options import (
    check_at_least,
    check_choice,
    check_estimator,
    make_estimator,
)
from bayes_by_hypernet.paper.networks import GivenWeightsFamily
from bayes_by_hypernet.priors import NormalPrior

ARCHITECTURES = ("layerwise", "sliced", "single")
NOISES = ("independent", "shared")
DISCRIMINATOR_UNITS = (64, 64, 64)  # authors' code


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
                f"Argument `kl_estimator` must be one of {SAMPLED_ESTIMATORS} for method='bbh': "
                "the weights are samples from a hypernetwork, whose density is not known, so that "
                "their KL can only be estimated. Received: kl_estimator='analytic'"
            )
        check_estimator(self, SAMPLED_ESTIMATORS)
        if single and self.noise == "independent":
            raise ValueError(
                'Argument `noise` must be "shared" with architecture="single": one hypernetwork '
                "makes every weight from the same z. Received: noise='independent'"
            )
        check_at_least("noise_dim", self.noise_dim, 1)
        if not 1 <= self.num_likelihood_samples <= self.num_kl_samples:
            raise ValueError(
                "Argument `num_likelihood_samples` must be between 1 and `num_kl_samples`="
                f"{self.num_kl_samples}. "
                f"Received: num_likelihood_samples={self.num_likelihood_samples}"
            )
        NormalPrior(self.prior_stddev)
        object.__setattr__(self, "hidden_units", check_hidden_units(self.hidden_units))


class BayesByHypernet(Method):
    """Implicit posterior: z ~ N(0, I), w = G(z), logits = network(x, w).

    The edges are the weight samples `(n, *shape)`: the KL needs all n, the likelihood the first
    few, and replicas exchange gradients with respect to them instead of the hypernetwork's. After
    them come the network's own parameters, those of batch normalisation, which are points.
    """

    name = "bbh"
    Options = BayesByHypernetOptions
    learning_rate = 1e-4
    anneals_kl = True

    def __init__(self, network, options):
        self.options = options
        family = GivenWeightsFamily()
        self.network = network.build(family, family.weight_inputs)
        self.input_shape = network.input_shape
        self.prediction_batch_size = network.prediction_batch_size
        self.likelihood = likelihoods.get(network.likelihood)
        self.weight_names = family.weight_names
        self.weight_shapes = family.weight_shapes
        self.sample_shapes = dict(zip(self.weight_names, self.weight_shapes, strict=True))
        self.num_weights = sum(math.prod(shape) for shape in self.weight_shapes)
        self.hypernetworks = self._make_hypernetworks()
        for hypernetwork in self.hypernetworks:
            hypernetwork.build((None, options.noise_dim))
        self.estimator = make_estimator(options, DISCRIMINATOR_UNITS)
        generators = [v for g in self.hypernetworks for v in g.trainable_variables]
        self.trainable_variables = [*generators, *self.network.trainable_variables]

    @property
    def variables(self):
        return [*self.trainable_variables, *functional.moving_statistics(self.network)]

    @staticmethod
    def authors_batch_norm(options):
        return "batch" if options.architecture == "layerwise" else "instance"

    def _make_hypernetworks(self):
        units = self.options.hidden_units
        if self.options.architecture == "single":
            return [SingleHypernetwork(self.weight_shapes, hidden_units=units)]
        hypernetworks = []
        for name, shape in zip(self.weight_names, self.weight_shapes, strict=True):
            # Kernels are sliced along their output axis, biases are not (protocol).
            sliced = self.options.architecture == "sliced" and len(shape) > 1
            num_slices = shape[-1] if sliced else 1
            name = "hypernetwork_" + name.replace("/", "_")
            hypernetworks.append(HypernetworkKernel(shape, units, num_slices, name=name))
        return hypernetworks

    def noise(self, num_samples, key):
        """Returns z `(n, d)` for each hypernetwork: one tensor for all where noise is shared."""
        keys = [randomness.fold_in(key, "noise")] * len(self.hypernetworks)
        if self.options.noise == "independent":
            keys = [randomness.fold_in(key, i) for i, key in enumerate(keys)]
        shape = (num_samples, self.options.noise_dim)
        return [tf.random.stateless_normal(shape, key) for key in keys]

    def generate(self, noise, multiply=None):
        """Returns weight samples `(n, *shape)` of every tensor: w = G(z), in network order."""
        weights = [g(z, multiply=multiply) for g, z in zip(self.hypernetworks, noise, strict=True)]
        return weights[0] if self.options.architecture == "single" else weights

    def edges(self, key, multiply=None):
        weights = self.generate(self.noise(self.options.num_kl_samples, key), multiply)
        points = [tf.convert_to_tensor(v.value) for v in self.network.trainable_variables]
        return [*weights, *points]

    def training_logits(self, images, labels, edges, key):
        weights, points = self._split(edges)
        logits = []
        for i in range(self.options.num_likelihood_samples):
            # Gathered, so that the gradient for a sample comes without zeros for the others.
            inputs = [images, *(tf.gather(samples, i) for samples in weights)]
            logits.append(functional.call(self.network, inputs, points, training=True))
        return tf.stack(logits)

    def kl(self, edges, key):
        weights, _ = self._split(edges)
        return self.estimator(weights, key)

    def _split(self, edges):
        """Returns the weight samples and the points among the edges."""
        return edges[: len(self.weight_names)], edges[len(self.weight_names) :]

    def draw(self, num_samples, key):
        weights = self.generate(self.noise(num_samples, key))
        return dict(zip(self.weight_names, weights, strict=True))

    def logits(self, images, sample):
        weights = [sample[name] for name in self.weight_names]
        return self.network([images, *weights], training=False)
