"""The adversarial estimate: laws of its optimum, its two gradients, its random weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.divergences import AdversarialKL, sampled_estimator
from bayes_by_hypernet.priors import NormalPrior

KEY = tf.constant([3, 4], tf.int32)


def _estimator(units=(8,), num_random_weights=None):
    return AdversarialKL(NormalPrior(), units, num_random_weights)


def _linear(slope, offset):
    """A discriminator without hidden layers, of known weights."""
    estimator = _estimator(())
    estimator.discriminator.set_weights([np.array([[slope]]), np.array([offset])])
    return estimator


class TestAdversarialKL:
    def test_is_the_sum_over_weights_of_the_mean_logit(self):
        rng = np.random.default_rng(0)
        samples = [rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 4))]
        kl = _linear(2.0, -1.0)([tf.constant(s, tf.float32) for s in samples], KEY)
        expected = sum((2 * s - 1).sum() / 5 for s in samples)
        np.testing.assert_allclose(kl, expected, rtol=1e-5)

    def test_the_trained_discriminator_gives_the_divergence(self):
        """For q = N(1, 1), p = N(0, 1): log q - log p = w - 1/2, KL = 1/2 nat per weight."""
        estimator = _linear(0.0, 0.0)
        optimizer = keras.optimizers.Adam(0.05)
        variables = estimator.discriminator.trainable_variables

        @tf.function
        def train(step):
            key = randomness.fold_in(KEY, step)
            q = 1 + tf.random.stateless_normal((5, 2000), key)
            with tf.GradientTape() as tape:
                loss = estimator.loss([q], key)
            optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
            return loss

        losses = [float(train(tf.constant(i))) for i in range(300)]
        assert losses[-1] < losses[0]
        np.testing.assert_allclose(losses[0], 2 * np.log(2), rtol=1e-5)
        slope, offset = (float(w) for w in (v.numpy().squeeze() for v in variables))
        # The last steps' noise: a rate of 0.05 on batches of 20,000.
        np.testing.assert_allclose([slope, offset], [1.0, -0.5], atol=0.1)
        q = 1 + tf.random.stateless_normal((5, 2000), KEY)
        np.testing.assert_allclose(estimator([q], KEY) / 2000, 0.5, atol=0.1)

    def test_gradients_of_the_kl_reach_the_samples_and_not_the_discriminator(self):
        estimator = _estimator()
        samples = [tf.random.stateless_normal((5, 3), KEY)]
        variables = [v.value for v in estimator.discriminator.trainable_variables]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(samples)
            kl, loss = estimator(samples, KEY), estimator.loss(samples, KEY)
        assert tape.gradient(kl, samples)[0].numpy().any()
        assert tape.gradient(kl, variables) == [None] * len(variables)
        assert tape.gradient(loss, samples) == [None]
        assert all(g is not None for g in tape.gradient(loss, variables))

    def test_random_weights_estimate_the_sum_over_all(self):
        rng = np.random.default_rng(0)
        samples = [tf.constant(rng.normal(size=(5, 300)), tf.float32)]
        whole, part = _linear(1.0, 0.0), _estimator((), num_random_weights=50)
        part.discriminator.set_weights(whole.discriminator.get_weights())
        keys = [randomness.fold_in(KEY, i) for i in range(400)]
        estimates = np.array([part(samples, key) for key in keys])
        assert len(np.unique(estimates)) > 300
        error = 5 * estimates.std() / np.sqrt(len(keys))
        np.testing.assert_allclose(estimates.mean(), whole(samples, KEY), atol=error)
        np.testing.assert_array_equal(part(samples, KEY), part(samples, KEY))

    @pytest.mark.parametrize("count", [300, 1000])
    def test_as_many_random_weights_as_there_are_means_all(self, count):
        samples = [tf.random.stateless_normal((5, 300), KEY)]
        whole, same = _linear(1.0, 0.0), _estimator((), num_random_weights=count)
        same.discriminator.set_weights(whole.discriminator.get_weights())
        np.testing.assert_array_equal(same(samples, KEY), whole(samples, KEY))

    def test_hidden_units_and_relu(self):
        weights = _estimator((64, 64)).discriminator.get_weights()
        assert [w.shape for w in weights] == [(1, 64), (64,), (64, 64), (64,), (64, 1), (1,)]
        layers = _estimator((64, 64)).discriminator.layers
        assert [layer.activation.__name__ for layer in layers] == ["relu", "relu", "linear"]


class TestSampledEstimator:
    @pytest.mark.parametrize("name", ["independent", "full", "adversarial"])
    def test_by_name_a_repeatable_function_of_samples_and_key(self, name):
        estimator = sampled_estimator(name, NormalPrior(), (4,))
        samples = [
            tf.random.stateless_normal((5, 2, 3), KEY),
            tf.random.stateless_normal((5, 4), KEY),
        ]
        first = estimator(samples, KEY)
        assert first.shape == () and float(first) == float(estimator(samples, KEY))
        if name != "adversarial":  # whose value has nothing random when it sees all weights
            assert float(estimator(samples, KEY + 1)) != float(first)
