"""Keras callbacks for models with layers of this package."""

import warnings

import keras

from bayes_by_hypernet import compat
from bayes_by_hypernet.checks import check_at_least
from bayes_by_hypernet.divergences import linear_annealing
from bayes_by_hypernet.draws import find_layers


class KLAnnealing(keras.callbacks.Callback):
    """Anneals the KL of every layer of this package in a model, nested ones too.

    At each batch the factor is `clip((step / steps_per_epoch - start_epoch) / num_epochs, 0, 1)`.
    The paper's MNIST runs use `KLAnnealing(5, 15)`. After training the factor is 1 again, so it
    is 1 wherever the callback is not at work (a `fit` that an exception ended leaves its last
    factor), and it is never saved with a model.

    With `steps_per_execution` of more than 1, the factor of the first of these steps holds for
    all of them. Where `fit` cannot know the length of an epoch, it is counted in the first one,
    which is spent at the factor of its start.

    Args:
        start_epoch: Float, at least 0, where the factor leaves 0.
        num_epochs: Float, at least 0, how long it takes to reach 1; 0: at once.

    Raises:
        ValueError: If an argument is negative.

    Example:
        >>> layer = bbh.layers.MeanField(keras.layers.Dense(1), num_train_examples=1)
        >>> model = keras.Sequential([keras.Input((4,)), layer])
        >>> model.compile("adam", "mse")
        >>> x, y = np.zeros((1, 4)), np.zeros((1, 1))
        >>> annealing = bbh.callbacks.KLAnnealing(start_epoch=1, num_epochs=1)
        >>> history = model.fit(x, y, epochs=1, callbacks=[annealing], verbose=0)
        >>> history.history["loss"][0] < 1  # without the KL
        True
    """

    def __init__(self, start_epoch, num_epochs):
        super().__init__()
        self.start_epoch = check_at_least("start_epoch", start_epoch, 0)
        self.num_epochs = check_at_least("num_epochs", num_epochs, 0)
        self._epoch = 0
        self._steps_per_epoch = None
        self._last_batch = -1

    def on_train_begin(self, logs=None):
        if not compat.takes_training(self.model):
            warnings.warn(
                f"The `call` of the model {self.model.name!r} does not take `training`, so that "
                "its layers do not know that they are trained: no KL enters the loss, and there "
                "is nothing to anneal. Give `call` the argument `training` and pass it on.",
                stacklevel=2,
            )
        self._steps_per_epoch = self.params.get("steps")
        self._last_batch = -1

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        steps_per_epoch = self._steps_per_epoch
        fraction = batch / steps_per_epoch if steps_per_epoch else 0.0
        epochs = self._epoch + fraction
        self._assign(linear_annealing(epochs, 1, self.start_epoch, self.num_epochs))

    def on_train_batch_end(self, batch, logs=None):
        self._last_batch = batch

    def on_epoch_end(self, epoch, logs=None):
        self._steps_per_epoch = self._steps_per_epoch or self._last_batch + 1

    def on_train_end(self, logs=None):
        self._assign(1.0)

    def _assign(self, anneal):
        for layer in find_layers(self.model, keras.layers.Layer):
            if hasattr(layer, "kl_factor"):  # a `BayesianModel` has one too
                layer.kl_factor.assign(anneal)
