"""Hypernetworks against NumPy, their sizes in the paper's settings, and their failures."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet.hypernetworks import (
    HIDDEN_UNITS,
    ChunkedHypernetwork,
    HypernetworkKernel,
    SingleHypernetwork,
)

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


def _split(flat, shapes):
    """Cuts `(n, num_weights)` into `(n, *shape)` one tensor after the other."""
    tensors, start = [], 0
    for shape in shapes:
        stop = start + int(np.prod(shape))
        tensors.append(flat[:, start:stop].reshape(len(flat), *shape))
        start = stop
    return tensors


# float32 sums of at most nine products of numbers around one, against float64.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


# What is no integer: a float (a division's result), a bool, a string.
NO_INTEGERS = [2.5, 2.0, True, "2"]
NO_TUPLES = [64, (4, 2.5), (4.0,), (4, True), "64", ("4",), None]


def _single(shape, **kwargs):
    return SingleHypernetwork([shape], **kwargs)


def _chunked(shape, **kwargs):
    return ChunkedHypernetwork([shape], **kwargs)


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

    def test_matmul_replaces_the_product_with_the_output_matrix(self):
        layer = HypernetworkKernel((3, 4), UNITS, num_slices=2)
        layer.build((None, 1))
        _randomise(layer)
        kernels = []

        def matmul(left, kernel):
            kernels.append(kernel)
            return keras.ops.matmul(left, kernel)

        z = _noise()
        np.testing.assert_allclose(layer(z, matmul=matmul), layer(z), **TOLERANCE)
        assert len(kernels) == 1
        assert kernels[0] is layer.generator.linear.kernel

    def test_compute_dtype(self):
        layer = HypernetworkKernel((3, 4), UNITS, dtype="mixed_float16")
        assert layer(_noise()).dtype == tf.float16
        assert {v.dtype for v in layer.trainable_variables} == {"float32"}

    @pytest.mark.parametrize("num_slices", [0, 3, -1, *NO_INTEGERS, None])
    def test_refuses_slices_that_do_not_divide(self, num_slices):
        message = f"kernel_shape[-1] = 4. Received: num_slices={num_slices!r}"
        with pytest.raises(ValueError, match=re.escape(message)):
            HypernetworkKernel((6, 4), num_slices=num_slices)

    @pytest.mark.parametrize("shape", [(), (3, 0), (-1, 2), *NO_TUPLES])
    def test_refuses_a_bad_shape(self, shape):
        message = "`kernel_shape` must be one or more positive integers. Received: kernel_shape="
        with pytest.raises(ValueError, match=re.escape(f"{message}{shape!r}")):
            HypernetworkKernel(shape)

    @pytest.mark.parametrize("hidden_units", [(), (4, 0), *NO_TUPLES])
    @pytest.mark.parametrize("make", [HypernetworkKernel, _single, _chunked])
    def test_refuses_bad_hidden_units(self, make, hidden_units):
        message = "`hidden_units` must be one or more positive integers. Received: hidden_units="
        with pytest.raises(ValueError, match=re.escape(f"{message}{hidden_units!r}")):
            make((2,), hidden_units=hidden_units)

    def test_accepts_numpy_integers(self):
        layer = HypernetworkKernel(np.array([3, 4]), np.array([4, 5]), np.int64(2))
        assert layer.get_config() == {
            **layer.get_config(),
            "kernel_shape": (3, 4),
            "hidden_units": (4, 5),
            "num_slices": 2,
        }
        # A config is written as JSON, which knows no NumPy integers.
        assert type(layer.num_slices) is int
        assert {type(size) for size in (*layer.kernel_shape, *layer.hidden_units)} == {int}

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
        # 9097 = 11 * 827, and slices of 827 weights are too short.
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

    @pytest.mark.parametrize(
        "num_weights, num_slices, slice_size",
        [
            pytest.param(431_080, 130, 3316, id="LeNet"),
            pytest.param(462_693, 231, 2003, id="ResNet-32"),
            pytest.param(1, 1, 1, id="one weight"),
            pytest.param(4096, 1, 4096, id="largest slice"),
            pytest.param(4097, 2, 2049, id="17 * 241: surplus"),
            pytest.param(4098, 2, 2049, id="two slices"),
            pytest.param(9999, 3, 3333, id="three slices"),
            pytest.param(10_000, 4, 2500, id="three would not divide"),
            pytest.param(5 * 1024, 2, 2560, id="fewest, not shortest"),
            pytest.param(5 * 1033, 5, 1033, id="long enough"),
            pytest.param(5 * 1021, 2, 2553, id="too short: surplus"),
        ],
    )
    def test_default_slices(self, num_weights, num_slices, slice_size):
        layer = SingleHypernetwork([(num_weights,)], hidden_units=UNITS)
        assert (layer.num_slices, layer.generator.linear.units) == (num_slices, slice_size)

    def test_lenet_has_the_weights_of_the_default(self):
        assert SingleHypernetwork(LENET_SHAPES, hidden_units=UNITS).num_slices == 130

    @pytest.mark.parametrize("num_slices", [0, 3, *NO_INTEGERS])
    def test_refuses_given_slices_that_do_not_divide(self, num_slices):
        message = f"weights = 20. Received: num_slices={num_slices!r}"
        with pytest.raises(ValueError, match=re.escape(message)):
            SingleHypernetwork(self.SHAPES, num_slices)

    @pytest.mark.parametrize("shapes", [[], [(3, 0)], [(3,), ()], (3, 4), [(2.5,)], "34", 3, None])
    @pytest.mark.parametrize("hypernetwork", [SingleHypernetwork, ChunkedHypernetwork])
    def test_refuses_bad_shapes(self, hypernetwork, shapes):
        for call in (hypernetwork, hypernetwork.count_parameters):
            with pytest.raises(ValueError, match="`weight_shapes` must be a list.*Received: ") as e:
                call(shapes)
            assert str(e.value).endswith(f"weight_shapes={shapes!r}")

    def test_names_of_the_variables(self):
        # Checkpoints refer to them.
        layer = SingleHypernetwork(self.SHAPES, 5, (4,), name="all")
        layer.build((None, 1))
        assert [v.path for v in layer.variables] == [
            "all/generator/hidden_1/kernel",
            "all/generator/hidden_1/bias",
            "all/generator/output/kernel",
            "all/generator/output/bias",
        ]

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


class TestChunkedHypernetwork:
    SHAPES = [(3, 4), (4,), (2, 2, 1)]  # 12 + 4 + 4 weights

    def _make(self, chunk_size=6, dim=2, **kwargs):
        layer = ChunkedHypernetwork(self.SHAPES, chunk_size, 3, UNITS, **kwargs)
        layer.build((None, dim))
        _randomise(layer)
        return layer

    @pytest.mark.parametrize("dim", [1, 2])
    @pytest.mark.parametrize(
        "chunk_size, num_chunks",
        [(1, 20), (5, 4), (6, 4), (19, 2), (20, 1), (100, 1)],
        ids=["1", "divides", "surplus", "crosses tensors", "one chunk", "longer than the weights"],
    )
    def test_is_the_network_on_z_and_the_embedding(self, chunk_size, num_chunks, dim):
        layer = self._make(chunk_size, dim)
        embeddings = layer.generator.embeddings.numpy()
        assert layer.num_chunks == num_chunks
        assert embeddings.shape == (num_chunks, 3)
        z = _noise(dim)
        flat = np.concatenate([_numpy_generator(layer, z, e) for e in embeddings], axis=1)
        samples = layer(z)
        assert [s.shape for s in samples] == [(5, 3, 4), (5, 4), (5, 2, 2, 1)]
        for sample, expected in zip(samples, _split(flat[:, :20], self.SHAPES), strict=True):
            np.testing.assert_allclose(sample, expected, **TOLERANCE)

    def test_graph_equals_eager(self):
        layer = self._make()
        signature = [tf.TensorSpec((None, 2))]
        for a, b in zip(tf.function(layer, signature)(_noise(2)), layer(_noise(2)), strict=True):
            np.testing.assert_allclose(a, b, **TOLERANCE)

    def test_every_parameter_receives_a_gradient(self):
        layer = self._make()
        with tf.GradientTape() as tape:
            loss = sum(tf.reduce_sum(w**2) for w in layer(_noise(2)))
        gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
        assert len(gradients) == 2 * (len(UNITS) + 1) + 1
        assert all(g is not None and g.numpy().any() for g in gradients)
        embeddings = [v.path for v in layer.trainable_variables].index(
            layer.generator.embeddings.path
        )
        assert gradients[embeddings].numpy().any(axis=1).all()  # of every chunk

    def test_embeddings_start_standard_normal(self):
        layer = ChunkedHypernetwork([(1000,)], 1, 20, UNITS)
        layer.build((None, 1))
        embeddings = layer.generator.embeddings.numpy()
        # 20,000 draws: five standard errors of the mean, 1 / sqrt(N), and of the standard
        # deviation, 1 / sqrt(2 N).
        assert abs(embeddings.mean()) < 5 / np.sqrt(20_000)
        assert abs(embeddings.std() - 1) < 5 / np.sqrt(40_000)
        assert embeddings.max() > 2.1  # not truncated at two standard deviations

    def test_chunks_differ_at_the_start(self):
        layer = ChunkedHypernetwork([(2, 100)], 100, 4, UNITS)
        (weights,) = layer(_noise())
        assert not np.allclose(weights[:, 0], weights[:, 1])

    def test_symbolic_and_unknown_number_of_samples(self):
        layer = self._make()
        shapes = [(3, 4), (4,), (2, 2, 1)]
        assert [tuple(s.shape) for s in layer(keras.Input((2,)))] == [(None, *s) for s in shapes]
        assert layer.compute_output_shape((7, 2)) == [(7, *s) for s in shapes]

    def test_compute_dtype(self):
        layer = self._make(dtype="mixed_float16")
        for matmul in (None, keras.ops.matmul):
            assert {w.dtype for w in layer(_noise(2), matmul=matmul)} == {tf.float16}
        assert {v.dtype for v in layer.trainable_variables} == {"float32"}

    def test_refuses_noise_of_another_dimension(self):
        # Rows of the first kernel would silently change sides between z and the embedding.
        with pytest.raises(ValueError, match="expected axis -1"):
            self._make()(np.zeros((5, 3)))

    @pytest.mark.parametrize("name", ["chunk_size", "embedding_dim"])
    @pytest.mark.parametrize("value", [0, -1, None, *NO_INTEGERS])
    def test_refuses_what_is_no_positive_integer(self, name, value):
        message = rf"`{name}` must be .*at least 1. Received: {name}={re.escape(repr(value))}"
        for call in (ChunkedHypernetwork, ChunkedHypernetwork.count_parameters):
            with pytest.raises(ValueError, match=message):
                call(self.SHAPES, **{name: value})

    def test_accepts_numpy_integers(self):
        layer = ChunkedHypernetwork(self.SHAPES, np.int64(6), np.int32(3), UNITS)
        assert (layer.chunk_size, layer.embedding_dim, layer.num_chunks) == (6, 3, 4)
        assert {type(layer.chunk_size), type(layer.embedding_dim)} == {int}

    def test_keras_file_round_trip(self, tmp_path):
        layer = ChunkedHypernetwork(self.SHAPES, 6, 3, UNITS)
        again = keras.layers.deserialize(keras.layers.serialize(layer))
        assert again.get_config() == layer.get_config()
        z = keras.Input((1,))
        model = keras.Model(z, layer(z))
        _randomise(model)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        for a, b in zip(loaded(_noise()), model(_noise()), strict=True):
            np.testing.assert_array_equal(a, b)


class TestCountParameters:
    """Against built layers, and Table 1: LeNet, d = 1. 222 million are counted, not made."""

    @pytest.mark.parametrize("dim", [1, 3])
    @pytest.mark.parametrize(
        "hypernetwork, kwargs",
        [
            (HypernetworkKernel, {"kernel_shape": (3, 4)}),
            (HypernetworkKernel, {"kernel_shape": (3, 4), "num_slices": 4}),
            (SingleHypernetwork, {"weight_shapes": [(3, 4), (2,)]}),
            (SingleHypernetwork, {"weight_shapes": [(3, 4), (2,)], "num_slices": 7}),
            (SingleHypernetwork, {"weight_shapes": [(9097,)]}),
            (ChunkedHypernetwork, {"weight_shapes": [(9097,)]}),
            (ChunkedHypernetwork, {"weight_shapes": [(3, 4), (2,)], "embedding_dim": 5}),
            (ChunkedHypernetwork, {"weight_shapes": [(3, 4), (2,)], "chunk_size": 4}),
        ],
    )
    def test_is_what_the_layer_makes(self, hypernetwork, kwargs, dim):
        layer = hypernetwork(**kwargs, hidden_units=UNITS)
        layer.build((None, dim))
        count = hypernetwork.count_parameters(**kwargs, hidden_units=UNITS, noise_dim=dim)
        assert count == layer.count_params()

    def test_by_hand(self):
        # Kernel and bias of each layer; z and the constant 1, then of 12 weights four slices.
        hidden = [3 * 5, 6 * 6]
        kernel = HypernetworkKernel.count_parameters((3, 4), (5, 6))
        assert kernel == sum([*hidden, 7 * 12]) == 135
        assert HypernetworkKernel.count_parameters((3, 4), (5, 6), 4) == 6 * 5 + 36 + 7 * 3
        assert SingleHypernetwork.count_parameters([(3, 4)], 4, (5, 6), 2) == 7 * 5 + 36 + 7 * 3
        # Three chunks of five with embeddings of two.
        count = ChunkedHypernetwork.count_parameters([(3, 4)], 5, 2, (5, 6))
        assert count == 3 * 2 + 4 * 5 + 36 + 7 * 5

    def test_defaults_are_those_of_the_class(self):
        for hypernetwork, shapes in (
            (HypernetworkKernel, (3, 4)),
            (SingleHypernetwork, [(3, 4)]),
            (ChunkedHypernetwork, [(3, 4)]),
        ):
            layer = hypernetwork(shapes)
            layer.build((None, 1))
            assert hypernetwork.count_parameters(shapes) == layer.count_params()

    def test_layerwise(self):
        total = sum(HypernetworkKernel.count_parameters(shape) for shape in LENET_SHAPES)
        assert total == 222_331_368

    def test_sliced(self):
        total = sum(
            HypernetworkKernel.count_parameters(
                shape, num_slices=shape[-1] if len(shape) > 1 else 1
            )
            for shape in LENET_SHAPES
        )
        assert round(total / 1e6, 1) == 2.5

    def test_single(self):
        count = SingleHypernetwork.count_parameters(LENET_SHAPES)
        assert round(count / 1e6, 1) == 1.9

    @pytest.mark.parametrize("noise_dim", [0, *NO_INTEGERS])
    def test_refuses_a_bad_noise_dim(self, noise_dim):
        message = (
            rf"`noise_dim` must be .*at least 1. Received: noise_dim={re.escape(repr(noise_dim))}"
        )
        with pytest.raises(ValueError, match=message):
            HypernetworkKernel.count_parameters((3, 4), noise_dim=noise_dim)

    def test_refuses_what_the_class_refuses(self):
        with pytest.raises(ValueError, match="`kernel_shape`"):
            HypernetworkKernel.count_parameters(64)
        with pytest.raises(ValueError, match="`hidden_units`"):
            HypernetworkKernel.count_parameters((3, 4), hidden_units=64)
        with pytest.raises(ValueError, match="`num_slices`"):
            HypernetworkKernel.count_parameters((3, 4), num_slices=3)
        with pytest.raises(ValueError, match="`num_slices`"):
            SingleHypernetwork.count_parameters([(3, 4)], num_slices=5)
