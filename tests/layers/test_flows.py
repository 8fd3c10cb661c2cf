"""MaskedRealNVP: what it computes, its log determinant, its masks, and its contract."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.layers.flows import MaskedRealNVP

KEY = tf.constant([5, 6], tf.int32)


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def flow_of(dim=4, dtype="float32", **kwargs):
    """A built flow whose biases, too, are random."""
    flow = MaskedRealNVP(**{"hidden_units": 8, **kwargs}, dtype=dtype)
    flow.build((None, dim))
    for i, variable in enumerate(flow.trainable_variables):
        variable.assign(variable + normal(*variable.shape, seed=i, dtype=dtype))
    return flow


def masks(flow, z, key):
    """The masks of each step, `(n, d)`."""
    keys = [randomness.fold_in(key, i) for i in range(flow.num_steps)]
    return [tf.random.stateless_uniform(z.shape, key).numpy() < 0.5 for key in keys]


def affine(layer, x):
    return x @ layer.kernel.numpy() + layer.bias.numpy()


class TestForward:
    def test_equals_its_formula(self):
        flow, z = flow_of(dtype="float64", num_steps=3), normal(5, 4, dtype="float64")
        expected, log_det = z.copy(), np.zeros(5)
        for i, kept in enumerate(masks(flow, z, KEY)):
            hidden = np.tanh(affine(flow.hidden[i], kept * expected))
            shift, scale = affine(flow.shift[i], hidden), affine(flow.scale[i], hidden)
            g = 1 / (1 + np.exp(-scale))
            expected[~kept] = (expected * g + (1 - g) * shift)[~kept]
            log_det += np.where(kept, 0.0, np.log(g)).sum(axis=1)
        actual = flow(z, KEY)
        np.testing.assert_allclose(actual[0], expected, rtol=1e-12)  # float64, few operations
        np.testing.assert_allclose(actual[1], log_det, rtol=1e-12)

    def test_log_determinant_is_the_jacobians(self):
        flow = flow_of(dtype="float64")
        z = tf.constant(normal(6, 4, dtype="float64"))
        with tf.GradientTape() as tape:
            tape.watch(z)
            outputs, log_det = flow(z, KEY)
        jacobian = tape.batch_jacobian(outputs, z)  # (n, d, d)
        # Positive: each step scales by g > 0. float64, a determinant of 4 x 4.
        expected = np.log(np.linalg.det(jacobian))
        np.testing.assert_allclose(log_det, expected, rtol=1e-10)
        assert np.ptp(expected) > 0.1  # of rows that differ

    def test_starts_near_the_identity(self):
        flow = MaskedRealNVP()
        z = normal(2000, 20)
        outputs, log_det = flow(z, KEY)
        assert (flow.num_steps, flow.hidden_units) == (2, 50)
        # A step moves half of the entries by 0.12 of their size, and somewhat by its random heads.
        assert np.corrcoef(z.ravel(), outputs.numpy().ravel())[0, 1] > 0.95
        # log sigmoid(2) = -0.127 for each entry that is moved, one of the two times.
        np.testing.assert_allclose(np.mean(log_det), -0.127 * 20, rtol=0.2)
        for name in ("hidden", "shift", "scale"):
            for layer in getattr(flow, name):
                np.testing.assert_array_equal(layer.bias, 2.0 if name == "scale" else 0.0)


class TestMasks:
    def test_are_fair_and_of_each_step_row_and_key(self):
        flow, z = flow_of(50), normal(400, 50)
        one, two = masks(flow, z, KEY)
        moved = flow(z, KEY)[0].numpy() != z
        np.testing.assert_array_equal(moved, ~(one & two))
        # 20,000 draws of probability 3/4: standard error 0.003.
        np.testing.assert_allclose(moved.mean(), 0.75, atol=0.012)
        assert len({row.tobytes() for row in moved}) == 400
        other = flow(z, KEY + 1)[0].numpy() != z
        # Independent masks agree with probability (3/4)^2 + (1/4)^2; standard error 0.0034.
        np.testing.assert_allclose((moved == other).mean(), 0.625, atol=0.014)

    def test_key_repeats_them(self):
        flow, z = flow_of(), normal(5, 4)
        for a, b in zip(flow(z, KEY), flow(z, KEY), strict=True):
            np.testing.assert_array_equal(a, b)


class TestContract:
    def test_gradients_reach_every_variable(self):
        flow = flow_of()
        with tf.GradientTape() as tape:
            outputs, log_det = flow(normal(20, 4), KEY)
            loss = tf.reduce_sum(outputs**2) - tf.reduce_sum(log_det)
        gradients = tape.gradient(loss, [v.value for v in flow.trainable_variables])
        assert len(gradients) == 2 * 3 * 2  # two steps of three layers
        assert all(np.isfinite(g).all() and g.numpy().any() for g in gradients)

    def test_saturated_scales_have_finite_gradients(self):
        flow, z = flow_of(), normal(20, 4)
        for bias in (-200.0, 200.0):
            for layer in flow.scale:
                layer.bias.assign(tf.fill([4], bias))
            with tf.GradientTape() as tape:
                outputs, log_det = flow(z, KEY)
                loss = tf.reduce_sum(outputs) + tf.reduce_sum(log_det)
            gradients = tape.gradient(loss, [v.value for v in flow.trainable_variables])
            assert np.isfinite(loss) and all(np.isfinite(g).all() for g in gradients)

    def test_any_number_of_rows_compiled(self):
        flow = flow_of()
        compiled = tf.function(
            lambda z: flow(z, KEY), input_signature=[tf.TensorSpec((None, 4), tf.float32)]
        )
        for n in (0, 1, 3):
            z = normal(n, 4)
            outputs, log_det = compiled(z)
            assert (outputs.shape, log_det.shape) == ((n, 4), (n,))
            # One float32 expression, in another order of operations.
            np.testing.assert_allclose(outputs, flow(z, KEY)[0], rtol=1e-5, atol=1e-6)

    def test_shapes_of_symbolic_inputs(self):
        outputs, log_det = MaskedRealNVP()(keras.Input((4,)), KEY)
        assert (outputs.shape, log_det.shape) == ((None, 4), (None,))

    def test_config_round_trip(self):
        flow = MaskedRealNVP(num_steps=3, hidden_units=7, dtype="float64")
        again = keras.layers.deserialize(keras.layers.serialize(flow))
        assert again.get_config() == flow.get_config()

    def test_weights_file_round_trip(self, tmp_path):
        models = []
        for _ in range(2):
            z = keras.Input((4,))
            models.append(keras.Model(z, MaskedRealNVP()(z, KEY)))
        models[0].save_weights(tmp_path / "flow.weights.h5")
        models[1].load_weights(tmp_path / "flow.weights.h5")
        z = normal(5, 4)
        np.testing.assert_array_equal(models[0](z)[0], models[1](z)[0])


class TestFailure:
    def test_arguments(self):
        with pytest.raises(ValueError, match="`num_steps` must be at least 1.*num_steps=0"):
            MaskedRealNVP(num_steps=0)
        with pytest.raises(ValueError, match="`hidden_units` must be at least 1.*hidden_units=-2"):
            MaskedRealNVP(hidden_units=-2)

    def test_z_of_the_wrong_shape(self):
        flow = flow_of()
        with pytest.raises(ValueError, match="expected axis -1.*to have value 4"):
            flow(normal(2, 3), KEY)
        with pytest.raises(ValueError, match="expected ndim=2"):
            flow(normal(2, 3, 4), KEY)
