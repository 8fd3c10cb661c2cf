"""What a network asks of a family of layers; a method is such a family plus its objective."""

import abc
import dataclasses
from collections.abc import Callable

import keras

from bayes_by_hypernet.layers import Conv2DGivenWeights, DenseGivenWeights


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


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to be built of any family of layers.

    Attributes:
        name: As launchers say it.
        apply: `(layers, inputs, num_outputs) -> logits`, on symbolic tensors.
        input_shape: `(height, width, channels)`.
        num_outputs: Number of classes.
    """

    name: str
    apply: Callable
    input_shape: tuple
    num_outputs: int

    def build(self, layers, extra_inputs=()):
        """Returns the Keras model `[images, *extra_inputs] -> logits`, of float32 images.

        `extra_inputs` is read after the network was built: a family may add to it meanwhile.
        """
        images = keras.Input(self.input_shape, name="images")
        logits = self.apply(layers, images, self.num_outputs)
        inputs = [images, *extra_inputs] if extra_inputs else images
        return keras.Model(inputs, logits, name=self.name)


class GivenWeightsFamily(LayerFamily):
    """Layers whose weights are inputs of the network: `logits = network([x, *w])`.

    Attributes:
        weight_inputs: Symbolic weights, kernel then bias of each layer, in order of use.
        weight_names: Their names, `<layer>/kernel` and `<layer>/bias`.
    """

    def __init__(self):
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
