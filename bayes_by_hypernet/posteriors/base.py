"""What a posterior is: a distribution over a list of named tensors."""

import abc
import math

import keras


class Posterior(keras.layers.Layer, abc.ABC):
    """A distribution over the tensors that replace a layer's variables.

    Its own trainable variables are what training fits.

    Args:
        names: Names of the tensors, each different.
        shapes: Their shapes.

    Attributes:
        num_weights: Number of weights in all tensors together.
    """

    def __init__(self, names, shapes, **kwargs):
        super().__init__(**kwargs)
        self.names = list(names)
        self.shapes = [tuple(shape) for shape in shapes]
        self.num_weights = sum(math.prod(shape) for shape in self.shapes)

    @abc.abstractmethod
    def sample(self, num_samples, key, matmul=None):
        """Draws from the posterior, differentiably in its variables.

        Args:
            num_samples: Integer or scalar tensor n.
            key: Stateless seed `(2,)`.
            matmul: Function `(activations, Keras variable) -> product` for large matrices, which
                an optimiser may provide (`FusedAdam.matmul`), or None.

        Returns:
            List of tensors `(n, *shape)`.
        """

    @abc.abstractmethod
    def kl(self, samples, key):
        """Returns the divergence from the prior, a scalar in nats, unscaled.

        Args:
            samples: What `sample` returned; a posterior with an analytic KL ignores it.
            key: Stateless seed `(2,)` of what the estimate draws.
        """
