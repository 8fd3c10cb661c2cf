"""Steps on inputs: the fast sign method on losses whose gradient is known."""

import numpy as np
import tensorflow as tf

from bayes_by_hypernet import perturbations


class TestFastSign:
    def test_of_a_linear_model_moves_along_the_sign_of_its_weights(self):
        weights = tf.constant([2.0, -0.5, 0.0])
        x = tf.constant([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
        moved = perturbations.fast_sign(x, 0.1, lambda x: tf.linalg.matvec(x, weights))
        np.testing.assert_allclose(moved, [[1.1, 1.9, 3.0], [0.1, -0.1, 0.0]], rtol=1e-6)

    def test_raises_the_loss_and_a_scalar_loss_is_the_sum_of_the_examples(self):
        rng = np.random.default_rng(0)
        x = tf.constant(rng.normal(size=(5, 4)), tf.float32)
        target = tf.constant(rng.normal(size=(5, 4)), tf.float32)

        def losses(x):
            return tf.reduce_sum((x - target) ** 2, axis=1)

        moved = perturbations.fast_sign(x, 0.01, losses)
        assert (losses(moved) > losses(x)).numpy().all()
        of_sum = perturbations.fast_sign(x, 0.01, lambda x: tf.reduce_sum(losses(x)))
        np.testing.assert_array_equal(moved, of_sum)
        np.testing.assert_array_equal(perturbations.fast_sign(x, 0.0, losses), x)

    def test_no_gradient_flows_through_the_step(self):
        x, scale = tf.constant([1.0, 2.0]), tf.constant(3.0)
        with tf.GradientTape() as tape:
            tape.watch([x, scale])
            moved = perturbations.fast_sign(x, 0.1, lambda x: scale * x**2)
        assert tape.gradient(moved, [x, scale]) == [None, None]
