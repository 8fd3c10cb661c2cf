"""DenseMNF and Conv2DMNF: the authors' numbers, and laws worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keys import called
from mnf_cases import (
    AUXILIARY,
    FLAT,
    IMAGES,
    KEY,
    LAYERS,
    N,
    assign,
    each_layer,
    kl_draws,
    make,
    means_of,
    patches,
    scale_only,
)

from bayes_by_hypernet.divergences import gaussian_kl
from bayes_by_hypernet.layers.mnf import Conv2DMNF, DenseMNF


def assert_same_moments(a, b):
    """Compares means and standard deviations of samples `(n, ...)`, five standard errors."""
    a, b = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (a, b))
    errors = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    np.testing.assert_array_less(np.abs(a.mean(0) - b.mean(0)), 5 * errors)
    # Products of two Gaussians have a kurtosis of up to 9: var(std) <= 8 var / (4 n).
    errors = np.sqrt(2 * (a.var(0) / len(a) + b.var(0) / len(b)))
    np.testing.assert_array_less(np.abs(a.std(0) - b.std(0)), 5 * errors)


@pytest.fixture
def golden_layer(golden):
    """Function of `"dense"` or `"conv"`: a layer with the authors' parameters."""

    def load(kind):
        args = (4,) if kind == "dense" else (4, 3)
        # Their prior has log variance 1, and theirs is not clipped here.
        layer = LAYERS[kind][0](*args, prior_stddev=np.exp(0.5), max_stddev=1e6)
        layer.build(golden[f"mnf/x_{kind}"].shape)
        own = ("kernel_mean", "kernel_log_std", "bias_mean", "bias_log_variance")
        for name in (*own, "q0_mean", "q0_log_variance", *AUXILIARY):
            variable = getattr(layer, name)
            variable.assign(golden[f"mnf/{kind}/{name}"].reshape(variable.shape))
        for flow in ("flow_q", "flow_r"):
            for part in ("hidden", "shift", "scale"):
                for i, dense in enumerate(getattr(getattr(layer, flow), part)):
                    key = f"mnf/{kind}/{flow}/{i}/{part}"
                    dense.kernel.assign(golden[f"{key}_kernel"])
                    dense.bias.assign(golden[f"{key}_bias"])
        return layer

    return load


class TestGolden:
    @each_layer
    def test_kl_is_the_authors(self, golden, golden_layer, kind):
        mean, error = kl_draws(golden_layer(kind), 5000)
        expected, expected_error = golden[f"mnf/kl_{kind}_mean_se"]
        # Four standard errors, 0.03 nats of 67 and 223.
        assert abs(mean - expected) < 4 * np.hypot(error, expected_error)

    @each_layer
    def test_outputs_have_the_moments_of_the_authors(self, golden, golden_layer, kind):
        layer, num_draws = golden_layer(kind), 40_000 if kind == "dense" else 20_000  # theirs
        inputs = np.repeat(golden[f"mnf/x_{kind}"], num_draws, axis=0)
        outputs = called(layer, inputs).numpy()
        error = outputs.std(0) * np.sqrt(2 / num_draws)  # of the difference of two means
        deviation = np.abs(outputs.mean(0) - golden[f"mnf/{kind}_out_mean"]) / error
        assert deviation.max() < 5  # of up to 64 values
        # A standard deviation's error is at most sqrt(2) times the mean's, see above.
        deviation = np.abs(outputs.std(0) - golden[f"mnf/{kind}_out_std"]) / error
        assert deviation.max() < 5 * np.sqrt(2)


class TestKLLaw:
    @each_layer
    @pytest.mark.parametrize("g_q, g_r", [(1, 1), (0.7, 0.4)])
    def test_with_flows_that_only_scale(self, kind, g_q, g_r):
        """With c = 0, too, r is N(0, 1) before its flow, and every expectation is known."""
        layer, _ = make(kind, prior_stddev=0.7, max_stddev=1e-3)
        assign(layer, aux_input_weights=0.0, q0_mean=0.8, q0_log_variance=np.log(0.3))
        assign(layer, kernel_log_std=np.log(0.2), bias_mean=0.4, bias_log_variance=np.log(0.09))
        scale_only(layer.flow_q, g_q)
        scale_only(layer.flow_r, g_r)
        kl, error = kl_draws(layer)

        # A step moves an entry with probability 1/2: E of the factor's square, of two steps.
        squares = [((1 + g**2) / 2) ** 2 for g in (g_q, g_r)]
        second_moment = (0.8**2 + 0.3) * squares[0]  # of z
        root = np.sqrt(second_moment)
        # The KL is linear in squared means. Unclipped: max_stddev is far below these.
        factors = (root, np.float64(1.0) if kind == "dense" else root)
        conditional = 0.0
        for mean, factor, s in zip(means_of(layer), factors, (0.2, 0.3), strict=True):
            conditional += float(gaussian_kl(factor * mean, np.full(mean.shape, s), 0.7))
        # For identities this is KL(N(0.8, 0.3) || N(0, 1)) for each entry of z.
        d = layer.q0_mean.shape[0]
        log_q = -0.5 * (np.log(2 * np.pi * 0.3) + 1) - np.log(g_q)
        log_r = np.log(g_r) - 0.5 * np.log(2 * np.pi) - 0.5 * second_moment * squares[1]
        # Four standard errors, and 1e-6 of a float32 sum.
        assert abs(kl - (conditional + d * (log_q - log_r))) < 4 * error + 1e-6 * kl
        assert log_q - log_r > 0

    @each_layer
    def test_auxiliary_weights_give_rs_mean_and_precision(self, kind):
        """With a = 1, r is N(b1, exp(-b2)) before its flow, the identity."""
        layer, _ = make(kind)
        scale_only(layer.flow_q, 1)
        scale_only(layer.flow_r, 1)
        assign(layer, q0_mean=1.0, q0_log_variance=np.log(1e-6))
        assign(layer, aux_mean_weights=0.25, aux_log_precision_weights=1.5)
        if kind == "dense":  # tanh(72 * 10)
            assign(layer, kernel_mean=1.0, aux_input_weights=10.0)
        else:  # three filters: 3 * (0.75 + 0.25) / 3, kernel and bias
            assign(layer, kernel_mean=0.75, bias_mean=0.25, aux_input_weights=1 / 3)
        kl, error = kl_draws(layer)
        stddevs = tf.exp(layer.kernel_log_std), tf.exp(0.5 * layer.bias_log_variance)
        conditional = sum(map(gaussian_kl, means_of(layer), stddevs))
        log_q = -0.5 * (np.log(2 * np.pi * 1e-6) + 1)
        log_r = -0.5 * np.log(2 * np.pi) + 0.75 - 0.5 * np.exp(1.5) * (0.75**2 + 1e-6)
        expected = float(conditional) + layer.q0_mean.shape[0] * (log_q - log_r)
        # z is 1 to 1e-3, in a nonlinear way 1e-6; else as above.
        assert abs(kl - expected) < 4 * error + 3e-6 * abs(expected)

    def test_rs_mean_sees_the_noise_of_the_weights(self):
        """With kernel means of 0 and a large c a dense layer's a is the sign of that noise."""
        layer = DenseMNF(1)
        layer.build((None, 6))
        scale_only(layer.flow_q, 1)
        scale_only(layer.flow_r, 1)
        assign(layer, kernel_mean=0.0, q0_mean=0.0, q0_log_variance=np.log(0.3))
        assign(layer, aux_input_weights=1e8, aux_mean_weights=2.0, aux_log_precision_weights=0.0)
        kl, error = kl_draws(layer)
        stddevs = tf.exp(layer.kernel_log_std), tf.exp(0.5 * layer.bias_log_variance)
        # Of r's log density -E[(z - 2 a)^2] / 2 = -(0.3 + 4) / 2.
        expected = float(sum(map(gaussian_kl, means_of(layer), stddevs)))
        expected += 6 * (-0.5 * (np.log(2 * np.pi * 0.3) + 1) + 0.5 * (np.log(2 * np.pi) + 4.3))
        assert abs(kl - expected) < 4 * error

    @each_layer
    def test_is_never_below_the_divergence(self, kind):
        """One weight, an identity flow: w = z m + s eps is Gaussian, its divergence known."""
        layer = DenseMNF(1) if kind == "dense" else Conv2DMNF(1, 1)
        layer.build((None, 1) if kind == "dense" else (None, 3, 3, 1))
        scale_only(layer.flow_q, 1)
        assign(layer, kernel_mean=0.9, kernel_log_std=np.log(0.3), bias_log_variance=-30.0)
        assign(layer, q0_mean=0.5, q0_log_variance=np.log(0.8), aux_input_weights=0.7)
        kl, error = kl_draws(layer)
        expected = gaussian_kl(0.9 * 0.5, np.sqrt(0.3**2 + 0.9**2 * 0.8))
        expected += gaussian_kl(0.0, np.exp(-15.0))
        assert kl > expected + 4 * error  # r does not know z

    def test_is_tight_where_r_is_the_true_posterior_of_z(self):
        """One weight of a convolution: r(z | w) = N(b1 c w, 1) can be q(z | w) exactly.

        q(z | w) of z ~ N(0, v), w ~ N(z m, s^2) has precision 1 / v + m^2 / s^2 and mean w m / s^2
        over that: with v = 2 and m^2 = s^2 / 2 the precision is 1.
        """
        layer = Conv2DMNF(1, 1)
        layer.build((None, 3, 3, 1))
        scale_only(layer.flow_q, 1)
        scale_only(layer.flow_r, 1)
        m, s = 0.5, 0.5 * np.sqrt(2)
        assign(layer, kernel_mean=m, kernel_log_std=np.log(s), bias_log_variance=-30.0)
        assign(layer, q0_mean=0.0, q0_log_variance=np.log(2.0))
        assign(layer, aux_input_weights=1.0, aux_mean_weights=m / s**2)
        assign(layer, aux_log_precision_weights=0.0)
        kl, error = kl_draws(layer, 10_000)
        expected = gaussian_kl(0.0, np.sqrt(s**2 + m**2 * 2)) + gaussian_kl(0.0, np.exp(-15.0))
        assert abs(kl - float(expected)) < 4 * error
        assert error < 0.02  # so the gap of the test above, 0.5 nats, would show


class TestForward:
    @each_layer
    def test_is_keras_without_noise(self, kind):
        layer, x = make(kind, activation="relu")
        scale_only(layer.flow_q, 1)
        assign(layer, q0_mean=1.5, q0_log_variance=-30.0, bias_mean=[0.1, -0.2, 0.3])
        assign(layer, kernel_log_std=-30.0, bias_log_variance=-60.0)
        twin = keras.layers.Dense(3) if kind == "dense" else keras.layers.Conv2D(3, 2)
        twin.build(x.shape)
        factors = (1.5, 1.0) if kind == "dense" else (1.5, 1.5)  # of kernel and of bias
        twin.set_weights([f * mean for f, mean in zip(factors, means_of(layer), strict=True)])
        # float32 sums of 72 terms; z varies by e^-15 = 3e-7.
        np.testing.assert_allclose(layer(x), keras.ops.relu(twin(x)), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("strides, padding", [(1, "valid"), ((2, 1), "same"), (2, "valid")])
    def test_strides_and_padding(self, strides, padding):
        layer, x = make("conv", 3, (3, 2), strides, padding)
        scale_only(layer.flow_q, 1)
        assign(layer, q0_mean=1.0, q0_log_variance=-30.0, kernel_log_std=-30.0)
        assign(layer, bias_log_variance=-60.0)
        twin = keras.layers.Conv2D(3, (3, 2), strides, padding)
        twin.build(x.shape)
        twin.set_weights(means_of(layer))
        outputs = layer(x)
        np.testing.assert_allclose(outputs, twin(x), rtol=1e-5, atol=1e-5)  # as above
        assert layer.compute_output_shape((None, 6, 6, 2)) == (None, *outputs.shape[1:])

    @each_layer
    @pytest.mark.parametrize("max_stddev", [10.0, 0.15])
    def test_has_the_moments_of_its_weight_samples(self, kind, max_stddev):
        n = 20_000
        layer = DenseMNF(3) if kind == "dense" else Conv2DMNF(3, 2)
        x = FLAT[:1, :5] if kind == "dense" else IMAGES[:1, :3, :3]
        layer.build(x.shape)
        layer.max_stddev = max_stddev
        assign(layer, kernel_log_std=np.log(0.3), bias_log_variance=np.log(0.04))
        assign(layer, bias_mean=[0.5, -0.2, 0.1])
        kernels, biases = (w.numpy() for w in layer.sample_weights(n, KEY))
        rows = x if kind == "dense" else patches(x, 2)
        kernels = kernels.reshape(n, rows.shape[1], 3)
        expected = np.einsum("pk,nkf->npf", rows, kernels) + biases[:, np.newaxis]
        outputs = called(layer, np.repeat(x, n, axis=0)).numpy()
        assert_same_moments(outputs.reshape(expected.shape), expected)

    @each_layer
    def test_examples_have_their_own_z_and_positions_share_it(self, kind):
        layer, _ = make(kind)
        x = np.repeat(FLAT[:4, np.newaxis], 6, axis=1) if kind == "dense" else IMAGES[:4]
        if kind == "dense":
            layer = DenseMNF(3)
            layer.build(x.shape)
        assign(layer, kernel_log_std=-30.0, bias_log_variance=-60.0, bias_mean=1.0)
        outputs = layer(x)
        if kind == "conv":
            outputs /= keras.ops.conv(x, layer.kernel_mean) + layer.bias_mean  # z, where noiseless
            outputs = np.reshape(outputs, (4, -1, 3))
        assert np.ptp(outputs, axis=1).max() < 1e-4  # of sizes near 1, float32
        assert np.ptp(outputs, axis=0).min() > 1e-3

    def test_positions_have_noise_of_their_own(self):
        layer, x = make("conv")
        assign(layer, kernel_mean=0.0, bias_mean=0.0, bias_log_variance=0.0)
        noise = np.reshape(layer(np.zeros_like(np.repeat(x, 50, axis=0))), (600, 25, 3))
        # Uncorrelated: 600 examples, standard error 0.04, over 300 pairs the largest 5 of them.
        for j in range(3):
            off = np.corrcoef(noise[:, :, j].T) - np.eye(25)
            assert np.abs(off).max() < 0.2

    def test_a_batch_of_unknown_size_and_inputs_of_rank_3(self):
        layer = DenseMNF(4, num_train_examples=N)
        assert layer(keras.Input((7, 36))).shape == (None, 7, 4)
        compiled = tf.function(
            lambda x: layer(x, training=True),
            input_signature=[tf.TensorSpec((None, 7, 36), tf.float32)],
        )
        for batch in (0, 1, 3):
            assert compiled(np.zeros((batch, 7, 36), np.float32)).shape == (batch, 7, 4)


class TestSampleWeights:
    @each_layer
    @pytest.mark.parametrize("max_stddev", [0.5, 0.1])
    def test_moments(self, kind, max_stddev):
        """w = z m + s eps of z ~ N(0.8, 0.3), with s clipped."""
        n = 20_000
        layer = DenseMNF(2) if kind == "dense" else Conv2DMNF(2, 1)
        layer.build((None, 3) if kind == "dense" else (None, 4, 4, 3))
        layer.max_stddev = max_stddev
        scale_only(layer.flow_q, 1)
        assign(layer, q0_mean=0.8, q0_log_variance=np.log(0.3), bias_mean=[0.7, -0.4])
        assign(layer, kernel_log_std=np.log(0.2), bias_log_variance=np.log(0.09))
        drawn = layer.sample_weights(n, KEY)
        means = means_of(layer)
        factors = [(0.8, 0.3), (1.0, 0.0) if kind == "dense" else (0.8, 0.3)]
        for w, mean, (z, variance), s in zip(drawn, means, factors, (0.2, 0.3), strict=True):
            assert w.shape == (n, *mean.shape)
            std = np.sqrt(variance * mean**2 + min(s, max_stddev) ** 2)
            # Gaussian: standard errors std / sqrt(n), std / sqrt(2 n); five of them.
            error = std / np.sqrt(n)
            np.testing.assert_array_less(np.abs(np.mean(w, 0) - z * mean), 5 * error)
            np.testing.assert_array_less(np.abs(np.std(w, 0) - std), 5 * error / np.sqrt(2))

    @each_layer
    def test_key_repeats_them_and_their_number_may_be_a_tensor(self, kind):
        layer, _ = make(kind)
        compiled = tf.function(lambda n: layer.sample_weights(n, KEY))
        for a, b in zip(layer.sample_weights(4, KEY), compiled(tf.constant(4)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # float32, another order
        kernels, _ = layer.sample_weights(4, KEY)
        other, _ = layer.sample_weights(4, KEY + 1)
        assert (kernels != other).numpy().all() and (kernels[0] != kernels[1]).numpy().all()
