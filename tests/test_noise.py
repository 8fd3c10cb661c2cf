"""AuxiliaryNoise: shapes, the distribution of its draws, repeatability, and holding a draw."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import AuxiliaryNoise
from bayes_by_hypernet.layers import DenseHypernet
from bayes_by_hypernet.noise import find_layers, hold_noise

KEY = tf.constant([1, 2], tf.int32)


class TestShapes:
    def test_without_inputs(self):
        z = AuxiliaryNoise(dim=2, num_samples=3)()
        assert (z.shape, z.dtype) == ((3, 2), tf.float32)

    def test_defaults_are_the_papers(self):
        assert AuxiliaryNoise()().shape == (5, 1)

    def test_inputs_are_ignored(self):
        assert AuxiliaryNoise(2)(tf.zeros((7, 28, 28, 1))).shape == (5, 2)

    def test_in_a_functional_graph(self):
        x = keras.Input((4,))
        z = AuxiliaryNoise(2)(x)
        assert tuple(z.shape) == (5, 2)
        model = keras.Model(x, z)
        assert model(np.zeros((9, 4))).shape == (5, 2)

    def test_number_of_samples_of_one_call(self):
        noise = AuxiliaryNoise(2)
        assert noise(num_samples=7).shape == (7, 2)
        assert noise(num_samples=tf.constant(6)).shape == (6, 2)
        compiled = tf.function(lambda count: noise(num_samples=count))
        assert compiled(tf.constant(4)).shape == (4, 2)
        z = noise(keras.Input((4,)), num_samples=7)
        assert tuple(z.shape) == (7, 2)

    @pytest.mark.parametrize("policy", ["float64", "mixed_float16"])
    def test_dtype_is_the_compute_dtype(self, policy):
        noise = AuxiliaryNoise(dtype=policy)
        assert noise().dtype.name == noise.compute_dtype
        assert noise(keras.Input((4,))).dtype == noise.compute_dtype

    @pytest.mark.parametrize(
        "make",
        [
            lambda: AuxiliaryNoise(num_samples=0),
            lambda: AuxiliaryNoise()(num_samples=0),
        ],
    )
    def test_refuses_no_samples(self, make):
        with pytest.raises(ValueError, match="`num_samples` must be at least 1.*num_samples=0"):
            make()

    def test_refuses_no_dimensions(self):
        with pytest.raises(ValueError, match="`dim` must be at least 1. Received: dim=0"):
            AuxiliaryNoise(dim=0)


class TestDraws:
    def test_are_standard_normal(self):
        n = 200_000
        z = AuxiliaryNoise(dim=2, num_samples=n, seed=4)().numpy().astype(np.float64)
        # Five standard errors: of a mean 1, a variance sqrt(2), a skewness sqrt(6), a kurtosis
        # sqrt(24), each over sqrt(n).
        se = 1 / np.sqrt(n)
        np.testing.assert_allclose(z.mean(0), 0, atol=5 * se)
        np.testing.assert_allclose(z.var(0), 1, atol=5 * np.sqrt(2) * se)
        np.testing.assert_allclose((z**3).mean(0), 0, atol=5 * np.sqrt(15) * se)  # uncentred
        np.testing.assert_allclose((z**4).mean(0), 3, atol=5 * np.sqrt(96) * se)
        assert abs((z[:, 0] * z[:, 1]).mean()) < 5 * se

    def test_successive_calls_differ_also_compiled(self):
        noise = AuxiliaryNoise(seed=1)
        compiled = tf.function(noise)
        draws = [noise().numpy(), noise().numpy(), compiled().numpy(), compiled().numpy()]
        assert len({draw.tobytes() for draw in draws}) == 4

    def test_layers_of_one_seed_draw_the_same_sequence(self):
        a, b, c = AuxiliaryNoise(seed=1), AuxiliaryNoise(seed=1), AuxiliaryNoise(seed=2)
        for _ in range(3):
            z = a()
            np.testing.assert_array_equal(z, b())
            assert (z != c()).numpy().any()

    def test_layers_without_a_seed_differ(self):
        assert (AuxiliaryNoise()() != AuxiliaryNoise()()).numpy().any()


class TestHold:
    def test_draws_are_constant_and_decided_by_the_key(self):
        noise, other = AuxiliaryNoise(seed=1), AuxiliaryNoise(seed=2)
        with noise.hold(KEY), other.hold(KEY):
            held = noise()
            np.testing.assert_array_equal(noise(), held)
            np.testing.assert_array_equal(other(), held)
        with noise.hold(KEY + 1):
            assert (noise() != held).numpy().any()

    def test_afterwards_the_sequence_goes_on_where_it_was(self):
        noise, other = AuxiliaryNoise(seed=1), AuxiliaryNoise(seed=1)
        with pytest.raises(KeyError), noise.hold(KEY):
            noise()
            raise KeyError
        np.testing.assert_array_equal(noise(), other())

    def test_nests(self):
        noise = AuxiliaryNoise()
        with noise.hold(KEY):
            outer = noise()
            with noise.hold(KEY + 1):
                assert (noise() != outer).numpy().any()
            np.testing.assert_array_equal(noise(), outer)


def _dense(**kwargs):
    return DenseHypernet(2, hidden_units=(4, 8), kl_estimator=None, **kwargs)


def _sequential():
    return keras.Sequential([keras.Input((3,)), _dense(), _dense(use_bias=False)])


def _functional():
    x = keras.Input((3,))
    z = AuxiliaryNoise()(x)
    return keras.Model(x, _dense()(_dense()(x, noise=z), noise=z))


class _Subclassed(keras.Model):
    """Layers in a list in a dict, and a model in a model."""

    def __init__(self):
        super().__init__()
        self.noise = AuxiliaryNoise()
        self.dense = {"first": [_dense()]}
        self.inner = keras.Sequential([_sequential()])

    def call(self, x):
        [dense] = self.dense["first"]
        return dense(x, noise=self.noise(x)) + self.inner(x)


class TestHoldNoise:
    # A hypernet layer has two noise layers of its own, one without a bias.
    MODELS = [(_sequential, 3), (_functional, 5), (_Subclassed, 6)]

    @pytest.mark.parametrize("make, num_layers", MODELS)
    def test_finds_every_noise_layer_and_holds_one_draw(self, make, num_layers):
        model = make()
        x = np.ones((4, 3), np.float32)
        model(x)
        layers = find_layers(model, AuxiliaryNoise)
        assert len(layers) == len({id(layer) for layer in layers}) == num_layers
        assert (model(x) != model(x)).numpy().any()
        with hold_noise(model, KEY):
            held = model(x)
            np.testing.assert_array_equal(model(x), held)
            draws = {layer().numpy().tobytes() for layer in layers}
        assert len(draws) == num_layers  # independent of each other
        with hold_noise(model, KEY + 1):
            assert (model(x) != held).numpy().any()
        assert (model(x) != held).numpy().any()

    def test_the_key_may_be_a_tensor_of_a_compiled_function(self):
        model = _functional()
        x = np.ones((4, 3), np.float32)

        @tf.function
        def compiled(key):
            with hold_noise(model, key):
                return model(x)

        np.testing.assert_array_equal(compiled(KEY), compiled(KEY))
        assert (compiled(KEY) != compiled(KEY + 1)).numpy().any()
        with hold_noise(model, KEY):
            # Rounding: the same draws through compiled and eager matrix products.
            np.testing.assert_allclose(compiled(KEY), model(x), rtol=1e-5, atol=1e-6)


class TestSerialisation:
    def test_config_round_trip(self):
        config = AuxiliaryNoise(3, num_samples=4, seed=5, name="z", dtype="float64").get_config()
        layer = AuxiliaryNoise.from_config(config)
        assert (layer.dim, layer.num_samples, layer.seed) == (3, 4, 5)
        assert layer.get_config() == config

    def test_by_its_registered_name(self):
        layer = AuxiliaryNoise(2, seed=5)
        again = keras.layers.deserialize(keras.layers.serialize(layer))
        np.testing.assert_array_equal(again(), layer())
