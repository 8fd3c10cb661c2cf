"""What a run needs to know of a network, besides the function that makes it."""

import dataclasses
from collections.abc import Callable

import keras

from bayes_by_hypernet.likelihoods import Categorical, Gaussian


def initializer():
    """Returns a new initialiser of kernels (protocol)."""
    return keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of the paper: an ordinary Keras model, and what it is for.

    Attributes:
        name: The launchers' name for it.
        make: Function that returns a newly initialised Keras model; takes `dropout`, whether it has
            `Dropout` layers where MC-dropout drops units, and, where the network normalises,
            `batch_norm`.
        dataset: Name of the data set that the paper trains it on.
        batch_norm: Whose statistics it normalises by, one of `layers.STATISTICS`; None: it has no
            normalisation.
        likelihood: Of the labels given its outputs.
    """

    name: str
    make: Callable
    dataset: str
    batch_norm: str | None = None
    likelihood: Categorical | Gaussian = Categorical()

    def build(self, dropout=False):
        """Returns the Keras model `images -> outputs`, newly initialised."""
        settings = {"batch_norm": self.batch_norm} if self.batch_norm else {}
        return self.make(dropout=dropout, **settings)
