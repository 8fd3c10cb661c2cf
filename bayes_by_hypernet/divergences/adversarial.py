"""The adversarial estimate of KL(q || p): Adversarial Variational Bayes (Table 5, supplement A)."""

import keras
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.divergences.sampled import SampledKL

# Steps of the discriminator before training and with each step (paper, supplement A).
WARM_UP_STEPS = 100
STEPS = 5
CLIP = 5.0  # of the gradients of both networks (authors' code)


class AdversarialKL(SampledKL):
    """One discriminator for single weights estimates their log density ratio.

    The discriminator T sees one weight at a time, without its place in the network. At its optimum
    `T(w) = log q(w) - log p(w)` (Mescheder et al., 2017), with q the mixture over all weights:

    ```
    kl = sum over weights of the mean over samples of T(w)
    ```

    That is why it is biased: the mixture is closer to the prior than the weights are. A call has
    gradients with respect to the samples only; `loss` trains the discriminator.

    Args:
        prior: Callable `(shape, seed) -> samples`.
        hidden_units: Hidden units of the discriminator.
        num_random_weights: How many weights, drawn at random with replacement, a call and a loss
            look at; None, or not fewer than there are: all. The KL is scaled accordingly.
    """

    updates_in_backward = False

    def __init__(self, prior, hidden_units, num_random_weights=None):
        self.prior = prior
        self.num_random_weights = num_random_weights
        hidden = [
            keras.layers.Dense(units, activation="relu", name=f"hidden_{i}")
            for i, units in enumerate(hidden_units)
        ]
        self.discriminator = keras.Sequential(
            [keras.Input((1,)), *hidden, keras.layers.Dense(1, name="logit")], name="discriminator"
        )

    @property
    def auxiliary_variables(self):
        return self.discriminator.trainable_variables

    def num_auxiliary_steps(self, step):
        return tf.where(step == 0, STEPS + WARM_UP_STEPS, STEPS)

    def auxiliary_gradients(self, samples, key):
        """Returns the discriminator's gradients, clipped; nothing in them depends on the data."""
        with tf.GradientTape() as tape:
            loss = self.loss(samples, key)
        return self.process(tape.gradient(loss, [v.value for v in self.auxiliary_variables]))

    def process(self, gradients):
        """Clips each component."""
        return [tf.clip_by_value(gradient, -CLIP, CLIP) for gradient in gradients]

    def __call__(self, samples, key):
        """Returns the estimate, a scalar in nats.

        Args:
            samples: List of tensors `(n, *weight_shape)`, samples of the posterior.
            key: Stateless seed.
        """
        chosen, num_weights = self._choose(samples, key)
        # With the weights as constants: here the discriminator is not what is trained.
        weights = [tf.stop_gradient(v.value) for v in self.discriminator.trainable_variables]
        logits, _ = self.discriminator.stateless_call(weights, [], _column(chosen))
        return tf.reduce_mean(logits) * num_weights

    def loss(self, samples, key):
        """Returns the cross-entropy of telling posterior samples (1) from prior samples (0)."""
        chosen, _ = self._choose(samples, key)
        fake = tf.stop_gradient(chosen)
        real = self.prior(tf.shape(chosen), randomness.fold_in(key, "prior"))
        of_posterior = self.discriminator(_column(fake))
        of_prior = self.discriminator(_column(real))
        return tf.reduce_mean(tf.nn.softplus(-of_posterior)) + tf.reduce_mean(
            tf.nn.softplus(of_prior)
        )

    def _choose(self, samples, key):
        """Returns samples `(n, K)` of K random weights, and the number of all weights."""
        samples = [tf.reshape(s, (s.shape[0], -1)) for s in samples]
        num_weights = sum(s.shape[1] for s in samples)
        joined = tf.concat(samples, axis=1)  # (n, num_weights)
        if self.num_random_weights is not None and self.num_random_weights < num_weights:
            index = tf.random.stateless_uniform(
                (self.num_random_weights,),
                randomness.fold_in(key, "weights"),
                maxval=num_weights,
                dtype=tf.int32,
            )
            joined = tf.gather(joined, index, axis=1)
        return joined, num_weights


def _column(samples):
    return tf.reshape(samples, (-1, 1))
