"""What a network asks of a family of layers; a method is such a family plus its objective."""

import abc
import dataclasses
from collections.abc import Callable

import keras

from bayes_by_hypernet.layers import BatchNormalization, Conv2DGivenWeights, DenseGivenWeights
from bayes_by_hypernet.paper.protocols import BATCH_SIZE


class LayerFamily(abc.ABC):
    """The layers of one method, applied to symbolic Keras tensors.

    A network is a function `network(layers, inputs, num_outputs)` that calls these.
    """

    @abc.abstractmethod
    def conv2d(self, inputs, filters, kernel_size, strides=1, padding="valid", name=None):
        """Applies a convolution with bias; `inputs` is `(batch, height, width, channels)`."""

    @abc.abstractmethod
    def dense(self, inputs, units, name=None):
        """Applies a dense layer with bias; `inputs` is `(batch, inputs)`."""

    def dropout(self, inputs, name=None):
        """Marks a place where MC-dropout drops units; every other family passes through."""
        return inputs

    def batch_norm(self, inputs, statistics, name=None):
        """Normalises `inputs`; the parameters are point estimates in every family."""
        return BatchNormalization(statistics, name=name)(inputs)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to be built of any family of layers.

    Attributes:
        name: As launchers say it.
        apply: `(layers, inputs, num_outputs) -> outputs`, on symbolic tensors; one that normalises
            takes `batch_norm` too.
        input_shape: Of one input: `(height, width, channels)` of an image.
        num_outputs: Number of classes, or of the labels of a regression.
        dataset: Name of the data set that the paper trains it on.
        batch_norm: Whose statistics it normalises by, one of `layers.STATISTICS`; None: it has no
            batch normalisation.
        likelihood: What its outputs are to the labels, one of `likelihoods.LIKELIHOODS`.
    """

    name: str
    apply: Callable
    input_shape: tuple
    num_outputs: int
    dataset: str
    batch_norm: str | None = None
    likelihood: str = "categorical"

    @property
    def prediction_batch_size(self):
        """How many inputs are predicted at once where their answers depend on each other, or None.

        As many as in training.
        """
        return BATCH_SIZE if self.batch_norm == "batch" else None

    def build(self, layers, extra_inputs=()):
        """Returns the Keras model `[images, *extra_inputs] -> logits`, of float32 images.

        `extra_inputs` is read after the network was built: a family may add to it meanwhile.
        """
        images = keras.Input(self.input_shape, name="images")
        settings = {"batch_norm": self.batch_norm} if self.batch_norm else {}
        logits = self.apply(layers, images, self.num_outputs, **settings)
        inputs = [images, *extra_inputs] if extra_inputs else images
        return keras.Model(inputs, logits, name=self.name)


class GivenWeightsFamily(LayerFamily):
    """Layers whose weights are inputs of the network: `logits = network([x, *w])`.

    Args:
        model: Keras model of the same network, whose normalisation layers this one shares; None:
            it gets its own.

    Attributes:
        weight_inputs: Symbolic weights, kernel then bias of each layer, in order of use.
        weight_names: Their names, `<layer>/kernel` and `<layer>/bias`.
    """

    def __init__(self, model=None):
        self._model = model
        self.weight_inputs = []
        self.weight_names = []

    @property
    def weight_shapes(self):
        return [tuple(weight.shape) for weight in self.weight_inputs]

    def _weights(self, name, kernel_shape):
        named = {f"{name}/kernel": kernel_shape, f"{name}/bias": kernel_shape[-1:]}
        weights = [
            keras.Input(batch_shape=shape, name=weight_name.replace("/", "_"))
            for weight_name, shape in named.items()
        ]
        self.weight_names += named
        self.weight_inputs += weights
        return weights

    def conv2d(self, inputs, filters, kernel_size, strides=1, padding="valid", name=None):
        weights = self._weights(name, (kernel_size, kernel_size, inputs.shape[-1], filters))
        return Conv2DGivenWeights(strides, padding, name=name)(inputs, *weights)

    def dense(self, inputs, units, name=None):
        weights = self._weights(name, (inputs.shape[-1], units))
        return DenseGivenWeights(name=name)(inputs, *weights)

    def batch_norm(self, inputs, statistics, name=None):
        if self._model is None:
            return super().batch_norm(inputs, statistics, name)
        return self._model.get_layer(name)(inputs)
