import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from scipy import integrate

from bayes_by_hypernet.divergences import gaussian_kl


class GaussianKLTest(parameterized.TestCase):
    def test_by_hand(self):
        self.assertEqual(float(gaussian_kl(tf.zeros(3), tf.ones(3))), 0.0)
        # log(2 / 0.5) + (0.25 + 1) / 8 - 1/2, and for the other weight log 2 + 1 / 8 - 1/2.
        expected = np.log(4) + 1.25 / 8 - 0.5 + np.log(2) + 1 / 8 - 0.5
        kl = gaussian_kl(tf.constant([1.0, 0.0]), tf.constant([0.5, 1.0]), prior_stddev=2.0)
        np.testing.assert_allclose(kl, expected, rtol=1e-6)  # float32

    def test_equals_quadrature(self):
        w = np.linspace(-8, 10, 200_001)
        q = np.exp(-((w - 1) ** 2) / 2 / 0.7**2) / 0.7
        p = np.exp(-(w**2) / 2 / 1.5**2) / 1.5
        expected = integrate.trapezoid(q * np.log(q / p), w) / np.sqrt(2 * np.pi)
        kl = gaussian_kl(np.float64(1), np.float64(0.7), 1.5)
        self.assertEqual(kl.dtype, tf.float64)
        np.testing.assert_allclose(kl, expected, rtol=1e-7)  # steps of 1e-4; beyond 9 sigma: 1e-18

    def test_broadcasts(self):
        # One standard deviation for many means, and the other way round.
        many = gaussian_kl(tf.fill((3, 2), 0.5), tf.fill((3, 2), 0.2))
        np.testing.assert_allclose(gaussian_kl(tf.fill((3, 2), 0.5), 0.2), many, rtol=1e-6)
        np.testing.assert_allclose(gaussian_kl(0.5, tf.fill((3, 2), 0.2)), many, rtol=1e-6)

    def test_half_precision_gives_float32(self):
        kl = gaussian_kl(tf.zeros(3, tf.float16), tf.ones(3, tf.float16))
        self.assertEqual((kl.dtype, kl.shape), (tf.float32, ()))

    def test_prior_must_be_positive(self):
        with self.assertRaisesRegex(ValueError, "`prior_stddev` must be positive"):
            gaussian_kl(tf.zeros(3), tf.ones(3), prior_stddev=0.0)
