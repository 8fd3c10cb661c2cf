"""Likelihoods against the densities of SciPy and sums written out."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from scipy import integrate, special, stats

from bayes_by_hypernet import randomness
from bayes_by_hypernet.likelihoods import Categorical, Gaussian
from bayes_by_hypernet.paper.networks import TOY
from bayes_by_hypernet.training import FusedAdam, TrainConfig, Trainer, objective

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (3, 5, 4))
CLASSES = np.array([0, 3, 1, 1, 2])


class TestCategorical:
    likelihood = Categorical()

    def test_is_the_log_softmax_of_the_label(self):
        expected = -special.log_softmax(LOGITS, axis=-1)[:, np.arange(5), CLASSES]
        losses = self.likelihood.negative_log_likelihood(CLASSES, tf.constant(LOGITS))
        np.testing.assert_allclose(losses, expected, rtol=1e-12)
        of_one = self.likelihood.negative_log_likelihood(CLASSES, tf.constant(LOGITS[0]))
        np.testing.assert_array_equal(of_one, losses[0])

    def test_the_mean_probability_decides_what_is_right(self):
        # Two samples lean to class 0, one is certain of class 1.
        logits = tf.constant([[[0.1, 0.0]], [[0.1, 0.0]], [[-9.0, 9.0]]])
        assert self.likelihood.correct(tf.constant([1], tf.int64), logits).numpy() == [1.0]
        assert self.likelihood.correct(tf.constant([0], tf.int64), logits).numpy() == [0.0]


class TestGaussian:
    def test_is_the_log_density_summed_over_outputs(self):
        labels, means = RNG.normal(0, 9, (5, 2)), RNG.normal(0, 9, (3, 5, 2))
        expected = -stats.norm.logpdf(labels, means, 0.7).sum(axis=-1)
        losses = Gaussian(0.7).negative_log_likelihood(labels, means)
        assert losses.shape == (3, 5)
        np.testing.assert_allclose(losses, expected, rtol=1e-12)
        of_one = Gaussian(0.7).negative_log_likelihood(labels, means[0])
        np.testing.assert_allclose(of_one, expected[0], rtol=1e-12)

    def test_of_the_toy_has_standard_deviation_3_and_integrates_to_1(self):
        likelihood = TOY.likelihood
        assert likelihood.stddev == 3.0

        def density(y):
            loss = likelihood.negative_log_likelihood(np.array([[y]]), np.array([[1.0]]))
            return float(tf.exp(-loss)[0])

        assert abs(integrate.quad(density, -40, 40)[0] - 1) < 1e-6  # quad's own tolerance is 1e-8

    def test_float32_outputs_take_float32_labels_to_float32_losses(self):
        losses = Gaussian(3.0).negative_log_likelihood(np.zeros((5, 1)), tf.zeros((2, 5, 1)))
        assert losses.dtype == tf.float32

    def test_nothing_is_right(self):
        correct = Gaussian(3.0).correct(np.zeros((5, 1)), tf.zeros((2, 5, 1)))
        np.testing.assert_array_equal(correct, np.zeros(5))

    @pytest.mark.parametrize("shape", [(5,), (5, 2)])
    def test_labels_that_would_be_broadcast_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"`labels` must.* \(batch, 1\).*Received: shape \(5"):
            Gaussian(3.0).negative_log_likelihood(np.zeros(shape), tf.zeros((2, 5, 1)))


def test_the_loop_averages_log_likelihoods_over_samples_and_examples(tmp_path):
    member = tiny.member(num_likelihood_samples=3)
    examples = tiny.examples(4)
    trainer = Trainer(
        member,
        Categorical(),
        FusedAdam,
        examples,
        TrainConfig(1, 4, 3, steps_per_call=1),
        tmp_path,
        tf.distribute.get_strategy(),
    )
    key = randomness.fold_in(randomness.seed_key(3), tf.constant(0, tf.int64))  # of step 0
    parameters = member.sampled_parameters(key)
    logits = np.stack(member.training_outputs(examples.images, parameters, key))
    steps = trainer.run_steps(iter(trainer.batches(0)), tf.constant(1, tf.int64)).numpy()
    terms = objective.Terms(*steps[0])
    log_probs = special.log_softmax(logits.astype(np.float64), axis=-1)
    # float32 losses.
    np.testing.assert_allclose(
        terms.nll, -log_probs[:, range(4), examples.labels].mean(), rtol=1e-5
    )
    mean = special.softmax(logits, axis=-1).mean(axis=0)
    assert float(terms.accuracy) == np.mean(mean.argmax(axis=-1) == examples.labels)
