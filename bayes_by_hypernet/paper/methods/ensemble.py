"""Deep ensembles: networks that differ in initialisation and shuffles (Table 3, 'Ensemble')."""

import dataclasses

import tensorflow as tf

from bayes_by_hypernet import likelihoods, perturbations
from bayes_by_hypernet.paper.methods.base import Method, Options
from bayes_by_hypernet.paper.methods.keras_method import PointMethod
from bayes_by_hypernet.paper.methods.options import check_at_least


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
        check_at_least("num_members", self.num_members, 1)
        check_at_least("adversarial_epsilon", self.adversarial_epsilon, 0)


class EnsembleMember(PointMethod):
    """One network, without a prior, trained on `(loss(x) + loss(x_adv)) / 2`."""

    name = "ensemble_member"
    Options = EnsembleOptions

    def training_logits(self, images, labels, edges, key):
        def logits(inputs):
            return self.call_model(inputs, edges, training=True)

        def loss(inputs):
            outputs.append(logits(inputs))
            return self.likelihood.negative_log_likelihood(labels, outputs[0])

        outputs = []
        adversarial = perturbations.fast_sign(images, self.options.adversarial_epsilon, loss)
        return tf.stack([outputs[0], logits(adversarial)])

    def kl(self, edges, key):
        return tf.zeros(())


class Ensemble(Method):
    """Independent networks, trained with an adversarial term (Lakshminarayanan et al., 2017).

    The posterior is uniform over the members: M samples are all of them, in a random rotation.
    """

    name = "ensemble"
    Options = EnsembleOptions

    def __init__(self, network, options):
        self.options = options
        self.input_shape = network.input_shape
        self.prediction_batch_size = network.prediction_batch_size
        self.likelihood = likelihoods.get(network.likelihood)
        self._members = {
            f"member_{i:02}": EnsembleMember(network, options) for i in range(options.num_members)
        }
        first = next(iter(self._members.values()))
        self.num_weights = first.num_weights
        self.sample_shapes = first.sample_shapes

    @property
    def members(self):
        return dict(self._members)

    def leave_out(self, name):
        del self._members[name]

    @property
    def num_distinct_samples(self):
        return len(self._members)

    @property
    def trainable_variables(self):
        return [v for member in self._members.values() for v in member.trainable_variables]

    def edges(self, key, multiply=None):
        raise TypeError("An ensemble is trained member by member: use `members`.")

    training_logits = kl = edges

    def draw(self, num_samples, key):
        count = len(self._members)
        offset = tf.random.stateless_uniform((), key, maxval=count, dtype=tf.int32)
        index = (offset + tf.range(num_samples)) % count
        draws = [member.draw(1, key) for member in self._members.values()]
        return {
            name: tf.gather(tf.concat([draw[name] for draw in draws], axis=0), index)
            for name in self.sample_shapes
        }

    def logits(self, images, sample):
        # Members differ in their weights only, which the sample gives.
        return next(iter(self._members.values())).logits(images, sample)
