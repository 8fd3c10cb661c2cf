"""What a method is to training, prediction and export."""

import abc
import dataclasses
import functools
import math

import tensorflow as tf

from bayes_by_hypernet.divergences import AdversarialKL


@dataclasses.dataclass(frozen=True)
class Options:
    """Settings of a method, validated when made; the defaults are the paper's."""


class Method(abc.ABC):
    """A posterior over a network's weights, with the objective that fits it.

    The objective has two halves that meet at the *edges*, the tensors that the data-dependent
    half is a function of: `variables -> edges` is the same on every replica, and
    `edges, data -> negative log-likelihood` is not. Gradients with respect to the edges are what
    replicas sum. Edges are the weight samples where a hypernetwork makes them, and the variables
    themselves otherwise.

    Class attributes:
        name: As launchers say it.
        Options: Dataclass of the method's settings.
        learning_rate: Adam's (protocol).
        anneals_kl: Whether the KL is annealed.

    Attributes:
        trainable_variables: The Keras variables that training changes.
        variables: All that prediction needs.
        num_weights: Number of weights of the network.
        num_distinct_samples: How many posterior samples differ from each other; None: all.
        input_shape: Shape of one input.
        prediction_batch_size: How many inputs are predicted at once, where their answers depend
            on each other; None: as many as one likes.
        likelihood: Of the labels given the network's outputs, see `likelihoods`.
        sample_shapes: Dict, name to shape of one posterior sample's tensors.
        keras_model: A Keras model `x -> logits`, or None where there is none.
        estimator: What estimates the KL from weight samples, or None.
    """

    name: str
    Options = Options
    learning_rate = 1e-3
    anneals_kl = False
    num_distinct_samples = None
    prediction_batch_size = None
    keras_model = None
    estimator = None

    @staticmethod
    def authors_batch_norm(options):
        """Returns whose statistics a network normalises by in the authors' code (ruling 10)."""
        return "instance"

    @property
    def adversarial_kl(self):
        """The estimator whose discriminator is trained in alternation, or None."""
        return self.estimator if isinstance(self.estimator, AdversarialKL) else None

    @property
    def members(self):
        """Dict, name to the `Method`s that are fitted one after another, each in a run of its own.

        Itself, without a name, for everything but an ensemble.
        """
        return {"": self}

    def leave_out(self, name):
        """Removes the member `name`, whose training failed."""
        raise ValueError(f"The method {self.name!r} has no members to leave out: {name!r}")

    @property
    def variables(self):
        return self.trainable_variables

    @functools.cached_property
    def trackable(self):
        """What `tf.train.Checkpoint` saves and restores: every variable by its path.

        By path and one by one, since TensorFlow does not see layers in a layer's list. As Keras
        variables, so that those the optimiser holds too are saved once.
        """
        variables = {variable.path: variable for variable in self.variables}
        return tf.train.Checkpoint(variables=variables)

    @property
    def num_parameters(self):
        """Number of trained parameters."""
        return sum(math.prod(variable.shape) for variable in self.trainable_variables)

    @abc.abstractmethod
    def edges(self, key, multiply=None):
        """Returns the edges of one step, a list of tensors; differentiable in the variables.

        Args:
            key: Stateless seed of the step.
            multiply: Function of activations `(rank, rows)` and a kernel, a Keras variable
                `(rows, columns)`, that stands for their product where a method has such: an
                optimiser's, which may update the kernel when the tape goes back over it.
        """

    @abc.abstractmethod
    def training_logits(self, images, labels, edges, key):
        """Returns logits `(k, batch, classes)`, whose k log-likelihoods are averaged.

        `key` differs between replicas.
        """

    @abc.abstractmethod
    def kl(self, edges, key):
        """Returns the divergence from the prior, a scalar in nats, unscaled."""

    @abc.abstractmethod
    def draw(self, num_samples, key):
        """Returns posterior samples: dict of tensors, each with a leading sample axis.

        `num_samples` may be a scalar tensor; `key` is a stateless seed `(2,)`.
        """

    @abc.abstractmethod
    def logits(self, images, sample):
        """Returns logits `(batch, classes)` under one sample: `draw`'s dict at one index."""
