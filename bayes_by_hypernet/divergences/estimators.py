"""Estimators of the KL from samples, by name (Table 5): functions of samples of all weights."""

from bayes_by_hypernet.divergences.adversarial import AdversarialKL
from bayes_by_hypernet.divergences.nearest_neighbor import nearest_neighbor_kl_to_prior
from bayes_by_hypernet.divergences.sampled import SampledKL

SAMPLED_ESTIMATORS = ("independent", "full", "adversarial")


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


def sampled_estimator(name, prior, discriminator_units=(64, 64, 64), num_random_weights=None):
    """Returns the estimator called `name`, one of `SAMPLED_ESTIMATORS`.

    Args:
        name: One of them.
        prior: Callable `(shape, seed) -> samples`.
        discriminator_units, num_random_weights: Of the adversarial estimator.
    """
    if name == "adversarial":
        return AdversarialKL(prior, discriminator_units, num_random_weights)
    return NearestNeighborKL(prior, name)
