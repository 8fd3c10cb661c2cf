"""FusedAdam against Keras's own Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.training import FusedAdam


def _variables():
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape)) for shape in [(3, 4), (5,)]]


class TestFusedAdam:
    @pytest.mark.parametrize("how", ["apply", "apply_local"])
    def test_equals_keras_adam_on_the_same_gradients(self, how):
        rng = np.random.default_rng(1)
        ours, theirs = _variables(), _variables()
        fused, plain = FusedAdam(1e-2, epsilon=1e-5), keras.optimizers.Adam(1e-2, epsilon=1e-5)
        fused.build(ours)
        for _ in range(20):
            gradients = [tf.constant(rng.normal(size=v.shape), tf.float32) for v in ours]
            getattr(fused, how)(gradients, ours)
            plain.apply(gradients, theirs)
        assert int(fused.iterations.value) == 20
        for a, b in zip(ours, theirs, strict=True):
            # Rounding of 20 float32 updates of about 1e-2 each.
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)

    def test_trains_in_fit_and_survives_keras_serialisation(self):
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
        optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(FusedAdam(0.05)))
        assert isinstance(optimizer, FusedAdam)
        model.compile(optimizer, "mse")
        x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
        losses = model.fit(x, x.sum(1, keepdims=True), epochs=20, verbose=0).history["loss"]
        assert losses[-1] < 0.2 * losses[0]

    def test_refuses_amsgrad(self):
        optimizer = FusedAdam(amsgrad=True)
        with pytest.raises(ValueError, match="amsgrad=True"):
            optimizer.build(_variables())
