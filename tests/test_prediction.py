"""The posterior predictive, against a NumPy twin over explicit samples."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import bayes_by_hypernet as bbh
from bayes_by_hypernet import randomness
from bayes_by_hypernet.paper import methods, networks
from bayes_by_hypernet.paper.posterior import Posterior
from bayes_by_hypernet.prediction import Predictor, samples_per_chunk


def _posterior(name="bbh", **options):
    return Posterior(tiny.method(name, **options), config=None)


def _spied_counts(monkeypatch, posterior):
    """Returns the list to which every draw adds its number of samples."""
    counts, draw = [], posterior.draw

    def spy(num_samples, key):
        tf.py_function(lambda n: counts.append(int(n)), [num_samples], [])
        return draw(num_samples, key)

    monkeypatch.setattr(posterior, "draw", spy)
    return counts


def _entropy(probs):
    return -np.sum(probs * np.log(probs), axis=-1)


@keras.saving.register_keras_serializable(package="tests")
class _Foreign(keras.layers.Layer):
    """A stochastic layer of another package: draws anew at each call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1)

    def call(self, inputs):
        return inputs + keras.random.normal(tf.shape(inputs), seed=self.seed_generator)


def _keras_model(kind):
    dense = bbh.layers.DenseHypernet(3, hidden_units=(4, 8), num_train_examples=60)
    if kind == "sequential":
        return keras.Sequential(
            [keras.layers.Input(tiny.SHAPE), keras.layers.Flatten(), dense], name="outer"
        )
    inputs = keras.Input(tiny.SHAPE)
    z = bbh.AuxiliaryNoise()(inputs)
    outputs = dense(keras.layers.Flatten()(inputs), noise=z)
    return keras.Model(inputs, outputs)


class TestPredict:
    @pytest.mark.parametrize(
        "options", [{}, {"architecture": "sliced"}, {"architecture": "single"}, {"noise_dim": 8}]
    )
    def test_equals_the_numpy_twin_over_its_samples(self, options):
        posterior = _posterior(**options)
        x = tiny.examples(7).images
        prediction = bbh.predict(posterior, x, num_samples=20, seed=5, return_samples=True)
        samples = prediction.samples
        assert samples.shape == (20, 7, 3)
        mean = samples.mean(axis=0)
        # float32 sums of 20 probabilities.
        np.testing.assert_allclose(prediction.mean, mean, atol=1e-6)
        np.testing.assert_allclose(prediction.entropy, _entropy(mean), atol=1e-5)
        information = _entropy(mean) - _entropy(samples).mean(axis=0)
        np.testing.assert_allclose(prediction.mutual_information, information, atol=1e-5)
        assert (prediction.mutual_information >= 0).all()
        without = bbh.predict(posterior, x, num_samples=20, seed=5)
        assert without.samples is None
        np.testing.assert_allclose(without.mean, prediction.mean, atol=1e-6)

    @pytest.mark.parametrize("kind", ["posterior", "sequential", "functional"])
    def test_a_seed_decides_the_answer_for_any_batch_size(self, kind):
        model = _posterior() if kind == "posterior" else _keras_model(kind)
        x = tiny.examples(11).images
        whole = bbh.predict(model, x, num_samples=6, seed=3)
        parts = bbh.predict(model, x, num_samples=6, seed=3, batch_size=4)
        other = bbh.predict(model, x, num_samples=6, seed=4)
        fresh = [bbh.predict(model, x, num_samples=6).mean for _ in range(2)]
        # The order of a matrix product's sums may depend on the number of rows.
        np.testing.assert_allclose(whole.mean, parts.mean, atol=1e-6)
        assert np.abs(whole.mean - other.mean).max() > 1e-4
        assert np.abs(fresh[0] - fresh[1]).max() > 1e-4

    def test_one_posterior_sample_predicts_the_whole_set(self):
        model = _keras_model("sequential")
        x = np.repeat(tiny.examples(1).images, 9, axis=0)
        samples = bbh.predict(model, x, 5, batch_size=2, return_samples=True).samples
        # Equal inputs in different batches have equal outputs under one sample, not across.
        np.testing.assert_allclose(samples, samples[:, :1].repeat(9, axis=1), atol=1e-6)
        assert np.abs(samples[0] - samples[1]).max() > 1e-4

    def test_samples_that_exceed_the_memory_go_in_chunks(self, monkeypatch):
        posterior, x = _posterior(), tiny.examples(4).images
        sample_bytes = 4 * posterior.method.num_weights
        monkeypatch.setattr("bayes_by_hypernet.prediction.MAX_SAMPLE_BYTES", 8 * sample_bytes + 1)
        counts = _spied_counts(monkeypatch, posterior)
        prediction = bbh.predict(posterior, x, num_samples=20, seed=5, return_samples=True)
        assert counts == [8, 8, 4]
        assert prediction.samples.shape == (20, 4, 3)
        np.testing.assert_allclose(prediction.mean, prediction.samples.mean(axis=0), atol=1e-6)
        assert len(np.unique(prediction.samples[:, 0, 0])) == 20  # no chunk repeats another
        without = bbh.predict(posterior, x, num_samples=20, seed=5)
        np.testing.assert_allclose(without.mean, prediction.mean, atol=1e-6)

    @pytest.mark.parametrize("return_samples", [False, True])
    def test_progress_hears_of_every_input_under_every_sample(self, monkeypatch, return_samples):
        posterior, x = _posterior(), tiny.examples(7).images
        monkeypatch.setattr(bbh.prediction, "samples_per_chunk", lambda sampler: 2)
        heard, key = [], randomness.seed_key(0)
        Predictor(posterior)(x, 3, key, 4, return_samples, progress=heard.append)
        assert heard == [2 * 4, 2 * 3, 4, 3]  # batches of 4 and 3, samples 2 and 1 at a time

    def test_long_work_shows_a_bar(self, monkeypatch, capsys):
        posterior, x = _posterior(), tiny.examples(7).images
        bbh.predict(posterior, x, 3)
        assert "prediction" not in capsys.readouterr().err  # it was quick
        monkeypatch.setattr("bayes_by_hypernet.prediction.SECONDS_BEFORE_PROGRESS", 1e-9)
        bbh.predict(posterior, x, 3)
        assert "21.0/21.0" in capsys.readouterr().err  # 7 inputs under 3 samples
        bbh.predict(posterior, x, 3, verbose=0)
        assert "prediction" not in capsys.readouterr().err

    def test_one_sample_at_a_time_where_none_fits(self, monkeypatch):
        monkeypatch.setattr("bayes_by_hypernet.prediction.MAX_SAMPLE_BYTES", 1)
        posterior = _posterior()
        counts = _spied_counts(monkeypatch, posterior)
        bbh.predict(posterior, tiny.examples(4).images, num_samples=3)
        assert counts == [1, 1, 1]

    def test_samples_of_lenet_go_at_once(self):
        lenet = methods.get("map")(networks.LENET, methods.get("map").Options())
        assert samples_per_chunk(lenet.sampler) == 2**29 // (4 * 431_080) >= 100

    @pytest.mark.parametrize("seed", range(3))
    def test_every_member_of_an_ensemble_counts_once_whatever_the_memory(self, monkeypatch, seed):
        monkeypatch.setattr("bayes_by_hypernet.prediction.MAX_SAMPLE_BYTES", 1)
        posterior, x = _posterior("ensemble", num_members=3), tiny.examples(4).images
        members = posterior.method.members.values()
        expected = np.mean([tf.nn.softmax(m(x)) for m in members], axis=0)
        mean = bbh.predict(posterior, x, num_samples=100, seed=seed).mean
        np.testing.assert_allclose(mean, expected, atol=1e-6)

    def test_a_stochastic_layer_of_another_package_draws_anew(self):
        inputs = keras.Input((3,))
        model = keras.Model(inputs, _Foreign()(inputs))
        prediction = bbh.predict(model, np.zeros((4, 3), np.float32), 50)
        assert (prediction.mutual_information > 0.01).all()

    def test_map_has_one_sample_and_no_mutual_information(self):
        posterior = _posterior("map")
        x = tiny.examples(5).images
        prediction = bbh.predict(posterior, x)
        expected = tf.nn.softmax(posterior.keras_model(x))
        np.testing.assert_allclose(prediction.mean, expected, atol=1e-6)
        np.testing.assert_allclose(prediction.mutual_information, 0, atol=1e-6)
        assert bbh.predict(posterior, x, 3, return_samples=True).samples.shape == (3, 5, 3)

    def test_gaussian_likelihood_gives_moments(self):
        posterior, x = _posterior(), tiny.examples(5).images
        prediction = bbh.predict(
            posterior, x, 30, seed=1, likelihood="gaussian", return_samples=True
        )
        np.testing.assert_allclose(prediction.mean, prediction.samples.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(prediction.std, prediction.samples.std(axis=0), atol=1e-6)

    def test_probabilities_are_taken_as_they_are(self):
        inputs = keras.Input((3,))
        softmax = keras.Model(inputs, keras.layers.Softmax()(inputs))
        logits = np.log([[0.2, 0.3, 0.5]]).astype(np.float32)
        prediction = bbh.predict(softmax, logits, 2, from_logits=False)
        np.testing.assert_allclose(prediction.mean, [[0.2, 0.3, 0.5]], atol=1e-6)
        np.testing.assert_allclose(prediction.entropy, [1.029653], atol=1e-5)  # worked by hand

    def test_logits_passed_off_as_probabilities_are_refused(self):
        with pytest.raises(ValueError, match="sum to 1.*from_logits=True"):
            bbh.predict(_posterior(), tiny.examples(4).images, 2, from_logits=False)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ({"num_samples": 0}, "num_samples=0"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"likelihood": "poisson"}, "likelihood='poisson'"),
            ({"x": np.zeros((0, *tiny.SHAPE))}, "at least one input"),
            ({"x": np.full((1, *tiny.SHAPE), np.nan)}, "finite"),
            ({"x": np.zeros((2, 6, 6, 3))}, r"shape \(N, 6, 6, 1\).*\(2, 6, 6, 3\)"),
            ({"x": np.zeros((2, 36))}, r"shape \(N, 6, 6, 1\).*\(2, 36\)"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        arguments = {"x": tiny.examples(2).images, **arguments}
        with pytest.raises(ValueError, match=message):
            bbh.predict(_posterior(), **arguments)


class TestPosterior:
    def test_samples_are_named_and_repeatable(self):
        posterior = _posterior()
        sample = posterior.sample(4, seed=1)
        assert {name: tuple(w.shape) for name, w in sample.items()} == {
            "conv/kernel": (4, 3, 3, 1, 4),
            "conv/bias": (4, 4),
            "dense/kernel": (4, 16, 3),
            "dense/bias": (4, 3),
        }
        again, other = posterior.sample(4, seed=1), posterior.sample(4, seed=2)
        np.testing.assert_array_equal(sample["dense/kernel"], again["dense/kernel"])
        assert np.abs(sample["dense/kernel"] - other["dense/kernel"]).max() > 1e-4
        with pytest.raises(ValueError, match="num_samples=0"):
            posterior.sample(0)

    @pytest.mark.parametrize("name", ["bbh", "map"])
    def test_logits_under_all_samples_and_under_one(self, name):
        posterior, x = _posterior(name), tiny.examples(5).images
        sample = posterior.sample(3, seed=1)
        logits = posterior.logits(x, sample)
        assert logits.shape == (3, 5, 3)
        for i in range(3):
            one = posterior.logits(x, {name: w[i].numpy() for name, w in sample.items()})
            np.testing.assert_allclose(one, logits[i], atol=1e-6)

    def test_predict_is_bbh_predict(self):
        posterior, x = _posterior(), tiny.examples(5).images
        np.testing.assert_array_equal(
            posterior.predict(x, num_samples=4, seed=1).mean,
            bbh.predict(posterior, x, num_samples=4, seed=1).mean,
        )
