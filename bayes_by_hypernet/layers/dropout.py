"""Dropout that stays active at prediction."""

import keras
import tensorflow as tf

from bayes_by_hypernet import draws
from bayes_by_hypernet.checks import check_rate
from bayes_by_hypernet.layers.kinds import real_inputs


@keras.saving.register_keras_serializable(package="bayes_by_hypernet")
class MCDropout(draws.DrawingLayer):
    """Monte Carlo dropout (Gal & Ghahramani, 2016): drops units in training and at prediction.

    A posterior sample is a mask. Every call draws one for each example, except within
    `bbh.predict` and the like, where one mask holds for all examples: then a sample is a network.

    Args:
        rate: Float in [0, 1), the probability with which a unit is dropped. Those that stay are
            divided by `1 - rate`.
        seed: Integer or None.

    Call arguments:
        inputs: `(batch, ...)`.
        training: Boolean.

    Returns:
        Tensor of the shape of `inputs`.

    Raises:
        ValueError: If `rate` is out of range.

    Example:
        >>> layer = bbh.layers.MCDropout(0.5, seed=0)
        >>> outputs = np.unique(layer(np.ones((1, 100))))  # outside training, too
        >>> outputs.tolist()
        [0.0, 2.0]
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.rate = check_rate(rate)
        self.supports_masking = True

    def build(self, inputs_shape):
        self.built = True

    def call(self, inputs, training=None):
        inputs = real_inputs(self, inputs)
        shape = tf.shape(inputs)
        if draws.current().is_sample:
            shape = tf.concat([[1], shape[1:]], axis=0)
        uniform = tf.random.stateless_uniform(shape, self.next_key())
        kept = tf.cast(uniform >= self.rate, inputs.dtype)
        return inputs * kept / (1 - self.rate)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
