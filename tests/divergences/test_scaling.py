import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from bayes_by_hypernet.divergences import linear_annealing, scaled_kl


class ScaledKLTest(parameterized.TestCase):
    def test_by_hand(self):
        self.assertEqual(scaled_kl(600.0, 200), 3.0)
        self.assertEqual(scaled_kl(600.0, 200, anneal=0.5, temperature=0.25), 0.375)

    def test_tensors(self):
        scaled = scaled_kl(tf.constant(600.0), 200, tf.constant(0.5), 0.25)
        self.assertEqual((scaled.dtype, float(scaled)), (tf.float32, 0.375))

    @parameterized.parameters(0, -3, float("nan"))
    def test_num_train_examples_must_be_positive(self, count):
        with self.assertRaisesRegex(ValueError, "`num_train_examples` must be positive"):
            scaled_kl(1.0, count)


class LinearAnnealingTest(parameterized.TestCase):
    # The paper's MNIST runs: 550 steps an epoch, 0 for 5 epochs, 1 after another 15.
    @parameterized.parameters(
        (0, 0.0), (5 * 550, 0.0), (8 * 550, 0.2), (12.5 * 550, 0.5), (20 * 550, 1.0), (10**6, 1.0)
    )
    def test_paper_schedule(self, step, expected):
        factor = linear_annealing(step, 550, 5, 15)
        self.assertIsInstance(factor, float)
        np.testing.assert_allclose(factor, expected, rtol=1e-12)  # float64
        factor = linear_annealing(tf.constant(int(step), tf.int64), 550, 5, 15)
        self.assertEqual((factor.dtype, factor.shape), (tf.float32, ()))
        np.testing.assert_allclose(factor, expected, atol=1e-6)  # float32 of numbers up to 20

    def test_fractional_epochs(self):
        # The demo protocol: from the middle of the first epoch to the middle of the second.
        factors = [linear_annealing(step, 10, 0.5, 1) for step in (5, 10, 15)]
        np.testing.assert_allclose(factors, [0.0, 0.5, 1.0], atol=1e-12)  # float64

    @parameterized.parameters((9, 0.0), (10, 1.0), (11, 1.0))
    def test_no_epochs_is_a_step(self, step, expected):
        self.assertEqual(linear_annealing(step, 5, 2, 0), expected)
        self.assertEqual(float(linear_annealing(tf.constant(step), 5, 2, 0)), expected)

    def test_numpy_scalars_are_numbers(self):
        self.assertIsInstance(linear_annealing(np.int64(3), 5, 0, 2), float)

    def test_failures(self):
        with self.assertRaisesRegex(ValueError, "`steps_per_epoch` must be positive"):
            linear_annealing(0, 0, 5, 15)
        with self.assertRaisesRegex(ValueError, "`num_epochs` must be at least 0.*num_epochs=-1"):
            linear_annealing(0, 10, 5, -1)
