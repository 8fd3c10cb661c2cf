"""Bayes by Backprop's layers against the bare `tfp.layers`, and the contracts of a Keras layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keys import KEY, called

import bayes_by_hypernet as bbh
from bayes_by_hypernet import draws

tfd = tfp.distributions
DENSE = {
    "flipout": (bbh.layers.DenseFlipout, tfp.layers.DenseFlipout),
    "reparameterization": (bbh.layers.DenseReparameterization, tfp.layers.DenseReparameterization),
}
CONV = {
    "flipout": (bbh.layers.Conv2DFlipout, tfp.layers.Convolution2DFlipout),
    "reparameterization": (
        bbh.layers.Conv2DReparameterization,
        tfp.layers.Convolution2DReparameterization,
    ),
}
LAYERS = [pair[0] for pairs in (DENSE, CONV) for pair in pairs.values()]
NUM_DRAWS = 4000


def _layer(cls, **options):
    """A layer with posteriors wide enough to be seen, and inputs for it."""
    rng = np.random.default_rng(0)
    if issubclass(cls, (bbh.layers.DenseFlipout, bbh.layers.DenseReparameterization)):
        layer, x = cls(4, **options), rng.normal(size=(3, 5))
    else:
        layer, x = cls(4, 3, **options), rng.normal(size=(2, 5, 5, 2))
    x = tf.constant(x, tf.float32)
    layer.build(x.shape)
    for variable in layer.trainable_variables:
        shift = -2.0 if "variance" in variable.name else 0.0
        variable.assign(rng.normal(shift, 0.5, variable.shape))
    return layer, x


def _bare(layer, tfp_class):
    """TFP's own layer with the posterior of ours; its inner workings are untouched."""
    mean = {weight: p["mean"].numpy() for weight, p in layer._parameters.items()}
    std = {weight: np.exp(p["log_variance"].numpy() / 2) for weight, p in layer._parameters.items()}

    def posterior(weight):
        normal = tfd.Normal(mean[weight], std[weight])
        return lambda *args: tfd.Independent(normal, mean[weight].ndim)

    def prior(dtype, shape, *args):
        return tfd.Independent(tfd.Normal(tf.zeros(shape), layer.prior_stddev), len(shape))

    size = (layer.units,) if hasattr(layer, "units") else (layer.filters, layer.kernel_size)
    return tfp_class(
        *size,
        kernel_posterior_fn=posterior("kernel"),
        kernel_prior_fn=prior,
        bias_posterior_fn=posterior("bias"),
        bias_posterior_tensor_fn=lambda d: d.sample(),
        bias_prior_fn=prior,
    )


def _moments(call, x):
    draw = tf.function(call)
    draws = np.stack([draw(x) for _ in range(NUM_DRAWS)])
    return draws.mean(0), draws.std(0)


class TestTwin:
    @pytest.mark.parametrize("pair", [*DENSE.values(), *CONV.values()], ids=lambda p: p[0].__name__)
    def test_moments_and_kl_are_the_bare_tfp_layers(self, pair):
        layer, x = _layer(pair[0], prior_stddev=0.7, kl_estimator=None)
        bare = _bare(layer, pair[1])
        mean, std = _moments(layer, x)
        bare_mean, bare_std = _moments(bare, x)
        # Five standard errors of the difference of two means, and of two standard deviations.
        error = 5 * std.max() * np.sqrt(2 / NUM_DRAWS)
        np.testing.assert_allclose(mean, bare_mean, atol=error)
        np.testing.assert_allclose(std, bare_std, atol=error)
        # TFP's divergences are in float32, as ours.
        bare(x)
        np.testing.assert_allclose(layer.kl(), sum(bare.losses), rtol=1e-5)

    @pytest.mark.parametrize("cls", LAYERS)
    def test_kl_is_the_formula(self, cls):
        layer, _ = _layer(cls, prior_stddev=0.5)
        expected = 0.0
        for weight in layer._parameters.values():
            mean = weight["mean"].numpy().astype(np.float64)
            std = np.exp(weight["log_variance"].numpy().astype(np.float64) / 2)
            expected += np.sum(np.log(0.5 / std) + (std**2 + mean**2) / (2 * 0.5**2) - 0.5)
        # float32 sums of a few dozen terms.
        np.testing.assert_allclose(layer.kl(), expected, rtol=1e-5)

    @pytest.mark.parametrize("cls", LAYERS)
    def test_weight_samples_have_the_posteriors_moments(self, cls):
        layer, _ = _layer(cls)
        draws = layer.sample_weights(NUM_DRAWS, KEY)
        for samples, weight in zip(draws, layer._parameters.values(), strict=True):
            std = np.exp(weight["log_variance"].numpy() / 2)
            error = 5 * std.max() / np.sqrt(NUM_DRAWS)
            np.testing.assert_allclose(np.mean(samples, 0), weight["mean"], atol=error)
            np.testing.assert_allclose(np.std(samples, 0), std, atol=error)

    def test_flipout_decorrelates_the_examples_of_a_batch(self):
        same = np.ones((64, 5), np.float32)
        flipout, _ = _layer(bbh.layers.DenseFlipout, use_bias=False)
        one_sample, _ = _layer(bbh.layers.DenseReparameterization, use_bias=False)
        assert np.ptp(flipout(same), axis=0).min() > 0
        # One weight sample for the batch: equal rows up to the order of a float32 product.
        np.testing.assert_allclose(np.ptp(one_sample(same), axis=0), 0, atol=1e-5)


class TestContract:
    @pytest.mark.parametrize("cls", LAYERS)
    def test_every_variable_gets_a_gradient_from_outputs_and_from_the_kl(self, cls):
        layer, x = _layer(cls, kl_estimator=None)
        variables = [v.value for v in layer.trainable_variables]
        assert len(variables) == 4
        with tf.GradientTape(persistent=True) as tape:
            outputs, kl = tf.reduce_sum(layer(x) ** 2), layer.kl()
        for target in (outputs, kl):
            gradients = tape.gradient(target, variables)
            assert all(g is not None and g.numpy().any() for g in gradients)

    @pytest.mark.parametrize("cls", LAYERS)
    def test_keys_repeat_draws_in_eager_mode_and_in_a_graph(self, cls):
        layer, x = _layer(cls)

        def call(key):
            with keras.StatelessScope(draws.keyed_states(layer, key)):
                return layer(x)

        first = call(KEY)
        np.testing.assert_array_equal(call(KEY), first)
        # The same operations compiled: convolutions may sum in another order.
        np.testing.assert_allclose(tf.function(call)(KEY), first, rtol=1e-5, atol=1e-5)
        assert (call(KEY + 1) != first).numpy().any()

    @pytest.mark.parametrize("cls", LAYERS)
    def test_a_seed_repeats_the_sequence_of_draws(self, cls):
        (first, x), (second, _) = _layer(cls, seed=7), _layer(cls, seed=7)
        draws = [first(x), first(x)]
        assert (draws[0] != draws[1]).numpy().any()
        for draw in draws:
            np.testing.assert_array_equal(second(x), draw)

    def test_the_kl_enters_the_loss_scaled_and_annealed(self):
        layer, x = _layer(bbh.layers.DenseFlipout, num_train_examples=50)
        layer(x)
        assert not layer.losses
        layer(x, training=True)
        np.testing.assert_allclose(layer.losses[0], layer.kl() / 50, rtol=1e-6)
        layer.kl_factor.assign(0.25)
        layer(x, training=True)
        np.testing.assert_allclose(layer.losses[-1], layer.kl() / 200, rtol=1e-6)

    @pytest.mark.parametrize("cls", LAYERS)
    def test_keras_file_keeps_everything(self, cls, tmp_path):
        layer, x = _layer(
            cls, activation="tanh", prior_stddev=0.3, num_train_examples=9, seed=1,
            initial_log_variance=-5.0,
        )  # fmt: skip
        model = keras.Sequential([keras.Input(x.shape[1:]), layer])
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert loaded.layers[0].get_config() == layer.get_config()
        np.testing.assert_array_equal(called(loaded, x), called(model, x))

    def test_fit_predict_and_export(self, tmp_path):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(120, 6, 6, 1)).astype(np.float32)
        y = (x.mean((1, 2, 3)) > 0).astype(int)
        model = keras.Sequential(
            [
                keras.Input((6, 6, 1)),
                bbh.layers.Conv2DFlipout(2, 3, activation="relu", num_train_examples=12_000),
                keras.layers.Flatten(),
                bbh.layers.DenseReparameterization(2, num_train_examples=12_000),
            ]
        )
        model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(True))
        losses = model.fit(x, y, epochs=8, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        prediction = bbh.predict(model, x[:10], num_samples=20, seed=1)
        again = bbh.predict(model, x[:10], num_samples=20, seed=1)
        np.testing.assert_array_equal(prediction.mean, again.mean)
        assert prediction.mutual_information.max() > 0
        bbh.export(model, tmp_path / "served")
        served = tf.saved_model.load(str(tmp_path / "served"))
        answers = [served.serve(x[:10], tf.constant(5))["mean"].numpy() for _ in range(2)]
        assert (answers[0] != answers[1]).any()

    def test_starts_where_it_is_told(self):
        layer = bbh.layers.DenseFlipout(500, initial_log_variance=-30.0)
        layer.build((None, 400))
        log_variance = layer._parameters["kernel"]["log_variance"].numpy()
        # Five standard errors of 200,000 values.
        np.testing.assert_allclose(log_variance.mean(), -30, atol=5 * 0.05 / np.sqrt(2e5))
        np.testing.assert_allclose(log_variance.std(), 0.05, rtol=0.01)
        mean = layer._parameters["kernel"]["mean"].numpy()
        np.testing.assert_allclose(mean.var() * 400, 1, rtol=0.02)

    def test_half_precision_keeps_parameters_in_float32(self):
        layer = bbh.layers.DenseFlipout(3, dtype="mixed_float16")
        assert layer(np.ones((2, 4), np.float16)).dtype == tf.float16
        assert layer.kl().dtype == tf.float32


class TestFailure:
    @pytest.mark.parametrize(
        "make, message",
        [
            (lambda: bbh.layers.DenseFlipout(0), "`units` must be at least 1.*units=0"),
            (lambda: bbh.layers.Conv2DFlipout(0, 3), "`filters` must be at least 1.*filters=0"),
            (lambda: bbh.layers.Conv2DFlipout(1, 0), "`kernel_size` must be"),
            (lambda: bbh.layers.Conv2DFlipout(1, 3, padding="full"), "`padding` must be"),
            (lambda: bbh.layers.DenseFlipout(1, prior_stddev=0), "`prior_stddev`.*positive"),
            (lambda: bbh.layers.DenseFlipout(1, kl_estimator="full"), "`kl_estimator` must be one"),
            (lambda: bbh.layers.DenseFlipout(1, num_train_examples=0), "`num_train_examples`"),
            (lambda: bbh.layers.DenseFlipout(1)(np.ones(3)), "needs inputs|min_ndim"),
            (lambda: bbh.layers.Conv2DFlipout(1, 3)(np.ones((1, 9))), "needs inputs|ndim"),
        ],
    )
    def test_bad_arguments(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

    def test_training_without_the_number_of_examples(self):
        layer, x = _layer(bbh.layers.DenseFlipout)
        with pytest.raises(ValueError, match="needs the argument `num_train_examples`"):
            layer(x, training=True)
        layer, x = _layer(bbh.layers.DenseFlipout, kl_estimator=None)
        layer(x, training=True)
        assert not layer.losses
