"""MC-dropout: masks that are Bernoulli, active at prediction, and held as one network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keys import called

import bayes_by_hypernet as bbh
from bayes_by_hypernet import draws

ONES = tf.ones((200, 50))


class TestMCDropout:
    @pytest.mark.parametrize("training", [True, False])
    def test_drops_at_its_rate_and_keeps_the_mean(self, training):
        outputs = bbh.layers.MCDropout(0.2, seed=1)(ONES, training=training).numpy()
        assert np.unique(outputs).tolist() == [0, np.float32(1 / 0.8)]
        # Five standard errors of 10,000 Bernoulli draws.
        np.testing.assert_allclose((outputs == 0).mean(), 0.2, atol=5 * 0.4 / 100)
        # Of neighbours, and of examples, too.
        kept = outputs > 0
        both = (kept[:, 1:] & kept[:, :-1]).mean(), (kept[1:] & kept[:-1]).mean()
        np.testing.assert_allclose(both, 0.64, atol=5 * 0.5 / 100)

    def test_each_call_draws_anew_and_a_seed_repeats_them(self):
        first, second = (bbh.layers.MCDropout(0.5, seed=1) for _ in range(2))
        draws = [first(ONES).numpy() for _ in range(2)]
        assert (draws[0] != draws[1]).any()
        np.testing.assert_array_equal([second(ONES).numpy() for _ in range(2)], draws)

    def test_in_a_posterior_sample_one_mask_holds_for_all_examples(self):
        layer = bbh.layers.MCDropout(0.5)
        with draws.forward_pass(is_sample=True):
            outputs = layer(ONES).numpy()
            assert (outputs == outputs[0]).all()
            np.testing.assert_array_equal(layer(ONES[:3]), outputs[:3])
        trained = called(layer, ONES, training=True).numpy()
        assert (trained != trained[0]).any()

    def test_predictions_do_not_depend_on_the_batch_size(self):
        model = keras.Sequential(
            [keras.Input((8,)), bbh.layers.MCDropout(0.5), keras.layers.Dense(3)]
        )
        x = np.random.default_rng(0).normal(size=(10, 8))
        runs = [bbh.predict(model, x, 7, batch_size=size, seed=1) for size in (3, 10)]
        # The order of float32 sums in batches of other sizes.
        np.testing.assert_allclose(runs[0].mean, runs[1].mean, rtol=1e-5)
        assert runs[0].mutual_information.max() > 0

    def test_rate_zero_changes_nothing(self):
        np.testing.assert_array_equal(bbh.layers.MCDropout(0)(ONES), ONES)

    def test_keras_file(self, tmp_path):
        model = keras.Sequential([keras.Input((8,)), bbh.layers.MCDropout(0.3, seed=5)])
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras").layers[0]
        assert (loaded.rate, loaded.seed) == (0.3, 5)

    @pytest.mark.parametrize("rate", [-0.1, 1, 1.5])
    def test_refuses_a_rate_out_of_range(self, rate):
        with pytest.raises(ValueError, match=f"`rate` must be at least 0.*rate={rate}"):
            bbh.layers.MCDropout(rate)
