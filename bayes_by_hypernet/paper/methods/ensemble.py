"""Deep ensembles with adversarial training (Table 3, 'Ensemble')."""

import dataclasses

from bayes_by_hypernet import models, perturbations
from bayes_by_hypernet.checks import check_at_least, check_integer
from bayes_by_hypernet.paper.methods.base import Method, Options
from bayes_by_hypernet.posteriors.samplers import EnsembleSampler


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
