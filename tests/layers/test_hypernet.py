"""DenseHypernet and Conv2DHypernet: what they compute, the KL they add, and where they work."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keys import KEY, called, key_of, set_keys

from bayes_by_hypernet import AuxiliaryNoise, NormalPrior, entropy_kl, nearest_neighbor_kl
from bayes_by_hypernet.callbacks import KLAnnealing
from bayes_by_hypernet.draws import find_layers
from bayes_by_hypernet.layers import Conv2DHypernet, DenseHypernet, Hypernet

N = 40
SMALL = {"hidden_units": (4, 8), "num_train_examples": N}
IMAGES = np.random.default_rng(0).uniform(size=(12, 6, 6, 1)).astype(np.float32)
FLAT = IMAGES.reshape(12, 36)
LABELS = np.random.default_rng(1).integers(0, 3, 12)
NLL = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@keras.saving.register_keras_serializable(package="bayes_by_hypernet_tests")
class FixedPrior:
    """N(mean, 1), the same samples whatever the key."""

    def __init__(self, mean=0.0):
        self.mean = mean

    def __call__(self, shape, seed):
        return self.mean + tf.random.stateless_normal(shape, [7, 8])

    def get_config(self):
        return {"mean": self.mean}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def sequential(**kwargs):
    kwargs = {**SMALL, **kwargs}
    return keras.Sequential(
        [
            Conv2DHypernet(2, 3, activation="relu", **kwargs),  # no Input: built by the data
            keras.layers.Flatten(),
            DenseHypernet(3, **kwargs),
        ]
    )


def functional(**kwargs):
    kwargs = {**SMALL, **kwargs}
    images = keras.Input((6, 6, 1))
    z = AuxiliaryNoise(num_samples=kwargs.get("num_samples", 5))(images)
    x = Conv2DHypernet(2, 3, activation="relu", **kwargs)(images, noise=z)
    x = keras.layers.Flatten()(x)
    return keras.Model(images, DenseHypernet(3, **kwargs)(x, noise=z))


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__()
        kwargs = {**SMALL, **kwargs}
        self.noise = AuxiliaryNoise()
        self.conv = Conv2DHypernet(2, 3, activation="relu", **kwargs)
        self.flatten = keras.layers.Flatten()
        self.dense = DenseHypernet(3, **kwargs)

    def call(self, images, training=None):
        z = self.noise(images)
        return self.dense(self.flatten(self.conv(images, noise=z)), noise=z)


MODELS = {"sequential": sequential, "functional": functional, "subclassed": Subclassed}


def built(layer, inputs=FLAT):
    layer(inputs)
    return layer


def hypernet_layers(model):
    """The hypernet layers of a model, the convolution first."""
    return sorted(find_layers(model, Hypernet), key=lambda layer: type(layer).__name__)


def next_weights(layer, num_samples=5):
    """The weight samples of a layer's next forward pass in training."""
    return layer.sample_weights(num_samples, key_of(layer))


def next_samples(model):
    """Weight samples of every hypernet layer in the next forward pass, as the model draws them."""
    shared = find_layers(model, AuxiliaryNoise)
    if not shared:
        return [next_weights(layer) for layer in hypernet_layers(model)]
    z = tf.random.stateless_normal((5, 1), key_of(shared[0]))
    return [layer.posterior.generate([z, z]) for layer in hypernet_layers(model)]


class TestForward:
    def test_dense_uses_the_first_of_its_samples(self):
        layer = built(DenseHypernet(4, "relu", **SMALL))
        set_keys(layer)
        kernels, biases = next_weights(layer)
        outputs = layer(FLAT, training=True)
        assert (kernels.shape, biases.shape) == ((5, 36, 4), (5, 4))
        expected = np.maximum(FLAT @ kernels[0].numpy() + biases[0].numpy(), 0)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)  # float32, 36 terms

    @pytest.mark.parametrize("strides, padding", [(1, "valid"), ((2, 1), "same")])
    def test_conv2d_is_keras_conv2d_of_the_first_sample(self, strides, padding):
        layer = built(Conv2DHypernet(4, (3, 2), strides, padding, "relu", **SMALL), IMAGES)
        set_keys(layer)
        weights = next_weights(layer)
        outputs = layer(IMAGES, training=True)
        keras_layer = keras.layers.Conv2D(4, (3, 2), strides, padding, activation="relu")
        keras_layer.build(IMAGES.shape)
        keras_layer.set_weights([w[0] for w in weights])
        np.testing.assert_allclose(outputs, keras_layer(IMAGES), rtol=1e-5, atol=1e-5)  # float32
        assert layer.compute_output_shape((None, 6, 6, 1)) == (None, *outputs.shape[1:])

    def test_kernel_and_bias_draw_a_z_each_without_given_noise(self):
        layer = built(DenseHypernet(4, **SMALL))
        z_kernel, z_bias = layer.posterior.z(5, KEY)
        kernels, biases = layer.sample_weights(5, KEY)
        assert (z_kernel != z_bias).numpy().any()
        kernel_hypernetwork, bias_hypernetwork = layer.posterior.hypernetworks
        np.testing.assert_array_equal(kernels, kernel_hypernetwork(z_kernel))
        np.testing.assert_array_equal(biases, bias_hypernetwork(z_bias))

    def test_given_noise_feeds_both(self):
        z = tf.random.normal((3, 2))
        layer = DenseHypernet(4, **SMALL)
        outputs = layer(FLAT, noise=z, training=True)  # their dimension and number are the noise's
        kernels, biases = (g(z) for g in layer.posterior.hypernetworks)
        assert (kernels.shape, biases.shape) == ((3, 36, 4), (3, 4))
        expected = FLAT @ kernels[0].numpy() + biases[0].numpy()
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)  # float32, 36 terms

    def test_inference_draws_one_fresh_sample(self, monkeypatch):
        layer = built(DenseHypernet(4, **SMALL))
        seen = []
        sample = layer.posterior.sample
        monkeypatch.setattr(
            layer.posterior,
            "sample",
            lambda *args, **kwargs: seen.append(sample(*args, **kwargs)) or seen[-1],
        )
        first, second = layer(FLAT), layer(FLAT, training=False)
        assert [w.shape[0] for weights in seen for w in weights] == [1, 1, 1, 1]
        assert (first != second).numpy().any()
        assert layer.losses == []

    def test_inference_uses_row_0_of_given_noise(self):
        layer = built(DenseHypernet(4, **SMALL))
        z = np.random.default_rng(0).normal(size=(5, 1)).astype(np.float32)
        outputs = layer(FLAT, noise=z)
        np.testing.assert_array_equal(layer(FLAT, noise=z[:1]), outputs)
        np.testing.assert_array_equal(layer(FLAT, noise=z), outputs)
        assert (layer(FLAT, noise=z[1:]) != outputs).numpy().any()

    def test_without_bias(self):
        layer = built(DenseHypernet(4, use_bias=False, **SMALL))
        set_keys(layer)
        [kernels] = next_weights(layer)
        outputs = layer(FLAT, training=True)
        np.testing.assert_allclose(outputs, FLAT @ kernels[0].numpy(), rtol=1e-5, atol=1e-5)
        assert len(layer.losses) == 1

    def test_slices_the_kernel_and_not_the_bias(self):
        layer = built(Conv2DHypernet(4, 3, num_slices=2, **SMALL), IMAGES)
        kernel_hypernetwork, bias_hypernetwork = layer.posterior.hypernetworks
        assert kernel_hypernetwork.num_slices == 2
        assert kernel_hypernetwork.generator.linear.units == 3 * 3 * 1 * 2
        assert bias_hypernetwork.num_slices == 1
        assert layer(IMAGES, training=True).shape == (12, 4, 4, 4)

    def test_seed_repeats_the_draws(self):
        keras.utils.set_random_seed(3)
        a = built(DenseHypernet(4, seed=1, **SMALL))
        keras.utils.set_random_seed(3)
        b = built(DenseHypernet(4, seed=1, **SMALL))
        for _ in range(2):
            np.testing.assert_array_equal(a(FLAT, training=True), b(FLAT, training=True))
            assert float(a.losses[0]) == float(b.losses[0])

    def test_a_batch_of_unknown_size_and_inputs_of_rank_3(self):
        layer = DenseHypernet(4, **SMALL)
        assert layer(keras.Input((7, 36))).shape == (None, 7, 4)
        assert layer(np.zeros((2, 7, 36)), training=True).shape == (2, 7, 4)
        compiled = tf.function(
            lambda x: layer(x, training=True),
            input_signature=[tf.TensorSpec((None, 7, 36), tf.float32)],
        )
        assert compiled(np.zeros((3, 7, 36), np.float32)).shape == (3, 7, 4)


class TestLikelihoodSamples:
    @pytest.mark.parametrize("batch", [1, 2, 3, 7, 12])
    def test_divide_the_batch_among_them(self, batch):
        layer = built(DenseHypernet(4, num_likelihood_samples=3, **SMALL))
        x = FLAT[:batch]
        set_keys(layer)
        kernels, biases = (w.numpy() for w in next_weights(layer))
        outputs = layer(x, training=True)
        bounds = [i * batch // 3 for i in range(4)]
        sample = np.searchsorted(bounds[1:], np.arange(batch), side="right")
        expected = np.einsum("bi,bio->bo", x, kernels[sample]) + biases[sample]
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)  # float32, 36 terms
        counts = np.bincount(sample, minlength=3)
        assert counts.max() - counts.min() <= 1

    def test_a_compiled_convolution_with_fewer_examples_than_samples(self):
        # TensorFlow's fused convolution and relu give an empty batch a wrong shape.
        layer = built(
            Conv2DHypernet(2, 3, activation="relu", num_likelihood_samples=3, **SMALL), IMAGES
        )

        @tf.function(input_signature=[tf.TensorSpec((None, 6, 6, 1), tf.float32)])
        def gradients(images):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(images, training=True))
            return tape.gradient(loss, [v.value for v in layer.trainable_variables])

        for batch in (1, 2, 5):
            assert all(np.isfinite(g).all() for g in gradients(IMAGES[:batch]))


class DensityOnly:
    """A prior that cannot be sampled."""

    def log_prob(self, weights):
        return -0.5 * tf.square(weights)


class TestKL:
    @pytest.mark.parametrize("estimator", ["independent", "full"])
    def test_is_kernel_kl_of_all_samples_over_n(self, estimator):
        layer = built(DenseHypernet(4, kl_estimator=estimator, prior=FixedPrior(), **SMALL))
        set_keys(layer)
        weights = next_weights(layer)
        layer(FLAT, training=True)
        priors = [FixedPrior()(w.shape, None) for w in weights]
        expected = nearest_neighbor_kl(weights, priors, estimator)
        # One float32 expression, computed twice.
        np.testing.assert_allclose(layer.losses, [expected / N], rtol=1e-6)
        layer.kl_factor.assign(0.25)
        called(layer, FLAT, training=True)
        np.testing.assert_allclose(layer.losses, [0.25 * expected / N], rtol=1e-6)

    def test_entropy_is_the_estimate_of_all_samples_over_n(self):
        prior = NormalPrior(0.5)
        layer = built(DenseHypernet(4, kl_estimator="entropy", prior=prior, **SMALL))
        set_keys(layer)
        weights = next_weights(layer)
        layer(FLAT, training=True)
        expected = entropy_kl(weights, prior)
        np.testing.assert_allclose(layer.losses, [expected / N], rtol=1e-6)  # float32, twice

    def test_entropy_works_in_half_precision_and_without_samples_of_the_prior(self):
        layer = DenseHypernet(
            4, kl_estimator="entropy", prior=DensityOnly(), dtype="mixed_bfloat16", **SMALL
        )
        with tf.GradientTape() as tape:
            layer(FLAT, training=True)
            [loss] = layer.losses
        gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
        assert loss.dtype == tf.float32 and np.isfinite(loss)
        assert all(np.isfinite(g).all() and np.any(g) for g in gradients)

    def test_draws_fresh_prior_samples_for_each_tensor_and_step(self):
        seen = []

        def prior(shape, seed):
            seen.append((tuple(shape), tuple(seed.numpy())))
            return NormalPrior()(shape, seed)

        layer = built(DenseHypernet(4, prior=prior, **SMALL))
        layer(FLAT, training=True)
        layer(FLAT, training=True)
        assert [shape for shape, _ in seen] == [(5, 36, 4), (5, 4)] * 2
        assert len({seed for _, seed in seen}) == 4

    def test_without_an_estimator_there_is_none(self):
        layer = DenseHypernet(4, kl_estimator=None, num_samples=1, hidden_units=(4, 8))
        layer(FLAT, training=True)
        assert layer.losses == []

    def test_needs_the_number_of_training_examples(self):
        layer = DenseHypernet(4, hidden_units=(4, 8), name="last")
        assert layer(FLAT).shape == (12, 4)  # in inference nothing is missing
        with pytest.raises(
            ValueError, match="'last'.*Pass num_train_examples=N, or kl_estimator=None"
        ):
            layer(FLAT, training=True)

    @pytest.mark.parametrize("options", [{}, {"num_slices": 2}, {"num_likelihood_samples": 3}])
    def test_every_variable_receives_a_gradient_of_likelihood_and_kl(self, options):
        layer = built(Conv2DHypernet(2, 3, **options, **SMALL), IMAGES)
        variables = [v.value for v in layer.trainable_variables]
        assert len(variables) == 2 * 2 * 3  # kernel and bias; three dense layers of two each
        with tf.GradientTape(persistent=True) as tape:
            nll = tf.reduce_sum(layer(IMAGES, training=True) ** 2)
            kl = layer.losses[0]
        for loss in (nll, kl):
            gradients = tape.gradient(loss, variables)
            assert all(np.isfinite(g).all() and g.numpy().any() for g in gradients)


class TestFit:
    @pytest.mark.parametrize("kind", MODELS)
    def test_loss_is_nll_plus_annealed_kl_over_n(self, kind):
        prior = FixedPrior(0.5)
        model = MODELS[kind](prior=prior)
        model(IMAGES)
        layers = hypernet_layers(model)
        for layer in layers:
            layer.kl_factor.assign(0.25)
        set_keys(model)
        samples = next_samples(model)
        kl = sum(
            nearest_neighbor_kl(w, prior(w.shape, None)).numpy()
            for weights in samples
            for w in weights
        )
        logits = model(IMAGES, training=True)
        nll = NLL(LABELS, logits).numpy()
        model.compile(keras.optimizers.SGD(0.0), NLL)
        data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(12)
        set_keys(model)
        history = model.fit(data, shuffle=False, verbose=0).history  # a batch of unknown size
        (kernel, bias), (dense_kernel, dense_bias) = [[w[0] for w in one] for one in samples]
        x = tf.nn.relu(keras.ops.conv(IMAGES, kernel) + bias)
        x = tf.reshape(x, (12, -1)) @ dense_kernel + dense_bias
        # float32 sums over hundreds of weights, in another order.
        np.testing.assert_allclose(logits, x, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(history["loss"], [nll + 0.25 * kl / N], rtol=1e-5)

    def test_shared_noise_is_shared_and_independent_noise_is_not(self):
        shared, seen = functional(), []
        for layer in find_layers(shared, Hypernet):
            for generator in layer.posterior.hypernetworks:
                _record(generator, seen)
        [noise] = find_layers(shared, AuxiliaryNoise)
        set_keys(shared)
        z = tf.random.stateless_normal((5, 1), key_of(noise))
        shared(IMAGES, training=True)
        assert len(seen) == 4
        for one in seen:
            np.testing.assert_array_equal(one, z)

        independent, seen = sequential(), []
        independent(IMAGES)
        for layer in find_layers(independent, Hypernet):
            for generator in layer.posterior.hypernetworks:
                _record(generator, seen)
        independent(IMAGES, training=True)
        assert len({z.numpy().tobytes() for z in seen}) == 4

    def test_learns(self):
        model = keras.Sequential([DenseHypernet(1, hidden_units=(16,), num_train_examples=1000)])
        x = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
        y = x @ np.array([[2.0], [-1.0]], np.float32)
        model.compile(keras.optimizers.Adam(3e-2), "mse")
        losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
        assert losses[-1] < 0.2 * losses[0]

    @pytest.mark.parametrize(
        "policy, dtype", [("mixed_float16", "float16"), ("float64", "float64")]
    )
    def test_dtype_policies(self, policy, dtype):
        keras.config.set_dtype_policy(policy)
        model = keras.Sequential([DenseHypernet(3, **SMALL)])
        model.compile("adam", NLL)
        history = model.fit(FLAT, LABELS, epochs=2, batch_size=6, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        outputs = model(FLAT, training=True)
        assert outputs.dtype.name == dtype
        [kl] = model.losses
        assert kl.dtype == tf.float32 and np.isfinite(kl)
        before = model.layers[0].trainable_variables[0].dtype
        assert before == keras.config.dtype_policy().variable_dtype

    def test_half_precision_kl_is_the_float32_one_of_the_same_samples(self):
        layer = DenseHypernet(3, prior=FixedPrior(), dtype="mixed_float16", **SMALL)
        built(layer)
        layer.kl_factor.assign(1 / 3)  # no number of half precision
        set_keys(layer)
        weights = next_weights(layer)
        layer(FLAT, training=True)
        priors = [FixedPrior()(w.shape, None) for w in weights]
        assert {w.dtype for w in weights} == {tf.float16}
        expected = nearest_neighbor_kl([tf.cast(w, tf.float32) for w in weights], priors) / 3 / N
        np.testing.assert_allclose(layer.losses, [expected], rtol=1e-6)

    def test_floatx_of_64_bits(self):
        # Keras adds up its own losses, of dtype floatx, and ours without a cast.
        keras.config.set_floatx("float64")
        try:
            model = keras.Sequential([DenseHypernet(3, dtype="float64", **SMALL)])
            model.compile("adam", NLL, run_eagerly=True)
            assert np.isfinite(model.fit(FLAT, LABELS, verbose=0).history["loss"]).all()
            model(FLAT, training=True)
            assert model.losses[0].dtype == tf.float64
        finally:
            keras.config.set_floatx("float32")

    def test_xla(self):
        layer = DenseHypernet(3, use_bias=False, num_likelihood_samples=2, **SMALL)
        model = keras.Sequential([layer])
        model.compile(keras.optimizers.Adam(1e-2), NLL, jit_compile=True)
        losses = model.fit(FLAT, LABELS, epochs=5, batch_size=6, verbose=0).history["loss"]
        assert np.isfinite(losses).all() and losses[-1] < losses[0]

    def test_mirrored_counts_the_kl_once(self, two_cpu_devices):
        # Without collectives: TensorFlow numbers those of every strategy of a process alike, so
        # that two strategies clash whose first tensors differ in shape (test_loop.py has others).
        strategy = tf.distribute.MirroredStrategy(
            two_cpu_devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
        mirrored = _fit_two_steps(strategy)
        one = _fit_two_steps(tf.distribute.get_strategy())
        np.testing.assert_allclose(mirrored[0], one[0], rtol=1e-5)  # float32 sums
        # The KL moves weights by about 0.1. Rounding differences of one step with it are about
        # 1e-7 and grow a hundredfold with each further one: the gradient holds 1 / distance.
        for a, b in zip(mirrored[1], one[1], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def _fit_two_steps(strategy):
    """Returns the loss of two epochs of one batch, and the weights after them."""
    keras.utils.set_random_seed(2)
    with strategy.scope():
        model = keras.Sequential([keras.Input((36,)), DenseHypernet(3, seed=1, **SMALL)])
        model.compile(keras.optimizers.SGD(1e-2), NLL)
    annealing = KLAnnealing(0, 1.25)  # factors 0 and 0.8
    history = model.fit(
        FLAT, LABELS, batch_size=12, epochs=2, shuffle=False, verbose=0, callbacks=[annealing]
    )
    assert history.history["loss"][1] > 2 * history.history["loss"][0]  # the KL is most of it
    return history.history["loss"], [v.numpy() for v in model.trainable_variables]


def _record(generator, seen):
    call = generator.call
    generator.call = lambda z, **kwargs: seen.append(z) or call(z, **kwargs)


class TestSaving:
    @pytest.mark.parametrize("kind", ["sequential", "functional"])
    def test_keras_file_round_trip(self, tmp_path, kind):
        model = MODELS[kind](prior=FixedPrior(0.5), num_slices=1, seed=3)
        model(IMAGES)
        for layer in find_layers(model, Hypernet):
            layer.kl_factor.assign(0.25)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(called(loaded, IMAGES), called(model, IMAGES))
        for one in (model, loaded):
            called(one, IMAGES, training=True)
        for layer in find_layers(loaded, Hypernet):
            assert isinstance(layer.prior, FixedPrior) and layer.prior.mean == 0.5
            assert layer.num_train_examples == N
            assert float(layer.kl_factor.value()) == 1.0  # a training run's, not the model's
        np.testing.assert_allclose(model.losses, 0.25 * np.array(loaded.losses), rtol=1e-6)

    def test_weights_file_round_trip_of_a_subclassed_model(self, tmp_path):
        model, other = Subclassed(), Subclassed()
        model(IMAGES), other(IMAGES)
        model.save_weights(tmp_path / "model.weights.h5")
        other.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(called(other, IMAGES), called(model, IMAGES))

    @pytest.mark.parametrize("cls", [DenseHypernet, Conv2DHypernet])
    def test_config_round_trip(self, cls):
        args = (4,) if cls is DenseHypernet else (4, (3, 2), 2, "same")
        layer = cls(
            *args,
            activation="relu",
            use_bias=False,
            noise_dim=2,
            num_samples=3,
            num_slices=2,
            kl_estimator="full",
            prior=NormalPrior(0.5),
            num_likelihood_samples=2,
            seed=1,
            dtype="mixed_bfloat16",
            **SMALL,
        )
        again = keras.layers.deserialize(keras.layers.serialize(layer))
        assert again.get_config() == layer.get_config()
        assert again.prior.stddev == 0.5


class TestFailure:
    @pytest.mark.parametrize(
        "options, match",
        [
            ({"kl_estimator": "analytic"}, "`kl_estimator` must be one of.*'analytic'"),
            ({"num_samples": 1}, "`num_samples` must be at least 2, since the est.*num_samples=1"),
            ({"kl_estimator": "entropy", "prior": tf.random.stateless_normal}, "have a density"),
            ({"num_samples": 1, "kl_estimator": "entropy"}, "at least 2, since the est"),
            ({"num_samples": 0, "kl_estimator": None}, "`num_samples` must be at least 1"),
            ({"noise_dim": 0}, "`noise_dim` must be at least 1.*noise_dim=0"),
            ({"hidden_units": ()}, "`hidden_units` must be one or more"),
            ({"num_likelihood_samples": 6}, "`num_likelihood_samples` must be between 1 and.*5"),
            ({"num_likelihood_samples": 0}, "`num_likelihood_samples` must be at"),
            ({"num_train_examples": 0}, "`num_train_examples` must be at least 1"),
            ({"num_slices": 3}, "`num_slices` must divide the number of outputs, 4.*num_slices=3"),
            ({"num_slices": 0}, "`num_slices` must be at least 1"),
        ],
    )
    @pytest.mark.parametrize("cls, args", [(DenseHypernet, (4,)), (Conv2DHypernet, (4, 3))])
    def test_arguments_of_both(self, cls, args, options, match):
        with pytest.raises(ValueError, match=match):
            cls(*args, **options)

    def test_arguments_of_one(self):
        with pytest.raises(ValueError, match="`units` must be at least 1.*units=0"):
            DenseHypernet(0)
        with pytest.raises(ValueError, match="`filters` must be at least 1.*filters=0"):
            Conv2DHypernet(0, 3)
        with pytest.raises(ValueError, match="`kernel_size`.*kernel_size=0"):
            Conv2DHypernet(2, 0)
        with pytest.raises(ValueError, match="`padding`.*'causal'"):
            Conv2DHypernet(2, 3, padding="causal")

    @pytest.mark.parametrize("shape", [(12, 36), (12, 6, 6), (12, 6, 6, 1, 1)])
    def test_images_of_the_wrong_rank(self, shape):
        with pytest.raises(ValueError, match=r"\(batch, height, width, channels\)"):
            Conv2DHypernet(2, 3)(np.zeros(shape))
        layer = built(Conv2DHypernet(2, 3), IMAGES)
        with pytest.raises(ValueError, match="expected (min_)?ndim=4"):
            layer(np.zeros(shape))

    def test_images_of_the_wrong_channels_and_inputs_of_the_wrong_size(self):
        layer = built(Conv2DHypernet(2, 3, hidden_units=(4,)), IMAGES)
        with pytest.raises(ValueError, match="expected axis -1.*to have value 1"):
            layer(np.zeros((2, 6, 6, 3)))
        layer = built(DenseHypernet(2, hidden_units=(4,)))
        with pytest.raises(ValueError, match="expected axis -1.*to have value 36"):
            layer(np.zeros((2, 35)))
        with pytest.raises(ValueError, match="known last axis"):
            DenseHypernet(2)(keras.Input((None,)))

    def test_noise_of_another_dimension(self):
        layer = built(DenseHypernet(2, **SMALL))
        with pytest.raises(ValueError, match="expected axis -1.*to have value 1"):
            layer(FLAT, noise=np.zeros((5, 2)))
