"""Keras callbacks for models with layers of this package."""

import keras

from bayes_by_hypernet.divergences import linear_annealing
from bayes_by_hypernet.layers.hypernet import HypernetLayer


class KLAnnealing(keras.callbacks.Callback):
    """Anneals the KL of every layer of this package in a model, nested ones too.

    At each batch the factor is `clip((step / steps_per_epoch - start_epoch) / num_epochs, 0, 1)`.
    The paper's MNIST runs use `KLAnnealing(5, 15)`. After training the factor is 1 again, so it
    is 1 wherever the callback is not at work.

    Args:
        start_epoch: Float, at least 0, where the factor leaves 0.
        num_epochs: Float, at least 0, how long it takes to reach 1; 0: at once.
    """

    def __init__(self, start_epoch, num_epochs):
        super().__init__()
        for name, value in (("start_epoch", start_epoch), ("num_epochs", num_epochs)):
            if value < 0:
                raise ValueError(f"Argument `{name}` must be at least 0. Received: {name}={value}")
        self.start_epoch = start_epoch
        self.num_epochs = num_epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        # Without a known length of the epoch, the first one is spent at its start.
        steps_per_epoch = self.params.get("steps")
        fraction = batch / steps_per_epoch if steps_per_epoch else 0.0
        step = self._epoch + fraction
        self._assign(linear_annealing(step, 1, self.start_epoch, self.num_epochs))

    def on_train_end(self, logs=None):
        self._assign(1.0)

    def _assign(self, anneal):
        for layer in self.model._flatten_layers():
            if isinstance(layer, HypernetLayer) and layer.built:
                layer.kl_anneal.assign(anneal)
