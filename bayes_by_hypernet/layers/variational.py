"""What layers with a posterior over their weights share: how their KL enters the loss."""

import keras
import tensorflow as tf

from bayes_by_hypernet.divergences import scaled_kl


class VariationalLayer(keras.layers.Layer):
    """A layer that adds `anneal * KL / num_train_examples` to the loss, in nats.

    Args:
        kl_estimator: One of `KL_ESTIMATORS` of the class; None: no KL, it is handled elsewhere.
        num_train_examples: Integer N; needed in training unless `kl_estimator` is None.
    """

    KL_ESTIMATORS: tuple

    def __init__(self, kl_estimator, num_train_examples=None, **kwargs):
        super().__init__(**kwargs)
        if kl_estimator not in self.KL_ESTIMATORS:
            raise ValueError(
                f"Argument `kl_estimator` must be one of {self.KL_ESTIMATORS}. "
                f"Received: kl_estimator={kl_estimator!r}"
            )
        if num_train_examples is not None and num_train_examples < 1:
            raise ValueError(
                "Argument `num_train_examples` must be at least 1. "
                f"Received: num_train_examples={num_train_examples}"
            )
        self.kl_estimator = kl_estimator
        self.num_train_examples = num_train_examples
        # `callbacks.KLAnnealing` sets it at every batch, the first one included: not in `build`.
        self.kl_anneal = self.add_weight(
            name="kl_anneal",
            shape=(),
            initializer="ones",
            dtype="float32",
            trainable=False,
            autocast=False,
        )

    @property
    def linear_dtype(self):
        """In what the outputs are computed from inputs and weights."""
        return self.dtype_policy

    def add_kl(self, kl, *args):
        """Adds the share of `kl(*args)`, a function that returns nats, to the loss.

        Raises:
            ValueError: If there is a KL to add and `num_train_examples` is not known.
        """
        if self.kl_estimator is None:
            return
        if self.num_train_examples is None:
            raise ValueError(
                f"Layer {self.name!r} needs the argument `num_train_examples`, the number of "
                "training examples N: the loss is a mean over examples, so the KL enters as KL / N "
                "(Eq. 1). Pass num_train_examples=N, or kl_estimator=None to handle the KL "
                "elsewhere. Received: num_train_examples=None"
            )
        nats = kl(*args)
        loss = scaled_kl(nats, self.num_train_examples, tf.cast(self.kl_anneal.value, nats.dtype))
        self.add_loss(tf.cast(loss, keras.config.floatx()))  # the dtype of Keras's own losses

    # An anneal factor belongs to a training run, not to the model: a model saved in the middle
    # of one and fitted on without the callback must not train at a fraction of its KL.
    def save_own_variables(self, store):
        kept = [variable for variable in self._own_variables() if variable is not self.kl_anneal]
        for i, variable in enumerate(kept):
            store[str(i)] = variable

    def load_own_variables(self, store):
        kept = [variable for variable in self._own_variables() if variable is not self.kl_anneal]
        if len(store.keys()) != len(kept):
            raise ValueError(
                f"Layer {self.name!r} expects {len(kept)} variables. Received: {len(store.keys())}"
            )
        for i, variable in enumerate(kept):
            variable.assign(store[str(i)])

    def _own_variables(self):
        return [*self._trainable_variables, *self._non_trainable_variables]

    def get_config(self):
        config = {"kl_estimator": self.kl_estimator, "num_train_examples": self.num_train_examples}
        return {**super().get_config(), **config}
