"""AuxiliaryNoise: shapes, the distribution of its draws, repeatability, and keys."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keys import KEY, called

from bayes_by_hypernet import AuxiliaryNoise, draws


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


class TestKeys:
    def test_a_key_decides_the_draw(self):
        noise, other = AuxiliaryNoise(seed=1), AuxiliaryNoise(seed=2)
        first = called(noise, None)
        np.testing.assert_array_equal(called(noise, None), first)
        np.testing.assert_array_equal(called(other, None), first)
        assert (called(noise, None, KEY + 1) != first).numpy().any()

    def test_after_a_scope_the_sequence_goes_on_where_it_was(self):
        noise, other = AuxiliaryNoise(seed=1), AuxiliaryNoise(seed=1)
        scope = keras.StatelessScope(draws.keyed_states(noise, KEY))
        with pytest.raises(KeyError), scope:
            noise()
            raise KeyError
        np.testing.assert_array_equal(noise(), other())

    def test_in_one_forward_pass_there_is_one_draw(self):
        noise = AuxiliaryNoise()
        with draws.forward_pass():
            outer = noise()
            with draws.forward_pass():
                assert (noise() != outer).numpy().any()
            np.testing.assert_array_equal(noise(), outer)
        assert (noise() != outer).numpy().any()


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
