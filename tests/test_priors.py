"""NormalPrior: samples by key, their moments, and its configuration."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from bayes_by_hypernet import NormalPrior

KEY = tf.constant([3, 4], tf.int32)


class TestNormalPrior:
    @pytest.mark.parametrize("stddev", [1.0, 0.1])
    def test_moments(self, stddev):
        n = 200_000
        samples = NormalPrior(stddev)((n // 4, 2, 2), KEY)
        assert (samples.shape, samples.dtype) == ((n // 4, 2, 2), tf.float32)
        samples = samples.numpy().astype(np.float64) / stddev
        # Five standard errors of a mean and of a variance.
        assert abs(samples.mean()) < 5 / np.sqrt(n)
        assert abs(samples.var() - 1) < 5 * np.sqrt(2 / n)

    def test_is_a_function_of_the_key(self):
        prior = NormalPrior()
        np.testing.assert_array_equal(prior((5, 3), KEY), prior((5, 3), KEY))
        assert (prior((5, 3), KEY) != prior((5, 3), KEY + 1)).numpy().any()

    def test_stddev_scales_the_standard_normal(self):
        np.testing.assert_array_equal(NormalPrior(2)((5,), KEY), 2 * NormalPrior()((5,), KEY))

    @pytest.mark.parametrize("stddev", [1.0, 0.3])
    def test_density(self, stddev):
        weights = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
        log_prob = NormalPrior(stddev).log_prob(weights)
        expected = stats.norm(0, stddev).logpdf(weights)
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5)  # float32
        assert log_prob.dtype == tf.float32

    @pytest.mark.parametrize("stddev", [0, -1.0, float("nan")])
    def test_refuses_what_is_not_positive(self, stddev):
        with pytest.raises(ValueError, match=f"`stddev`.*`prior_stddev`.*stddev={stddev}"):
            NormalPrior(stddev)

    def test_round_trip(self):
        config = keras.saving.serialize_keras_object(NormalPrior(0.5))
        again = keras.saving.deserialize_keras_object(config)
        assert isinstance(again, NormalPrior) and again.stddev == 0.5
