"""Likelihoods against the densities of SciPy and sums written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from scipy import integrate, special, stats

import bayes_by_hypernet as bbh
from bayes_by_hypernet import likelihoods, randomness
from bayes_by_hypernet.likelihoods import Bernoulli, Categorical, Gaussian
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


class TestBernoulli:
    logits = RNG.normal(0, 3, (5, 4))
    labels = RNG.integers(0, 2, (5, 4))

    def test_is_scipys_log_mass_summed_over_labels(self):
        expected = -stats.bernoulli.logpmf(self.labels, special.expit(self.logits)).sum(axis=1)
        of_logits = Bernoulli().call(tf.constant(self.labels), tf.constant(self.logits))
        np.testing.assert_allclose(of_logits, expected, rtol=1e-9)
        probs = tf.constant(special.expit(self.logits))
        of_probs = Bernoulli(from_logits=False).call(tf.constant(self.labels), probs)
        np.testing.assert_allclose(of_probs, expected, rtol=1e-7)
        of_samples = Bernoulli().negative_log_likelihood(
            self.labels, tf.constant(np.stack([self.logits, -self.logits]))
        )
        np.testing.assert_allclose(of_samples[0], expected, rtol=1e-9)

    def test_certain_models_keep_entropies_and_losses_finite(self):
        outputs = tf.constant([[-800.0], [800.0], [40.0]])
        mean, entropy = Bernoulli().moments(outputs)
        np.testing.assert_allclose(entropy[:2], 0, atol=1e-30)
        assert 0 < entropy[2] < 1e-15 and mean[2] <= 1
        mixed = Bernoulli().mixture_outputs([mean, entropy])
        assert np.isfinite(mixed).all() and mixed[0] < -80 and mixed[1] > 80

    def test_the_mean_probability_decides_what_is_right(self):
        logits = tf.constant([[[0.1, 0.0]], [[0.1, 5.0]], [[-9.0, 5.0]]])
        np.testing.assert_allclose(Bernoulli().correct(tf.constant([[0, 1]]), logits), [1.0])
        np.testing.assert_allclose(Bernoulli().correct(tf.constant([[1, 1]]), logits), [0.5])

    def test_probabilities_out_of_range_are_refused(self):
        mean = np.array([[0.5], [1.5]])
        with pytest.raises(ValueError, match="Received: 1.5; pass from_logits=True"):
            Bernoulli(from_logits=False).prediction([mean, np.zeros_like(mean)])

    def test_a_single_unit_takes_labels_without_it_and_refuses_broadcasts(self):
        outputs = tf.constant(self.logits[:, :1])
        losses = Bernoulli().call(tf.constant(self.labels[:, 0]), outputs)
        assert losses.shape == (5,)
        with pytest.raises(ValueError, match="shape of the outputs"):
            Bernoulli().call(tf.constant(self.labels), outputs)
        with pytest.raises(ValueError, match="shape of the outputs"):
            Bernoulli()(self.labels[:1, :1], outputs)  # of one example


class TestLearnedNoise:
    mean, log_stddev = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2))
    labels = RNG.normal(size=(5, 2))

    def test_is_scipys_log_density(self):
        expected = -stats.norm.logpdf(self.labels, self.mean, np.exp(self.log_stddev)).sum(axis=1)
        outputs = tf.constant(np.concatenate([self.mean, self.log_stddev], axis=1))
        likelihood = Gaussian("learned")
        np.testing.assert_allclose(likelihood.call(self.labels, outputs), expected, rtol=1e-9)
        stacked = likelihood.negative_log_likelihood(self.labels, outputs[tf.newaxis])
        np.testing.assert_allclose(stacked, [expected], rtol=1e-9)

    def test_predicts_a_network_with_two_outputs(self):
        inputs = keras.Input((3,))
        heads = [bbh.layers.DenseFlipout(2, num_train_examples=9)(inputs) for _ in range(2)]
        model = keras.Model(inputs, heads)
        prediction = bbh.predict(
            model, np.ones((4, 3)), 5, likelihood=Gaussian("heteroscedastic"), return_samples=True
        )
        assert prediction.sample_stddev.shape == (5, 4, 2) and prediction.total.shape == (4, 2)

    def test_the_noise_of_data_is_found(self):
        # Labels are noise of standard deviations 0.5 and 3 around 0.
        x = np.ones((4000, 1), np.float32)
        y = np.random.default_rng(1).normal(0, [0.5, 3.0], (4000, 2)).astype(np.float32)
        network = keras.Sequential(
            [
                keras.Input((1,)),
                keras.layers.Dense(2),
                bbh.layers.LearnedStddev(per_output=True, initial_stddev=2.0),
            ]
        )
        model = bbh.bayesify(network, "mean_field", num_train_examples=4000, verbose=False)
        assert [v.name for v in model.point_variables].count("log_stddev") == 1
        model.compile(keras.optimizers.Adam(0.05), Gaussian("learned"))
        model.fit(x, y, batch_size=400, epochs=15, verbose=0)
        noise = np.sqrt(bbh.predict(model, x[:1], 50, seed=1).aleatoric[0])
        # The standard error of a standard deviation from 4,000 labels is 1.1 %.
        np.testing.assert_allclose(noise, [0.5, 3.0], rtol=0.1)

    @pytest.mark.parametrize("stddev", [0, -1, [1, 0], "known", np.nan, [[1.0]], "yes"])
    def test_bad_standard_deviations(self, stddev):
        with pytest.raises(ValueError, match="Argument `stddev` must be"):
            Gaussian(stddev)

    def test_outputs_that_do_not_fit(self):
        with pytest.raises(ValueError, match="2 \\* units"):
            Gaussian("learned").check_outputs((None, 3))
        with pytest.raises(ValueError, match="one for each of 3 outputs"):
            Gaussian([1.0, 2.0]).check_outputs((None, 3))


class TestKerasLosses:
    def test_a_likelihood_is_saved_with_its_model(self, tmp_path):
        for likelihood in (Categorical(False), Bernoulli(), Gaussian([0.1, 2.0])):
            model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
            model.compile("adam", likelihood)
            model.save(tmp_path / "model.keras")
            loaded = keras.saving.load_model(tmp_path / "model.keras")
            assert loaded.loss.key == likelihood.key

    def test_categorical_is_kerass_cross_entropy_with_its_kinds_of_labels(self):
        logits, keras_loss = LOGITS.astype("float32"), keras.losses.SparseCategoricalCrossentropy
        expected = keras_loss(from_logits=True)(np.tile(CLASSES, (3, 1)), logits)
        labels = np.tile(CLASSES, (3, 1))
        for given in (labels, labels[..., None], np.eye(4)[labels]):
            np.testing.assert_allclose(Categorical()(given, logits), expected, rtol=1e-5)
        weights = RNG.random((3, 5))
        np.testing.assert_allclose(
            Categorical()(labels, logits, weights),
            keras_loss(from_logits=True)(labels, logits, weights),
            rtol=1e-5,
        )

    @pytest.mark.parametrize(
        "loss, units, terms",
        [
            (keras.losses.BinaryCrossentropy(from_logits=True), 3, 3),
            (Bernoulli(), 3, 1),
            ("mse", 2, 2),
            (Gaussian(), 2, 1),
            (keras.losses.CategoricalCrossentropy(from_logits=True), 3, 1),
        ],
    )
    def test_the_kl_is_divided_by_what_the_loss_averages(self, loss, units, terms):
        x = np.ones((20, 2), np.float32)
        y = np.eye(units, dtype=np.float32)[np.arange(20) % units]
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
        model = bbh.bayesify(network, "mean_field", num_train_examples=20, verbose=False)
        model.compile(keras.optimizers.SGD(0.0), loss)
        log = model.fit(x, y, batch_size=20, epochs=1, verbose=0).history
        np.testing.assert_allclose(
            log["loss"][0] - log["nll"][0], log["kl_per_example"][0] / terms, rtol=1e-4
        )

    @pytest.mark.parametrize("loss", ["poisson", keras.losses.Huber(), keras.losses.Hinge()])
    def test_losses_that_stand_for_no_likelihood_still_train(self, loss):
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "softplus")])
        model = bbh.bayesify(network, "mean_field", num_train_examples=20, verbose=False)
        model.compile("adam", loss)
        x, y = np.ones((20, 2), np.float32), np.ones((20, 1), np.float32)
        log = model.fit(x, y, validation_data=(x, y), epochs=1, verbose=0).history
        assert np.isfinite([log["nll"], log["val_nll"]]).all()

    def test_names_and_objects(self):
        assert likelihoods.get("bernoulli", False).key == Bernoulli(False).key
        with pytest.raises(ValueError, match="`from_logits` belongs to the likelihood"):
            likelihoods.get(Bernoulli(), False)
        assert repr(Gaussian(0.5)) == "Gaussian(stddev=0.5)"


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
