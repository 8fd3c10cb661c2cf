"""Maximum a posteriori (Table 3, 'MAP')."""

from bayes_by_hypernet import models
from bayes_by_hypernet.paper.methods.base import Method, PriorOptions
from bayes_by_hypernet.posteriors.samplers import EnsembleSampler


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
