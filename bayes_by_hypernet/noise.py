"""z ~ N(0, I), the input of every hypernetwork (paper, Section 2)."""

import keras
import tensorflow as tf

from bayes_by_hypernet.checks import check_integer, refusal
from bayes_by_hypernet.draws import DrawingLayer


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class AuxiliaryNoise(DrawingLayer):
    """Draws the auxiliary variable z ~ N(0, I) that hypernetworks turn into weights.

    One noise layer that feeds several hypernetwork layers couples their weights (shared noise);
    one noise layer each decouples them (independent noise; Table 2).

    Args:
        dim: Integer, at least 1, the number of noise dimensions `d`.
        num_samples: Integer, at least 1, the number of samples `n` of one call.
        seed: Integer or None. An integer makes the sequence of draws repeatable.

    Call arguments:
        inputs: Ignored. Ties the noise into a functional graph.
        num_samples: Integer or scalar tensor, in place of the constructor's.

    Returns:
        Tensor `(num_samples, dim)`.

    Example:
        >>> x = keras.Input((4,))
        >>> z = bbh.AuxiliaryNoise(dim=2)(x)
        >>> layer = bbh.layers.DenseHypernet(10, hidden_units=(8, 16), num_train_examples=60000)
        >>> tuple(layer(x, noise=z).shape)
        (None, 10)
    """

    def __init__(self, dim=1, num_samples=5, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.dim = check_integer("dim", dim, 1)
        self.num_samples = check_integer("num_samples", num_samples, 1)

    def build(self, input_shape=None):
        self.built = True

    def call(self, inputs=None, num_samples=None):
        shape = (self._count(num_samples), self.dim)
        return tf.random.stateless_normal(shape, self.next_key(), dtype=self.compute_dtype)

    def compute_output_spec(self, inputs=None, num_samples=None):
        count = self._count(num_samples)
        count = count if isinstance(count, int) else None
        return keras.KerasTensor((count, self.dim), self.compute_dtype)

    def _count(self, num_samples):
        return self.num_samples if num_samples is None else check_num_samples(num_samples)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "num_samples": self.num_samples}


def check_num_samples(num_samples):
    """Returns an integer of at least 1, or a scalar tensor of integers; ValueError otherwise."""
    if not tf.is_tensor(num_samples):
        return check_integer("num_samples", num_samples, 1)
    if not num_samples.dtype.is_integer or num_samples.shape.rank not in (0, None):
        raise refusal("num_samples", "an integer or a scalar tensor of integers", num_samples)
    known = tf.get_static_value(num_samples)
    if known is not None:
        return check_integer("num_samples", int(known), 1)
    return tf.cast(num_samples, tf.int32)
