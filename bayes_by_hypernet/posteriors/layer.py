"""What layers with a posterior over their weights share: draws, and the KL in the loss."""

import keras
import tensorflow as tf

from bayes_by_hypernet import draws
from bayes_by_hypernet.checks import check_choice, check_num_train_examples
from bayes_by_hypernet.divergences import scaled_kl


class KLFactor:
    """The factor by which `bbh.callbacks.KLAnnealing` anneals a KL; 1 without it.

    Neither Keras nor `tf.train.Checkpoint` tracks it: it belongs to a call of `fit`, not to a
    model, so that no saved or restored weights ever bring it back.
    """

    def __init__(self):
        with tf.init_scope():
            self._variable = tf.Variable(1.0, trainable=False, name="kl_factor")

    def assign(self, value):
        self._variable.assign(value)

    def value(self, dtype=tf.float32):
        return tf.cast(self._variable, dtype)


class PosteriorLayer(draws.DrawingLayer):
    """A layer with a posterior over its weights, which adds `factor * KL / N` to the loss.

    The KL enters once in each forward pass in training, however often the layer is called in it;
    not where the layer is frozen (`trainable=False`), and not where a `BayesianModel` or the
    training loop adds it to the objective.

    Args:
        kl_estimator: One of `KL_ESTIMATORS` of the class; None: no KL, it is handled elsewhere.
        num_train_examples: Integer N; needed in training unless `kl_estimator` is None.
        seed: Integer or None.

    Attributes:
        kl_factor: `KLFactor`.
    """

    KL_ESTIMATORS: tuple

    def __init__(self, kl_estimator, num_train_examples=None, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.kl_estimator = check_choice("kl_estimator", kl_estimator, self.KL_ESTIMATORS)
        self.num_train_examples = check_num_train_examples(num_train_examples)
        self.kl_factor = KLFactor()

    @property
    def weight_names(self):
        """Names of the weight tensors that a posterior sample consists of."""
        raise NotImplementedError

    @property
    def weight_shapes(self):
        """Their shapes, in the order of `weight_names`."""
        raise NotImplementedError

    def sample_weights(self, num_samples, key):
        """Returns posterior samples, a list of tensors `(n, *shape)`; `key` decides them."""
        raise NotImplementedError

    def add_kl(self, kl):
        """Adds the share of `kl()`, a function that returns nats, to the loss, once a pass.

        Raises:
            ValueError: If there is a KL to add and `num_train_examples` is not known.
        """
        current = draws.current()
        if self.kl_estimator is None or not current.adds_kl or not self.trainable:
            return
        if self.num_train_examples is None:
            raise ValueError(
                f"Layer {self.name!r} needs the argument `num_train_examples`, the number of "
                "training examples N: the loss is a mean over examples, so the KL enters as KL / N "
                "(Eq. 1). Pass num_train_examples=N, or kl_estimator=None to handle the KL "
                "elsewhere. Received: num_train_examples=None"
            )

        def add():
            nats = kl()
            loss = scaled_kl(nats, self.num_train_examples, self.kl_factor.value(nats.dtype))
            self.add_loss(tf.cast(loss, keras.config.floatx()))  # the dtype of Keras's own losses

        current.once(self, "kl", add)

    def get_config(self):
        config = {"kl_estimator": self.kl_estimator, "num_train_examples": self.num_train_examples}
        return {**super().get_config(), **config}
