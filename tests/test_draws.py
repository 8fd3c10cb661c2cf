"""Forward passes: one draw for each layer, passes of other threads, keys of all seed generators."""

import concurrent.futures

import keras
import numpy as np
import pytest
import tensorflow as tf
from keys import KEY, called

import bayes_by_hypernet as bbh
from bayes_by_hypernet import draws
from bayes_by_hypernet.layers import DenseFlipout, DenseHypernet, DenseMNF, MCDropout
from bayes_by_hypernet.posteriors.samplers import ModelSampler

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def _dense(**kwargs):
    return DenseHypernet(2, hidden_units=(4, 8), kl_estimator=None, **kwargs)


def _sequential():
    return keras.Sequential([keras.Input((3,)), _dense(), _dense(use_bias=False)])


def _functional():
    x = keras.Input((3,))
    z = bbh.AuxiliaryNoise()(x)
    return keras.Model(x, _dense()(_dense()(x, noise=z), noise=z))


class _Subclassed(keras.Model):
    """Layers in a list in a dict, and a model in a model."""

    def __init__(self):
        super().__init__()
        self.noise = bbh.AuxiliaryNoise()
        self.dense = {"first": [_dense()]}
        self.inner = keras.Sequential([_sequential()])

    def call(self, x):
        [dense] = self.dense["first"]
        return dense(x, noise=self.noise(x)) + self.inner(x)


def _of_many_kinds():
    """Layers of this package, and Keras's own that draw."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            DenseHypernet(6, "relu", hidden_units=(4, 8)),
            MCDropout(0.3),
            DenseFlipout(6, "relu", initial_log_variance=-2.0),
            keras.layers.GaussianNoise(0.5),
            DenseMNF(2),
        ]
    )


class TestKeyedStates:
    @pytest.mark.parametrize(
        "make, num_layers", [(_sequential, 2), (_functional, 3), (_Subclassed, 4)]
    )
    def test_every_drawing_layer_is_found_and_has_a_key_of_its_own(self, make, num_layers):
        model = make()
        model(X)
        layers = draws.find_layers(model, draws.DrawingLayer)
        assert len(layers) == len({id(layer) for layer in layers}) == num_layers
        pairs = draws.keyed_states(model, KEY)
        assert {id(state) for state, _ in pairs} == {id(o.seed_generator.state) for o in layers}
        assert len({value.numpy().tobytes() for _, value in pairs}) == num_layers

    @pytest.mark.parametrize("make", [_sequential, _functional, _Subclassed, _of_many_kinds])
    def test_the_key_decides_the_pass(self, make):
        model = make()
        assert (model(X) != model(X)).numpy().any()
        first = called(model, X)
        np.testing.assert_array_equal(called(model, X), first)
        assert (called(model, X, KEY + 1) != first).numpy().any()
        assert (model(X) != first).numpy().any()

    def test_the_key_may_be_a_tensor_of_a_compiled_function(self):
        model = _functional()

        @tf.function
        def compiled(key):
            with keras.StatelessScope(draws.keyed_states(model, key)):
                return model(X)

        np.testing.assert_array_equal(compiled(KEY), compiled(KEY))
        assert (compiled(KEY) != compiled(KEY + 1)).numpy().any()
        # Rounding: the same draws through compiled and eager matrix products.
        np.testing.assert_allclose(compiled(KEY), called(model, X), rtol=1e-5, atol=1e-6)

    def test_generators_of_other_packages_are_keyed_too(self):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5)])
        first = called(model, X, training=True)
        np.testing.assert_array_equal(called(model, X, training=True), first)


class TestForwardPass:
    def test_a_layer_draws_once_in_a_pass_and_anew_in_the_next(self):
        layer = _dense()
        layer.build((None, 3))
        with draws.forward_pass():
            first = layer(X)
            np.testing.assert_array_equal(layer(X), first)
        assert (layer(X) != first).numpy().any()

    def test_the_outermost_call_is_one(self):
        inputs, layer = keras.Input((3,)), _dense()
        model = keras.Model(inputs, layer(inputs) - layer(inputs))
        np.testing.assert_array_equal(model(X), np.zeros((4, 2)))
        np.testing.assert_array_equal(tf.function(model)(X), np.zeros((4, 2)))

    def test_given_weights_are_used_and_an_inner_pass_does_not_see_them(self):
        layer = _dense()
        layer.build((None, 3))
        kernel, bias = np.ones((3, 2), np.float32), np.float32([1, 2])
        with draws.forward_pass({layer: [kernel, bias]}):
            np.testing.assert_allclose(layer(X), X @ kernel + bias, rtol=1e-6)
            with draws.forward_pass():
                assert np.abs(layer(X) - (X @ kernel + bias)).max() > 1e-3
            np.testing.assert_allclose(layer(X), X @ kernel + bias, rtol=1e-6)

    def test_an_error_ends_it(self):
        before = draws.current()
        with pytest.raises(KeyError), draws.forward_pass() as opened:
            assert draws.current() is opened
            raise KeyError
        assert draws.current() is not opened and type(before) is draws.ForwardPass

    def test_adds_no_kl_unless_told_to(self):
        layer = DenseHypernet(2, hidden_units=(4, 8), num_train_examples=10)
        layer.build((None, 3))
        for adds_kl, count in ((False, 0), (True, 1)):
            with draws.forward_pass(adds_kl=adds_kl):
                layer(X, training=True)
            assert len(layer.losses) == count


class TestThreads:
    """Eight threads on one model: nothing of a pass is kept on layers."""

    NUM = 8

    def _in_threads(self, function):
        expected = [function(i) for i in range(self.NUM)]
        assert len({one.tobytes() for one in expected}) == self.NUM
        with concurrent.futures.ThreadPoolExecutor(self.NUM) as pool:
            for one, other in zip(pool.map(function, range(self.NUM)), expected, strict=True):
                # One computation, perhaps divided otherwise among the threads of a product.
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("compiled, is_sample", [(False, False), (True, True)])
    def test_with_a_pass_and_a_scope_each(self, compiled, is_sample):
        model = _of_many_kinds()

        def call(key):
            with (
                keras.StatelessScope(draws.keyed_states(model, key)),
                draws.forward_pass(is_sample=is_sample),
            ):
                return model(X, training=False)

        def answer(i):
            return np.asarray((tf.function(call) if compiled else call)(KEY + i))

        self._in_threads(answer)

    def test_under_given_weights(self):
        model = _of_many_kinds()
        sampler = ModelSampler(model)
        samples = sampler.draw(self.NUM, KEY)

        def answer(i):
            one = {name: value[i] for name, value in samples.items()}
            return tf.function(sampler.logits)(X, one).numpy()

        self._in_threads(answer)

    def test_predict(self):
        model = _of_many_kinds()
        self._in_threads(lambda i: bbh.predict(model, X, 3, seed=i).mean)
