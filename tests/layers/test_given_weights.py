"""Layers of given weights against Keras's own with the same weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.layers import Conv2DGivenWeights, DenseGivenWeights


def _random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# The same TensorFlow kernels; the bias is added by another one.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


class TestDense:
    @pytest.mark.parametrize("activation", [None, "relu", "softmax"])
    @pytest.mark.parametrize("leading", [(5,), (5, 2)])
    def test_equals_keras(self, activation, leading):
        x, kernel, bias = _random(*leading, 3), _random(3, 4, seed=1), _random(4, seed=2)
        theirs = keras.layers.Dense(4, activation)
        theirs.build(x.shape)
        theirs.set_weights([kernel, bias])
        ours = DenseGivenWeights(activation)
        np.testing.assert_allclose(ours(x, kernel, bias), theirs(x), **TOLERANCE)
        assert ours.compute_output_shape(x.shape, (3, 4)) == (*leading, 4)
        theirs.set_weights([kernel, 0 * bias])
        np.testing.assert_allclose(ours(x, kernel), theirs(x), **TOLERANCE)


class TestConv2D:
    @pytest.mark.parametrize("padding", ["valid", "same"])
    @pytest.mark.parametrize("strides", [1, (2, 1)])
    def test_equals_keras(self, padding, strides):
        x, kernel, bias = _random(2, 7, 6, 3), _random(3, 2, 3, 4, seed=1), _random(4, seed=2)
        theirs = keras.layers.Conv2D(4, (3, 2), strides, padding, activation="relu")
        theirs.build(x.shape)
        theirs.set_weights([kernel, bias])
        ours = Conv2DGivenWeights(strides, padding, "relu")
        expected = theirs(x)
        np.testing.assert_allclose(ours(x, kernel, bias), expected, **TOLERANCE)
        assert ours.compute_output_shape(x.shape, kernel.shape) == expected.shape
        theirs.set_weights([kernel, 0 * bias])
        np.testing.assert_allclose(ours(x, kernel), theirs(x), **TOLERANCE)

    @pytest.mark.parametrize("strides", [0, (1, 2, 3), (1, -1), 1.5])
    def test_refuses_bad_strides(self, strides):
        with pytest.raises(ValueError, match="`strides`.*positive integer"):
            Conv2DGivenWeights(strides)

    def test_refuses_another_padding(self):
        with pytest.raises(ValueError, match="`padding` must be.*padding='full'"):
            Conv2DGivenWeights(padding="full")

    @pytest.mark.parametrize("shape", [(2, 6, 6, 3), (2, 36), (2, 6, 6)])
    def test_refuses_images_of_the_wrong_rank_or_channels(self, shape):
        layer = Conv2DGivenWeights()
        for _ in range(2):  # with a layer that is not built, and with one that is
            with pytest.raises(ValueError, match="expected (ndim=4|axis -1.*value 1)"):
                layer(np.zeros(shape, np.float32), _random(3, 3, 1, 2))
            layer(np.zeros((2, 6, 6, 1), np.float32), _random(3, 3, 1, 2))


class TestBoth:
    def _model(self):
        images, *weights = inputs = [
            keras.Input((6, 6, 1)),
            keras.Input(batch_shape=(3, 3, 1, 2)),
            keras.Input(batch_shape=(2,)),
            keras.Input(batch_shape=(2, 4)),
        ]
        x = Conv2DGivenWeights(2, "same", "relu")(images, *weights[:2])
        return keras.Model(inputs, DenseGivenWeights()(x, weights[2]))

    def test_hold_no_variables_and_survive_a_keras_file(self, tmp_path):
        model = self._model()
        assert model.variables == []
        assert model.output_shape == (None, 3, 3, 4)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        inputs = [_random(5, 6, 6, 1), _random(3, 3, 1, 2), _random(2), _random(2, 4)]
        np.testing.assert_array_equal(loaded(inputs), model(inputs))

    def test_gradients_reach_weights_and_inputs(self):
        inputs = [tf.constant(_random(*s)) for s in [(5, 6, 6, 1), (3, 3, 1, 2), (2,), (2, 4)]]
        model = self._model()
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(model(inputs) ** 2)
        assert all(g.numpy().any() for g in tape.gradient(loss, inputs))

    def test_weights_are_cast_to_the_compute_dtype(self):
        layer = DenseGivenWeights(dtype="mixed_float16")
        assert layer(_random(5, 3), _random(3, 4), _random(4)).dtype == tf.float16
