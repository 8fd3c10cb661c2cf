"""Hypernetworks against NumPy, their sizes in the paper's settings, and their failures."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet import HypernetworkKernel, SingleHypernetwork
from bayes_by_hypernet.hypernetworks import HIDDEN_UNITS

LENET_SHAPES = [(5, 5, 1, 20), (20,), (5, 5, 20, 50), (50,), (800, 500), (500,), (500, 10), (10,)]
UNITS = tiny.HIDDEN_UNITS


def _randomise(layer, seed=0):
    """Gives every variable, the zero biases too, random values."""
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))


def _numpy_generator(layer, z, condition):
    """The fully connected network on `[z, c]`, c written out; float64, `(n, slice_size)`."""
    x = np.concatenate([z, np.tile(condition, (len(z), 1))], axis=1).astype(np.float64)
    *hidden, linear = [*layer.generator.hidden, layer.generator.linear]
    for dense in hidden:
        x = x @ dense.kernel.numpy() + dense.bias.numpy()
        x = np.where(x > 0, x, 0.1 * x)
    return x @ linear.kernel.numpy() + linear.bias.numpy()


def _numpy_slices(layer, z):
    """Every slice, `(num_slices, n, slice_size)`."""
    return np.stack([_numpy_generator(layer, z, c) for c in np.eye(layer.num_slices)])


def _noise(dim=1, num_samples=5):
    return np.random.default_rng(1).normal(size=(num_samples, dim)).astype(np.float32)


def _num_parameters(dim, num_slices, slice_size, hidden_units=HIDDEN_UNITS):
    sizes = [dim + num_slices, *hidden_units, slice_size]
    return sum((a + 1) * b for a, b in zip(sizes[:-1], sizes[1:], strict=True))


# float32 sums of at most nine products of numbers around one, against float64.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


class TestHypernetworkKernel:
    @pytest.mark.parametrize("dim", [1, 8])
    @pytest.mark.parametrize("shape", [(3, 3, 2, 4), (6,)])
    def test_layerwise_is_the_network_on_z_and_1(self, dim, shape):
        layer = HypernetworkKernel(shape, UNITS)
        layer.build((None, dim))
        _randomise(layer)
        z = _noise(dim)
        expected = _numpy_generator(layer, z, np.ones(1)).reshape(5, *shape)
        samples = layer(z)
        assert samples.shape == (5, *shape)
        np.testing.assert_allclose(samples, expected, **TOLERANCE)

    @pytest.mark.parametrize("num_slices", [2, 4])
    def test_a_slice_is_an_index_of_the_output_axis(self, num_slices):
        layer = HypernetworkKernel((3, 2, 4), UNITS, num_slices=num_slices)
        layer.build((None, 2))
        _randomise(layer)
        z = _noise(2)
        samples = layer(z)
        assert samples.shape == (5, 3, 2, 4)
        width = 4 // num_slices
        for c, condition in enumerate(np.eye(num_slices)):
            expected = _numpy_generator(layer, z, condition).reshape(5, 3, 2, width)
            np.testing.assert_allclose(
                samples[..., c * width : (c + 1) * width], expected, **TOLERANCE
            )

    def test_starts_glorot_uniform_with_zero_biases(self):
        layer = HypernetworkKernel((100, 20))
        layer.build((None, 1))
        sizes = [2, *HIDDEN_UNITS, 2000]
        denses = [*layer.generator.hidden, layer.generator.linear]
        for fan_in, fan_out, dense in zip(sizes[:-1], sizes[1:], denses, strict=True):
            assert not dense.bias.numpy().any()
            kernel = dense.kernel.numpy()
            limit = np.sqrt(6 / (fan_in + fan_out))
            assert kernel.shape == (fan_in, fan_out)
            assert np.abs(kernel).max() <= limit
            # Uniform on [-limit, limit]; the variance's standard error is 0.9 / sqrt(size).
            np.testing.assert_allclose(
                kernel.var(), limit**2 / 3, rtol=5 * 0.9 / np.sqrt(kernel.size)
            )

    def test_is_not_symmetric_in_z_at_the_start(self):
        # Without the constant 1 it would be |z| G(sign z): G(2) = 2 G(1) (ruling 13).
        layer = HypernetworkKernel((20,))
        one, two = layer(np.array([[1.0], [2.0]], np.float32)).numpy()
        assert np.abs(two - 2 * one).max() > 1e-3

    def test_symbolic_and_unknown_number_of_samples(self):
        layer = HypernetworkKernel((3, 4), UNITS)
        z = keras.Input((2,))
        assert tuple(layer(z).shape) == (None, 3, 4)
        assert layer.compute_output_shape((7, 2)) == (7, 3, 4)

    def test_every_parameter_receives_a_gradient(self):
        for num_slices in (1, 4):
            layer = HypernetworkKernel((3, 4), UNITS, num_slices)
            layer.build((None, 2))
            _randomise(layer)
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(_noise(2)) ** 2)
            gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
            assert len(gradients) == 2 * (len(UNITS) + 1)
            assert all(g is not None and g.numpy().any() for g in gradients)

    def test_compute_dtype(self):
        layer = HypernetworkKernel((3, 4), UNITS, dtype="mixed_float16")
        assert layer(_noise()).dtype == tf.float16
        assert {v.dtype for v in layer.trainable_variables} == {"float32"}

    @pytest.mark.parametrize("num_slices", [0, 3, -1])
    def test_refuses_slices_that_do_not_divide(self, num_slices):
        with pytest.raises(ValueError, match=rf"kernel_shape\[-1\] = 4.*num_slices={num_slices}"):
            HypernetworkKernel((6, 4), num_slices=num_slices)

    @pytest.mark.parametrize("shape", [(), (3, 0), (-1, 2)])
    def test_refuses_a_bad_shape(self, shape):
        with pytest.raises(ValueError, match="`kernel_shape`.*positive"):
            HypernetworkKernel(shape)

    @pytest.mark.parametrize("hidden_units", [(), (4, 0)])
    def test_refuses_bad_hidden_units(self, hidden_units):
        with pytest.raises(ValueError, match="`hidden_units`.*positive"):
            HypernetworkKernel((2,), hidden_units)

    @pytest.mark.parametrize("z", [np.zeros((5, 3)), np.zeros((5, 1)), np.zeros((5, 2, 2))])
    def test_refuses_noise_of_another_dimension(self, z):
        # Rows of the first kernel would silently change sides between z and c.
        layer = HypernetworkKernel((3, 4), UNITS, num_slices=4)
        layer.build((None, 2))
        with pytest.raises(ValueError, match="expected (axis -1|ndim=2)"):
            layer(z)

    @pytest.mark.parametrize("num_slices", [1, 2])
    def test_config_round_trip(self, num_slices):
        layer = HypernetworkKernel((3, 4), UNITS, num_slices, dtype="float64")
        again = keras.layers.deserialize(keras.layers.serialize(layer))
        assert again.get_config() == layer.get_config()


class TestSingleHypernetwork:
    SHAPES = [(3, 4), (4,), (2, 2, 1)]  # 12 + 4 + 4 weights

    @pytest.mark.parametrize("num_slices", [1, 5])
    def test_cuts_the_concatenated_weights_into_slices(self, num_slices):
        layer = SingleHypernetwork(self.SHAPES, num_slices, UNITS)
        layer.build((None, 2))
        _randomise(layer)
        z = _noise(2)
        flat = np.concatenate(list(_numpy_slices(layer, z)), axis=1)
        expected = [flat[:, :12], flat[:, 12:16], flat[:, 16:]]
        samples = layer(z)
        assert [s.shape for s in samples] == [(5, 3, 4), (5, 4), (5, 2, 2, 1)]
        for sample, part in zip(samples, expected, strict=True):
            np.testing.assert_allclose(sample, part.reshape(sample.shape), **TOLERANCE)

    def test_drops_the_surplus_of_the_last_slice(self):
        layer = SingleHypernetwork([(4096,), (1000, 5), (1,)], hidden_units=UNITS)
        assert (layer.num_weights, layer.num_slices) == (9097, 3)
        assert layer.generator.linear.units == 3033  # 3 * 3033 = 9099
        layer.build((None, 1))
        _randomise(layer)
        z = _noise(num_samples=2)
        flat = np.concatenate(list(_numpy_slices(layer, z)), axis=1)
        samples = layer(z)
        np.testing.assert_allclose(samples[2][:, 0], flat[:, 9096], **TOLERANCE)
        np.testing.assert_allclose(samples[0], flat[:, :4096], **TOLERANCE)

    def test_slices_of_the_papers_networks(self):
        lenet = SingleHypernetwork(LENET_SHAPES, hidden_units=UNITS)
        assert (lenet.num_weights, lenet.num_slices) == (431_080, 130)
        assert lenet.generator.linear.units == 3316
        resnet = SingleHypernetwork([(462_693,)], hidden_units=UNITS)
        assert (resnet.num_slices, resnet.generator.linear.units) == (231, 2003)

    @pytest.mark.parametrize("num_slices", [0, 3])
    def test_refuses_given_slices_that_do_not_divide(self, num_slices):
        with pytest.raises(ValueError, match=f"weights = 20. Received: num_slices={num_slices}"):
            SingleHypernetwork(self.SHAPES, num_slices)

    @pytest.mark.parametrize("shapes", [[], [(3, 0)], [(3,), ()]])
    def test_refuses_bad_shapes(self, shapes):
        with pytest.raises(ValueError, match="`weight_shapes` must"):
            SingleHypernetwork(shapes)

    def test_symbolic(self):
        samples = SingleHypernetwork(self.SHAPES, hidden_units=UNITS)(keras.Input((2,)))
        assert [tuple(s.shape) for s in samples] == [(None, 3, 4), (None, 4), (None, 2, 2, 1)]

    @pytest.mark.parametrize(
        "shapes, num_slices, expected",
        [([(3, 4), (4,)], 4, 4), ([(4096, 2)], None, 2), ([(4096,), (2,)], None, 2)],
        ids=["given", "default divides", "default with surplus"],
    )
    def test_keras_file_round_trip(self, tmp_path, shapes, num_slices, expected):
        layer = SingleHypernetwork(shapes, num_slices, UNITS)
        assert layer.num_slices == expected
        again = keras.layers.deserialize(keras.layers.serialize(layer))
        assert again.get_config() == layer.get_config()
        z = keras.Input((1,))
        model = keras.Model(z, layer(z))
        _randomise(model)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for a, b in zip(loaded(_noise()), model(_noise()), strict=True):
            np.testing.assert_array_equal(a, b)


class TestSizes:
    """Table 1, LeNet, d = 1. The 222 million parameters are counted, not made."""

    def test_the_formula_is_the_layers(self):
        for layer in (
            HypernetworkKernel((3, 4), UNITS),
            HypernetworkKernel((3, 4), UNITS, 4),
            SingleHypernetwork([(3, 4)], 3, UNITS),
        ):
            layer.build((None, 2))
            slice_size = 12 // layer.num_slices
            assert layer.count_params() == _num_parameters(2, layer.num_slices, slice_size, UNITS)

    def test_layerwise(self):
        total = sum(_num_parameters(1, 1, math.prod(shape)) for shape in LENET_SHAPES)
        assert total == 222_331_368

    def test_sliced(self):
        layers = [
            HypernetworkKernel(shape, num_slices=shape[-1] if len(shape) > 1 else 1)
            for shape in LENET_SHAPES
        ]
        for layer in layers:
            layer.build((None, 1))
        total = sum(layer.count_params() for layer in layers)
        assert round(total / 1e6, 1) == 2.5

    def test_single(self):
        layer = SingleHypernetwork(LENET_SHAPES)
        layer.build((None, 1))
        assert layer.count_params() == _num_parameters(1, 130, 3316)
        assert round(layer.count_params() / 1e6, 1) == 1.9
