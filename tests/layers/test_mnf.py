"""DenseMNF and Conv2DMNF: the authors' numbers, laws worked out by hand, and the contract."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import randomness
from bayes_by_hypernet.divergences import gaussian_kl
from bayes_by_hypernet.layers.mnf import Conv2DMNF, DenseMNF
from bayes_by_hypernet.noise import hold_noise

N = 40
KEY = tf.constant([5, 6], tf.int32)
IMAGES = np.random.default_rng(0).uniform(size=(12, 6, 6, 2)).astype(np.float32)
FLAT = IMAGES.reshape(12, 72)
LABELS = np.random.default_rng(1).integers(0, 3, 12)
NLL = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LAYERS = {  # name: class, its arguments, inputs
    "dense": (DenseMNF, (3,), FLAT),
    "conv": (Conv2DMNF, (3, 2), IMAGES),
}
AUXILIARY = ("aux_input_weights", "aux_mean_weights", "aux_log_precision_weights")
each_layer = pytest.mark.parametrize("kind", LAYERS)


def make(kind, *args, **kwargs):
    """A built layer and its inputs."""
    cls, default_args, inputs = LAYERS[kind]
    layer = cls(*(args or default_args), **{"num_train_examples": N, **kwargs})
    layer.build(inputs.shape)
    return layer, inputs


def assign(layer, **values):
    """Gives variables values that broadcast to them."""
    for name, value in values.items():
        variable = getattr(layer, name)
        variable.assign(np.broadcast_to(value, variable.shape))


def scale_only(flow, g):
    """Makes `z' = g z` of what every step of a flow moves; 1: the identity."""
    for shift, scale in zip(flow.shift, flow.scale, strict=True):
        for variable in (*shift.trainable_variables, scale.kernel):
            variable.assign(tf.zeros_like(variable))
        # In float32 sigmoid(40) is 1, and its logarithm 4e-18.
        scale.bias.assign(tf.fill(scale.bias.shape, 40.0 if g == 1 else np.log(g / (1 - g))))


def kl_draws(layer, num_draws=3000):
    """Mean and standard error of `layer.kl` over keys."""

    @tf.function
    def draw():
        keys = randomness.split(KEY, num_draws)
        return tf.map_fn(layer.kl, keys, fn_output_signature=tf.float32)

    kl = draw().numpy().astype(np.float64)
    return kl.mean(), kl.std() / np.sqrt(num_draws)


def _means(layer):
    return layer.kernel_mean.numpy(), layer.bias_mean.numpy()


def patches(images, kernel_size):
    """`(positions, kernel_size^2 * channels)` of the first image, in the kernel's order."""
    sizes = [1, kernel_size, kernel_size, 1]
    found = tf.image.extract_patches(images[:1], sizes, [1] * 4, [1] * 4, "VALID")
    return tf.reshape(found, (-1, found.shape[-1])).numpy()


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
        with layer.hold(KEY):
            outputs = layer(np.repeat(golden[f"mnf/x_{kind}"], num_draws, axis=0)).numpy()
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
        for mean, factor, s in zip(_means(layer), factors, (0.2, 0.3), strict=True):
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
        conditional = sum(map(gaussian_kl, _means(layer), stddevs))
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
        expected = float(sum(map(gaussian_kl, _means(layer), stddevs)))
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
        twin.set_weights([f * mean for f, mean in zip(factors, _means(layer), strict=True)])
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
        twin.set_weights(_means(layer))
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
        with layer.hold(KEY + 1):
            outputs = layer(np.repeat(x, n, axis=0)).numpy()
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
        means = _means(layer)
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


class TestInitialValues:
    def test_are_the_protocols(self):
        layer = DenseMNF(100)
        layer.build((None, 400))
        log_std = layer.kernel_log_std.numpy()
        # 40,000 draws of standard deviation 0.05: standard errors 2.5e-4 and 1.8e-4.
        np.testing.assert_allclose([log_std.mean(), log_std.std()], [-9.0, 0.05], atol=1e-3)
        np.testing.assert_allclose(np.mean(layer.bias_log_variance), -9.0, atol=0.03)  # of 100
        np.testing.assert_allclose(np.std(layer.kernel_mean), 1 / 20, rtol=0.02)  # 1 / sqrt(400)
        np.testing.assert_allclose(np.mean(layer.q0_mean), 1.0, atol=0.02)  # 400 draws
        np.testing.assert_allclose(layer.q0_log_variance, np.log(0.1), rtol=1e-6)  # float32
        np.testing.assert_array_equal(layer.bias_mean, 0.0)
        drawn = [getattr(layer, name).numpy() for name in AUXILIARY]
        assert np.abs(np.corrcoef(drawn) - np.eye(3)).max() < 0.25  # 400 draws; 5 standard errors
        assert (layer.flow_q.hidden_units, layer.flow_r.hidden_units) == (50, 100)


class TestLoss:
    @each_layer
    def test_is_the_annealed_kl_over_n(self, kind):
        layer, x = make(kind)
        expected = layer.kl(randomness.fold_in(KEY, "kl"))
        for anneal in (1.0, 0.25):
            layer.kl_anneal.assign(anneal)
            with layer.hold(KEY):
                layer(x, training=True)
            # One float32 expression, computed twice.
            np.testing.assert_allclose(layer.losses, [anneal * expected / N], rtol=1e-6)

    @each_layer
    def test_there_is_none_without_an_estimator_or_outside_training(self, kind):
        layer, x = make(kind, kl_estimator=None, num_train_examples=None)
        layer(x, training=True)
        assert layer.losses == []
        layer, x = make(kind)
        layer(x), layer(x, training=False)
        assert layer.losses == []

    @each_layer
    def test_needs_the_number_of_training_examples(self, kind):
        layer, x = make(kind, num_train_examples=None)
        layer(x)  # in inference nothing is missing
        with pytest.raises(ValueError, match="Pass num_train_examples=N, or kl_estimator=None"):
            layer(x, training=True)

    @each_layer
    def test_gradients_reach_every_variable(self, kind):
        layer, x = make(kind, *((16, 2) if kind == "conv" else ()))  # masks keep not all of 16
        assign(layer, bias_mean=0.1)  # at 0 the KL is stationary
        variables = {v.path: v.value for v in layer.trainable_variables}
        assert len(variables) == 9 + 2 * 2 * 3 * 2  # two flows of two steps of three layers
        with tf.GradientTape(persistent=True) as tape:
            outputs = tf.reduce_sum(layer(x, training=True) ** 2)
            kl = layer.losses[0]
        for gradient in tape.gradient(kl, list(variables.values())):
            assert np.isfinite(gradient).all() and gradient.numpy().any()
        for path, gradient in tape.gradient(outputs, variables).items():
            if "aux_" in path or "flow_r" in path:  # r is the KL's
                assert gradient is None
            else:
                assert np.isfinite(gradient).all() and gradient.numpy().any()

    @each_layer
    def test_gradients_are_finite_where_variances_vanish(self, kind):
        layer, x = make(kind)
        assign(layer, bias_log_variance=-250.0, kernel_log_std=-80.0, aux_input_weights=0.0)
        variables = [v.value for v in layer.trainable_variables]
        with tf.GradientTape() as tape:
            outputs = layer(np.zeros_like(x))
            drawn = [layer._projection(*_moments(layer), KEY), *layer.sample_weights(2, KEY)]
            loss = tf.reduce_sum(outputs) + tf.add_n([tf.reduce_sum(w) for w in drawn])
        assert np.isfinite(loss)
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        assert all(np.isfinite(g).all() for g in gradients)


def _moments(layer):
    means, stddevs = (layer.kernel_mean.value, layer.bias_mean.value), layer._stddevs()
    return *means, *(s**2 for s in stddevs)


class TestDraws:
    @each_layer
    def test_seed_repeats_them(self, kind):
        runs = []
        for _ in range(2):
            keras.utils.set_random_seed(3)
            layer, x = make(kind, seed=1)
            outputs = [layer(x, training=True).numpy() for _ in range(2)]
            runs.append((*outputs, layer.losses[0]))
        for a, b in zip(*runs, strict=True):
            np.testing.assert_array_equal(a, b)
        assert (runs[0][0] != runs[0][1]).any()

    @each_layer
    def test_held_key_repeats_one_and_calls_differ(self, kind):
        layer, x = make(kind)
        with hold_noise(layer, KEY):
            first, again = layer(x, training=True), layer(x)
        np.testing.assert_array_equal(first, again)
        for training in (False, True):
            assert (layer(x, training=training) != layer(x, training=training)).numpy().any()

    @each_layer
    def test_values_in_place_of_the_variables(self, kind):
        layer, x = make(kind)
        other, _ = make(kind)
        values = [v.value for v in other.trainable_variables]
        pairs = list(zip(layer.trainable_variables, values, strict=True))

        def everything(layer):
            with layer.hold(KEY):
                return [layer(x), layer.kl(KEY), *layer.sample_weights(2, KEY)]

        with keras.StatelessScope(state_mapping=pairs):
            substituted = everything(layer)
        for a, b in zip(substituted, everything(other), strict=True):
            np.testing.assert_array_equal(a, b)


class TestFit:
    @staticmethod
    def model(**kwargs):
        kwargs = {"num_train_examples": N, **kwargs}
        return keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                Conv2DMNF(4, 3, activation="relu", **kwargs),
                keras.layers.Flatten(),
                DenseMNF(3, **kwargs),
            ]
        )

    def test_loss_is_nll_plus_kl_over_n(self):
        model = self.model()
        with hold_noise(model, KEY):
            logits = model(IMAGES, training=True)
            expected = NLL(LABELS, logits) + tf.add_n(model.losses)
            model.compile(keras.optimizers.SGD(0.0), NLL)
            data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(12)
            history = model.fit(data, shuffle=False, verbose=0).history  # a batch of unknown size
        np.testing.assert_allclose(history["loss"], [expected], rtol=1e-5)  # float32, other order

    def test_learns(self):
        labels = (IMAGES[:, :, :3].sum((1, 2, 3)) > IMAGES[:, :, 3:].sum((1, 2, 3))).astype(int)
        layers = [keras.layers.Flatten(), DenseMNF(3, num_train_examples=10_000)]
        model = keras.Sequential(layers)
        model.compile(keras.optimizers.Adam(1e-2), NLL)
        data = tf.data.Dataset.from_tensors((IMAGES, labels)).repeat(10)
        history = model.fit(data, epochs=6, shuffle=False, verbose=0).history["loss"]
        assert history[-1] < history[0] - 0.3
        probs = tf.nn.softmax([model(IMAGES) for _ in range(20)])
        assert NLL(labels, tf.math.log(tf.reduce_mean(probs, axis=0))) < 0.4  # chance: 0.69

    def test_compiles_under_xla(self):
        layer, x = make("conv")  # all that a dense layer has, and a convolution

        @tf.function(jit_compile=True)
        def gradients(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x, training=True) ** 2) + layer.losses[0]
            return tape.gradient(loss, [v.value for v in layer.trainable_variables])

        assert all(np.isfinite(g).all() for g in gradients(x))

    @pytest.mark.parametrize(
        "policy, dtype, parameters",
        [("mixed_float16", "float16", "float32"), ("float64", "float64", "float64")],
    )
    def test_dtype_policies(self, policy, dtype, parameters):
        keras.config.set_dtype_policy(policy)
        model = self.model()
        with tf.GradientTape() as tape:
            outputs = model(IMAGES, training=True)
            loss = tf.reduce_mean(tf.cast(outputs, tf.float32) ** 2) + tf.add_n(model.losses)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        assert all(np.isfinite(g).all() for g in gradients)
        assert outputs.dtype.name == dtype
        assert {v.dtype for v in model.trainable_variables} == {parameters}
        assert {w.dtype.name for w in model.layers[-1].sample_weights(2, KEY)} == {parameters}


class TestSaving:
    def test_keras_file_round_trip(self, tmp_path):
        model = TestFit.model(max_stddev=0.3, prior_stddev=2.0, flow_units=7)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        with hold_noise(model, KEY), hold_noise(loaded, KEY):
            np.testing.assert_array_equal(
                loaded(IMAGES, training=True), model(IMAGES, training=True)
            )
        np.testing.assert_array_equal(loaded.losses, model.losses)

    @each_layer
    def test_config_round_trip(self, kind):
        cls = LAYERS[kind][0]
        args = (4,) if kind == "dense" else (4, (3, 2), 2, "same")
        layer = cls(
            *args,
            activation="relu",
            prior_stddev=2.0,
            max_stddev=0.3,
            flow_units=7,
            kl_estimator=None,
            num_train_examples=N,
            seed=1,
            dtype="mixed_bfloat16",
        )
        again = keras.layers.deserialize(keras.layers.serialize(layer))
        assert again.get_config() == layer.get_config()


class TestFailure:
    @pytest.mark.parametrize(
        "options, match",
        [
            ({"kl_estimator": "analytic"}, "`kl_estimator` must be one of.*'analytic'"),
            ({"num_train_examples": 0}, "`num_train_examples` must be at least 1"),
            ({"prior_stddev": 0.0}, "`prior_stddev`.*positive.*stddev=0.0"),
            ({"max_stddev": -1.0}, "`max_stddev` must be positive.*max_stddev=-1.0"),
            ({"flow_units": 0}, "`flow_units` must be at least 1.*flow_units=0"),
        ],
    )
    @each_layer
    def test_arguments_of_both(self, kind, options, match):
        cls, args, _ = LAYERS[kind]
        with pytest.raises(ValueError, match=match):
            cls(*args, **options)

    @pytest.mark.parametrize(
        "build, match",
        [
            (functools.partial(DenseMNF, 0), "`units` must be at least 1.*units=0"),
            (functools.partial(Conv2DMNF, 0, 3), "`filters` must be at least 1.*filters=0"),
            (functools.partial(Conv2DMNF, 2, 0), "`kernel_size`.*kernel_size=0"),
            (functools.partial(Conv2DMNF, 2, 3, (1, 0)), "`strides`.*strides=\\(1, 0\\)"),
            (functools.partial(Conv2DMNF, 2, 3, padding="causal"), "`padding`.*'causal'"),
        ],
    )
    def test_arguments_of_one(self, build, match):
        with pytest.raises(ValueError, match=match):
            build()

    def test_inputs_of_the_wrong_shape(self):
        for shape in ((12, 36), (12, 6, 6)):
            with pytest.raises(ValueError, match=r"\(batch, height, width, channels\)"):
                Conv2DMNF(2, 3)(np.zeros(shape))
        with pytest.raises(ValueError, match="known channels"):
            Conv2DMNF(2, 3)(keras.Input((6, 6, None)))
        with pytest.raises(ValueError, match="known last axis"):
            DenseMNF(2)(keras.Input((None,)))
        layer, _ = make("conv")
        with pytest.raises(ValueError, match="expected axis -1.*to have value 2"):
            layer(np.zeros((2, 6, 6, 3)))
        layer, _ = make("dense")
        with pytest.raises(ValueError, match="expected axis -1.*to have value 72"):
            layer(np.zeros((2, 35)))
