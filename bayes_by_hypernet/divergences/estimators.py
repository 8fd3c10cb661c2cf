"""Estimators of the KL from samples, by name: functions of samples of all weights."""

from bayes_by_hypernet import priors
from bayes_by_hypernet.divergences.adversarial import AdversarialKL
from bayes_by_hypernet.divergences.entropy import entropy_kl
from bayes_by_hypernet.divergences.nearest_neighbor import nearest_neighbor_kl_to_prior
from bayes_by_hypernet.divergences.sampled import SampledKL

SAMPLED_ESTIMATORS = ("independent", "full", "adversarial", "entropy")


class NearestNeighborKL(SampledKL):
    """`nearest_neighbor_kl` against as many fresh samples of the prior.

    Args:
        prior: Callable `(shape, seed) -> samples`.
        estimator: `"independent"` or `"full"`.
    """

    def __init__(self, prior, estimator):
        self.prior = prior
        self.estimator = estimator

    def __call__(self, samples, key):
        """Returns the estimate in nats; `samples` is a list of tensors `(n, *weight_shape)`."""
        return nearest_neighbor_kl_to_prior(samples, self.prior, key, self.estimator)


class EntropyKL(SampledKL):
    """`entropy_kl`: draws nothing, so that the key makes no difference.

    Args:
        prior: Object with a method `log_prob(weights)`.
    """

    def __init__(self, prior):
        self.prior = priors.get(prior, density=True)

    def __call__(self, samples, key=None):
        """Returns the estimate in nats; `samples` is a list of tensors `(n, *weight_shape)`."""
        return entropy_kl(samples, self.prior)


def sampled_estimator(name, prior, discriminator_units=(64, 64, 64), num_random_weights=None):
    """Returns the estimator called `name`, one of `SAMPLED_ESTIMATORS`.

    Args:
        name: One of them.
        prior: Callable `(shape, seed) -> samples`; for `"entropy"` an object with `log_prob`.
        discriminator_units, num_random_weights: Of the adversarial estimator.
    """
    if name == "adversarial":
        return AdversarialKL(prior, discriminator_units, num_random_weights)
    if name == "entropy":
        return EntropyKL(prior)
    return NearestNeighborKL(prior, name)
