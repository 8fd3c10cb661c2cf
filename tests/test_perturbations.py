"""Steps on inputs, on losses whose gradient is known."""

import numpy as np
import pytest
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


class TestCrossEntropy:
    def test_is_the_usual_one(self):
        rng = np.random.default_rng(0)
        labels = tf.constant([0, 3, 2, 1])
        logits = tf.constant(rng.normal(scale=2, size=(4, 5)), tf.float32)
        usual = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        ours = perturbations.cross_entropy(labels, logits)
        np.testing.assert_allclose(ours, usual, rtol=1e-5)  # a few roundings of float32

    @pytest.mark.parametrize("gap", [1.0, 15.0, 20.0, 80.0])
    def test_has_the_labels_gradient_however_certain(self, gap):
        logits = np.array([[gap, 0.0, -1.0], [0.0, 2.0, gap + 2]])
        labels = np.array([0, 2])
        odds = np.exp(logits - logits[[0, 1], labels][:, np.newaxis])  # against the label
        probs = odds / odds.sum(axis=1, keepdims=True)
        expected = probs.copy()
        # Not `probs - 1`, which float64 rounds as well.
        expected[[0, 1], labels] = -probs[0, 1:].sum(), -probs[1, :2].sum()
        x = tf.constant(logits, tf.float32)
        gradient = perturbations.input_gradient(
            x, lambda x: perturbations.cross_entropy(tf.constant(labels), x)
        )
        # e^80 in float32 has 80 times the rounding of its exponent: 80 * 6e-8.
        np.testing.assert_allclose(gradient, expected, rtol=1e-5)

    @pytest.mark.parametrize("label", [-1, 3])
    def test_a_label_that_is_no_class_is_an_error(self, label):
        with pytest.raises(tf.errors.InvalidArgumentError, match="less than the number of classes"):
            perturbations.cross_entropy(tf.constant([0, label]), tf.zeros((2, 3)))


class TestProjectedGradient:
    def test_of_a_linear_loss_ends_in_a_corner(self):
        weights = tf.constant([2.0, -0.5, 0.0])
        x, start = tf.constant([[1.0, 2.0, 3.0]]), tf.constant([[0.9, 2.1, 3.05]])
        moved = perturbations.projected_gradient(x, 0.1, lambda x: weights, 10, 0.025, start)
        np.testing.assert_allclose(moved, [[1.1, 1.9, 3.05]], rtol=1e-6)

    def test_finds_a_maximum_that_one_step_leaps_over(self):
        x = tf.constant([0.0, 0.5])

        def loss(x):
            return -((x - 0.3) ** 2)

        moved = perturbations.projected_gradient(
            x, 1.0, lambda x: perturbations.input_gradient(x, loss), 20, 0.05, x
        )
        np.testing.assert_allclose(moved, 0.3, atol=0.05 + 1e-6)  # one step to either side
        assert (loss(moved) > loss(perturbations.fast_sign(x, 1.0, loss))).numpy().all()

    @pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
    def test_every_point_lies_within_epsilon_and_the_range(self, clip):
        rng = np.random.default_rng(0)
        x = tf.constant(rng.uniform(size=(20, 5)), tf.float32)
        points = []

        def gradient(x):
            points.append(x.numpy())
            return rng.normal(size=x.shape).astype(np.float32)

        start = x + 5.0
        moved = perturbations.projected_gradient(x, 0.3, gradient, 8, 0.2, start, clip)
        points = np.array([*points, moved.numpy()])
        assert len(points) == 9
        assert np.abs(points - x).max() <= 0.3 + 1e-6  # a rounding of x + 0.3 - x
        if clip:
            assert points.min() == 0 and points.max() == 1
        else:
            np.testing.assert_allclose(points[0], x + 0.3, rtol=1e-6)
            assert points.min() < 0 and points.max() > 1
