"""KLAnnealing: the factor at every batch, of every layer, and when it is 1 again."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.callbacks import KLAnnealing
from bayes_by_hypernet.layers import DenseHypernet

X = np.ones((12, 2), np.float32)
Y = np.zeros((12, 1), np.float32)


def _dense(units=2):
    return DenseHypernet(units, hidden_units=(4,), num_train_examples=12)


class Nested(keras.Model):
    """Hypernet layers in a list in a dict, and in a model in a model."""

    def __init__(self):
        super().__init__()
        self.parts = {"first": [_dense()]}
        self.inner = keras.Sequential([keras.Sequential([_dense()]), _dense(1)])

    @property
    def hypernet_layers(self):
        inner, last = self.inner.layers
        return [*self.parts["first"], inner.layers[0], last]

    def call(self, x):
        return self.inner(self.parts["first"][0](x))


class _Recorder(keras.callbacks.Callback):
    """The factors of given layers while each batch is computed."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.factors = []

    def on_train_batch_end(self, batch, logs=None):
        self.factors.append([float(layer.kl_factor.value()) for layer in self.layers])


def _fit(annealing, data=None, batch_size=4, epochs=3, steps_per_execution=1, **kwargs):
    """Factors of a layer by batch, `(batches,)`; three batches an epoch."""
    layer = _dense(1)
    model = keras.Sequential([layer])
    model.compile("sgd", "mse", steps_per_execution=steps_per_execution)
    recorder = _Recorder([layer])
    data = {"x": X, "y": Y, "batch_size": batch_size} if data is None else {"x": data}
    model.fit(**data, epochs=epochs, callbacks=[annealing, recorder], verbose=0, **kwargs)
    assert float(layer.kl_factor.value()) == 1.0
    return np.array(recorder.factors)[:, 0]


# Factors are float32.
TOLERANCE = {"rtol": 1e-6}


class TestKLAnnealing:
    def test_every_batch_of_nested_layers_of_a_model_that_is_not_built_yet(self):
        model = Nested()
        model.compile("sgd", "mse")
        recorder = _Recorder(model.hypernet_layers)
        model.fit(
            X, Y, batch_size=4, epochs=3, callbacks=[KLAnnealing(0.5, 1.5), recorder], verbose=0
        )
        # (step / 3 - 0.5) / 1.5 in [0, 1], by hand.
        expected = np.array([0, 0, 1, 3, 5, 7, 9, 9, 9]) / 9
        np.testing.assert_allclose(np.array(recorder.factors).T, [expected] * 3, **TOLERANCE)
        assert [float(layer.kl_factor.value()) for layer in model.hypernet_layers] == [1.0] * 3

    def test_the_factor_enters_the_loss(self):
        losses = {}
        for start in (0, 5):
            keras.utils.set_random_seed(1)
            model = keras.Sequential([_dense(1)])
            model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
            history = model.fit(X, Y, batch_size=12, callbacks=[KLAnnealing(start, 0)], verbose=0)
            losses[start] = history.history["loss"][0]
        keras.utils.set_random_seed(1)
        model = keras.Sequential([_dense(1)])
        mse = float(np.mean((model(X, training=True).numpy() - Y) ** 2))
        # The same seeds, so the same samples; float32.
        np.testing.assert_allclose(losses[5], mse, rtol=1e-5)
        np.testing.assert_allclose(losses[0], mse + float(model.losses[0]), rtol=1e-5)

    def test_no_epochs_is_a_step(self):
        np.testing.assert_array_equal(_fit(KLAnnealing(1, 0), epochs=2), [0, 0, 0, 1, 1, 1])

    def test_goes_on_at_a_later_epoch(self):
        factors = _fit(KLAnnealing(0, 2), initial_epoch=1, epochs=2)
        np.testing.assert_allclose(factors, np.array([3, 4, 5]) / 6, **TOLERANCE)

    def test_several_steps_an_execution_share_the_first_ones_factor(self):
        factors = _fit(KLAnnealing(0, 2), batch_size=3, epochs=2, steps_per_execution=2)
        np.testing.assert_allclose(factors, np.array([0, 2, 4, 6]) / 8, **TOLERANCE)

    @pytest.mark.filterwarnings("ignore:Your input ran out of data")
    def test_an_epoch_of_unknown_length_is_counted_in_the_first_one(self):
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).filter(lambda x, y: True)
        assert data.cardinality() == tf.data.UNKNOWN_CARDINALITY
        factors = _fit(KLAnnealing(0, 4), data=data, shuffle=False)
        np.testing.assert_allclose(factors, np.array([0, 0, 0, 3, 4, 5, 6, 7, 8]) / 12, **TOLERANCE)

    def test_is_not_saved(self, tmp_path):
        class Save(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                assert float(self.model.layers[0].kl_factor.value()) == 0.0
                self.model.save(tmp_path / "model.keras")

        model = keras.Sequential([keras.Input((2,)), _dense(1)])
        model.compile("sgd", "mse")
        model.fit(X, Y, batch_size=12, callbacks=[KLAnnealing(5, 15), Save()], verbose=0)
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert float(loaded.layers[0].kl_factor.value()) == 1.0
        np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])

    @pytest.mark.parametrize("start, epochs", [(-1, 1), (float("nan"), 1), (0, -0.5)])
    def test_refuses_negative_arguments(self, start, epochs):
        name = "num_epochs" if start == 0 else "start_epoch"
        with pytest.raises(ValueError, match=f"`{name}` must be at least 0. Received: {name}="):
            KLAnnealing(start, epochs)

    @pytest.mark.parametrize("annealing_first", [True, False])
    def test_restoring_the_best_weights_leaves_the_full_kl(self, annealing_first):
        """Weights of an epoch in which the factor was 3/8 are put back after training."""
        model = keras.Sequential([keras.Input((2,)), _dense(1)])
        model.compile("sgd", "mse")
        stopping = keras.callbacks.EarlyStopping("loss", mode="max", restore_best_weights=True)
        callbacks = [KLAnnealing(0, 8), stopping]
        callbacks = callbacks if annealing_first else callbacks[::-1]
        model.fit(X, Y, batch_size=3, epochs=3, callbacks=callbacks, verbose=0)
        assert float(model.layers[0].kl_factor.value()) == 1.0

    def test_weights_taken_in_training_hold_no_factor(self):
        taken = []

        class Take(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                taken.append(self.model.get_weights())

        model = keras.Sequential([keras.Input((2,)), _dense(1)])
        model.compile("sgd", "mse")
        model.fit(X, Y, batch_size=12, callbacks=[KLAnnealing(5, 15), Take()], verbose=0)
        model.set_weights(taken[0])
        assert float(model.layers[0].kl_factor.value()) == 1.0

    def test_warns_of_a_model_whose_call_takes_no_training(self):
        model = Nested()
        model.compile("sgd", "mse")
        with pytest.warns(UserWarning, match="'nested.*' does not take `training`"):
            model.fit(X, Y, callbacks=[KLAnnealing(0, 1)], verbose=0)
