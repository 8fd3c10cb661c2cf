"""`bayesify`: what each method makes of a Keras model, what it selects, says and refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import bayes_by_hypernet as bbh
from bayes_by_hypernet import models
from bayes_by_hypernet.draws import find_layers
from bayes_by_hypernet.layers import (
    Conv2DFlipout,
    Conv2DMNF,
    Conv2DReparameterization,
    DenseFlipout,
    DenseMNF,
    DenseReparameterization,
    Hypernet,
    MCDropout,
    MeanField,
)
from bayes_by_hypernet.posteriors.layer import PosteriorLayer

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, 6, 6, 2)).astype(np.float32)
LABELS = RNG.integers(0, 3, 16)
KEY = tf.constant([1, 2], tf.int32)
POINTS = ("dropout", "map")
POSTERIORS = tuple(name for name in models.METHODS if name not in POINTS)
CONVERTED = {
    "flipout": (Conv2DFlipout, DenseFlipout),
    "reparameterization": (Conv2DReparameterization, DenseReparameterization),
    "mnf": (Conv2DMNF, DenseMNF),
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _network(dropout=True, normalised=False):
    images = keras.Input((6, 6, 2), name="images")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="conv")(images)
    if normalised:
        x = layers.BatchNormalization(name="norm")(x)
    if dropout:
        x = layers.Dropout(0.25, name="drop")(x)
    return keras.Model(images, layers.Dense(3, name="dense")(layers.Flatten()(x)), name="net")


def _small(method, model=None, **options):
    """`bayesify` with hypernetworks of a few units."""
    if method == "hypernet":
        options = {"hidden_units": (4, 8), **options}
    return bbh.bayesify(model or _network(), method, 16, **options)


def _compiled(model, **options):
    model.compile(bbh.FusedAdam(1e-2), LOSS, **options)
    return model


def _names(model):
    return [layer.name for layer in find_layers(model.body, PosteriorLayer)]


def test_the_methods_are_these():
    assert set(models.METHODS) == {
        "hypernet",
        "mean_field",
        "flipout",
        "reparameterization",
        "mnf",
        "dropout",
        "map",
    }


class TestEvery:
    @pytest.mark.parametrize("method", models.METHODS)
    def test_fits_predicts_and_comes_back_from_a_file(self, method, tmp_path):
        model = _compiled(_small(method, seed=1), metrics=["accuracy"])
        before = [v.numpy() for v in model.fitted_variables]
        history = model.fit(IMAGES, LABELS, epochs=2, batch_size=8, verbose=0).history
        assert {"loss", "nll", "kl_per_example", "accuracy"} <= set(history)
        assert np.isfinite(history["loss"]).all()
        for variable, old in zip(model.fitted_variables, before, strict=True):
            assert (variable.numpy() != old).any(), variable.path
        prediction = bbh.predict(model, IMAGES, num_samples=4, seed=1)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        again = bbh.predict(loaded, IMAGES, num_samples=4, seed=1)
        np.testing.assert_allclose(again.mean, prediction.mean, atol=1e-6)

    @pytest.mark.parametrize("method", models.METHODS)
    def test_a_seed_repeats_what_fit_does(self, method):
        losses = []
        for seed in (1, 1, 2):
            keras.utils.set_random_seed(seed)
            model = _compiled(_small(method, seed=seed))
            history = model.fit(IMAGES, LABELS, epochs=2, shuffle=False, verbose=0).history
            losses.append(history["loss"])
        assert losses[0] == losses[1] != losses[2]

    @pytest.mark.parametrize("method", models.METHODS)
    def test_keeps_the_models_name_and_shapes(self, method):
        model = _small(method)
        assert model.name == "net"
        assert (model.input_shape, model.output_shape) == ((None, 6, 6, 2), (None, 3))
        assert model.num_weights == 4 * 18 + 4 + 36 * 3 + 3

    @pytest.mark.parametrize("method", models.METHODS)
    def test_takes_a_sequential_model_that_was_never_called(self, method):
        network = [keras.Input((4,)), layers.Dropout(0.5), layers.Dense(3)]
        model = _small(method, keras.Sequential(network))
        assert model(np.zeros((2, 4), np.float32)).shape == (2, 3)

    @pytest.mark.parametrize("method", models.METHODS)
    def test_without_the_number_of_examples_compile_refuses(self, method):
        model = bbh.bayesify(_network(), method)
        with pytest.raises(ValueError, match="needs the argument `num_train_examples`.*KL / N"):
            _compiled(model)

    @pytest.mark.parametrize("method", models.METHODS)
    def test_a_loss_that_is_a_sum_is_refused(self, method):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
        with pytest.raises(ValueError, match='`loss` must be a mean.*reduction="sum"'):
            _small(method).compile("adam", loss)

    @pytest.mark.parametrize("method", POSTERIORS)
    def test_keep_dropout_false_strips_dropout_layers(self, method):
        for keep in (True, False):
            kept = find_layers(_small(method, keep_dropout=keep).body, layers.Dropout)
            assert len(kept) == keep


class TestConversions:
    @pytest.mark.parametrize("method", CONVERTED)
    def test_each_layer_becomes_the_methods_and_keeps_its_settings(self, method):
        model = _small(method)
        conv, dense = (model.body.get_layer(name) for name in ("conv", "dense"))
        assert (type(conv), type(dense)) == CONVERTED[method]
        assert (conv.filters, conv.kernel_size, conv.strides) == (4, (3, 3), (2, 2))
        assert conv.padding == "same" and conv.activation is keras.activations.relu
        assert dense.units == 3 and dense.activation is keras.activations.linear
        assert type(model.body.get_layer("drop")) is layers.Dropout

    @pytest.mark.parametrize("method", ["hypernet", "mean_field"])
    def test_wrappers_hold_the_whole_model(self, method):
        [wrapper] = find_layers(_small(method).body, PosteriorLayer)
        assert type(wrapper) is {"hypernet": Hypernet, "mean_field": MeanField}[method]
        assert wrapper.weight_names == ["conv/kernel", "conv/bias", "dense/kernel", "dense/bias"]

    @pytest.mark.parametrize("method", CONVERTED)
    def test_layers_without_an_estimator_get_mean_field_and_a_message(self, method, capsys):
        inputs = keras.Input((5, 2))
        x = layers.LSTM(3, name="lstm")(inputs)
        model = keras.Model(inputs, layers.Dense(2, name="dense")(x), name="series")
        made = bbh.bayesify(model, method, 16)
        message = capsys.readouterr().err
        assert f"series: '{method}' has no estimator for lstm; they get 'mean_field'" in message
        assert type(made.body.get_layer("lstm")) is MeanField
        assert type(made.body.get_layer("dense")) is CONVERTED[method][1]
        bbh.bayesify(model, method, 16, verbose=False)
        assert not capsys.readouterr().err

    @pytest.mark.parametrize(
        "settings",
        [
            {"groups": 2},
            {"dilation_rate": 2},
            {"kernel_regularizer": "l2"},
            {"kernel_constraint": keras.constraints.NonNeg()},
        ],
        ids=lambda settings: next(iter(settings)),
    )
    def test_convolutions_with_other_settings_get_mean_field(self, settings):
        inputs = keras.Input((6, 6, 2))
        model = keras.Model(inputs, layers.Conv2D(4, 2, name="conv", **settings)(inputs))
        made = bbh.bayesify(model, "flipout", 16, verbose=False)
        assert type(made.body.get_layer("conv")) is MeanField

    @pytest.mark.parametrize("method", ["flipout", "reparameterization"])
    def test_layers_without_a_bias_stay_without(self, method):
        model = keras.Sequential([keras.Input((2,)), layers.Dense(3, use_bias=False)])
        made = bbh.bayesify(model, method, 16, verbose=False)
        assert made.num_weights == 6

    def test_a_layer_that_is_called_twice_stays_one(self):
        inputs, dense = keras.Input((2,)), layers.Dense(2, name="dense")
        made = bbh.bayesify(keras.Model(inputs, dense(dense(inputs))), "flipout", 16, verbose=False)
        assert _names(made) == ["dense"]

    def test_a_nested_model_is_converted_too(self):
        inputs = keras.Input((6, 6, 2))
        outputs = layers.Dense(2, name="head")(_network()(inputs))
        made = bbh.bayesify(keras.Model(inputs, outputs), "flipout", 16, verbose=False)
        assert set(_names(made)) == {"conv", "dense", "head"}

    def test_dropout_layers_become_monte_carlo_ones(self):
        for rate, expected in ((None, 0.25), (0.4, 0.4)):
            model = _small("dropout", rate=rate)
            drop = model.body.get_layer("drop")
            assert type(drop) is MCDropout and drop.rate == expected

    def test_dropout_is_refused_without_dropout_layers(self):
        with pytest.raises(ValueError, match=r"without Dropout layers.*'net'.*\['images', 'conv'"):
            bbh.bayesify(_network(dropout=False), "dropout", 16)


class TestSelection:
    @pytest.mark.parametrize("method", POSTERIORS)
    @pytest.mark.parametrize(
        "selection",
        [
            {"include": "dense"},
            {"include": layers.Dense},
            {"include": ["den*"]},
            {"include": lambda layer: isinstance(layer, layers.Dense)},
            {"exclude": "conv"},
            {"exclude": [layers.Conv2D]},
        ],
    )
    def test_only_selected_layers_get_a_posterior(self, method, selection):
        model = _small(method, **selection)
        assert model.num_weights == 36 * 3 + 3
        points = [v.path.rpartition("/")[0] for v in model.point_variables]
        assert any("conv" in path for path in points)

    @pytest.mark.parametrize("method", POSTERIORS)
    def test_normalisations_stay_points(self, method):
        model = _small(method, _network(normalised=True))
        assert model.num_weights == 4 * 18 + 4 + 36 * 3 + 3
        assert {v.name for v in model.point_variables} >= {"gamma", "beta"}

    @pytest.mark.parametrize("method", POSTERIORS)
    def test_names_that_match_nothing_are_refused(self, method):
        with pytest.raises(ValueError, match=r"`include` must name.*\['conv', 'dense'\].*'lstm'"):
            _small(method, include="lstm")

    @pytest.mark.parametrize("method", POINTS)
    @pytest.mark.parametrize("name", ["include", "exclude"])
    def test_means_nothing_where_weights_are_points(self, method, name):
        with pytest.raises(ValueError, match=f"`{name}` has no meaning for method='{method}'"):
            _small(method, **{name: "dense"})

    @pytest.mark.parametrize("method", ["hypernet", "mean_field"])
    def test_too_many_parameters_are_refused_with_the_costly_tensors(self, method):
        with pytest.raises(ValueError, match="more than max_parameters=100.*dense/kernel"):
            _small(method, max_parameters=100)
        _small(method, max_parameters=100_000)

    def test_the_size_is_said_before(self, capsys):
        _small("mean_field")
        said = "net: a posterior with 374 parameters over 187 weights"
        assert said in capsys.readouterr().err


class TestArguments:
    def test_an_unknown_method_is_refused(self):
        with pytest.raises(ValueError, match="`method` must be one of.*'hypernet'.*'laplace'"):
            bbh.bayesify(_network(), "laplace")

    def test_a_layer_is_refused(self):
        with pytest.raises(ValueError, match="`model` must be a Keras model.*Dense"):
            bbh.bayesify(layers.Dense(3))

    def test_a_subclassed_model_is_refused_with_what_to_do(self):
        class Subclassed(keras.Model):
            def call(self, inputs):
                return inputs

        with pytest.raises(ValueError, match=r"keras.Model\(inputs, model\(inputs\)\)"):
            bbh.bayesify(Subclassed())

    @pytest.mark.parametrize("num_train_examples", [0, -1, 1.5, "60"])
    def test_the_number_of_examples_is_a_positive_integer(self, num_train_examples):
        with pytest.raises(ValueError, match="`num_train_examples`"):
            bbh.bayesify(_network(), num_train_examples=num_train_examples)

    def test_a_registered_method_has_a_name(self):
        seen = {}

        @models.register("mine")
        def mine(model, settings, selection, rate=0.5):
            seen.update(selection, rate=rate, **settings)
            return models.BayesianModel(model, **settings)

        try:
            made = bbh.bayesify(_network(), "mine", 16, include="dense", seed=3, rate=0.1)
        finally:
            models.METHODS.pop("mine")
        assert isinstance(made, models.BayesianModel) and made.num_train_examples == 16
        assert (seen["rate"], seen["include"], seen["seed"]) == (0.1, "dense", 3)


class TestKL:
    def test_enters_as_the_kl_over_the_number_of_examples(self):
        model = _compiled(_small("mean_field", seed=1))
        kl = float(model.kl(model.sampled_parameters(KEY), KEY))
        history = model.fit(IMAGES, LABELS, batch_size=16, verbose=0).history
        np.testing.assert_allclose(history["kl_per_example"], kl / 16, rtol=1e-5)  # float32 sums
        np.testing.assert_allclose(history["loss"][0], history["nll"][0] + kl / 16, rtol=1e-5)

    @pytest.mark.parametrize("positions", [1, 5])
    def test_is_divided_by_the_positions_of_an_example(self, positions):
        """Keras's loss is a mean over positions, `(N, T, C)`: the KL's share is KL / (N T)."""
        inputs = keras.Input((positions, 4))
        network = keras.Model(inputs, layers.Dense(3, name="dense")(inputs))
        model = _compiled(bbh.bayesify(network, "mean_field", 16, seed=1, verbose=False))
        kl = float(model.kl(model.sampled_parameters(KEY), KEY))
        x = RNG.normal(size=(16, positions, 4)).astype(np.float32)
        y = RNG.integers(0, 3, (16, positions))
        history = model.fit(x, y, batch_size=16, verbose=0).history
        added = history["loss"][0] - history["nll"][0]
        np.testing.assert_allclose(added, kl / (16 * positions), rtol=1e-4)  # of a difference

    @pytest.mark.parametrize("method", POINTS)
    def test_of_points_is_the_weight_decay_of_the_prior(self, method):
        model = _small(method, prior_stddev=0.5)
        kernels = [v.numpy() for v in model.fitted_variables if v.name == "kernel"]
        expected = sum((k.astype(np.float64) ** 2).sum() for k in kernels) / 2 / 0.5**2
        kl = model.kl(model.sampled_parameters(KEY), KEY)
        np.testing.assert_allclose(kl, expected, rtol=1e-5)  # a float32 sum

    @pytest.mark.parametrize("method", ["hypernet", "mean_field", "flipout"])
    def test_the_entropy_estimate_trains_by_fit_and_is_saved(self, method, tmp_path):
        model = _compiled(_small(method, kl_estimator="entropy"))
        history = model.fit(IMAGES, LABELS, epochs=1, verbose=0).history
        assert np.isfinite(history["kl_per_example"]).all()
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        key = tf.constant([1, 2])
        np.testing.assert_allclose(
            again.kl(again.sampled_parameters(key), key),
            model.kl(model.sampled_parameters(key), key),
            rtol=1e-5,
        )

    @pytest.mark.parametrize("method", ["hypernet", "flipout"])
    def test_the_adversarial_estimate_is_not_for_fit(self, method):
        model = _small(method, kl_estimator="adversarial")
        with pytest.raises(ValueError, match="trained by `bayes_by_hypernet.training.Trainer`"):
            _compiled(model)

    @pytest.mark.parametrize("method", ["mean_field", "flipout", "reparameterization", "mnf"])
    def test_pretrained_posteriors_start_at_the_models_weights(self, method):
        network = _network(dropout=False)
        expected = network(IMAGES)
        model = _small(method, network, pretrained=True, verbose=False)
        # Of standard deviations of e^-4.5 = 0.011, and of z of MNF of mean 1.
        mean = bbh.predict(model, IMAGES, num_samples=50, seed=1).mean
        np.testing.assert_allclose(mean, tf.nn.softmax(expected), atol=0.1)
