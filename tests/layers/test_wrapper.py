"""`Hypernet` and `MeanField` over layers of every kind: weights, gradients, losses, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl
from keys import KEY, called, key_of, set_keys

from bayes_by_hypernet import draws, environment
from bayes_by_hypernet.divergences import gaussian_kl, nearest_neighbor_kl_to_prior
from bayes_by_hypernet.layers import (
    Conv2DFlipout,
    Conv2DHypernet,
    DenseFlipout,
    DenseHypernet,
    DenseMNF,
    Hypernet,
    MeanField,
)
from bayes_by_hypernet.posteriors.gaussian import GaussianPosterior
from bayes_by_hypernet.posteriors.samplers import ModelSampler
from bayes_by_hypernet.priors import NormalPrior

N = 40
RNG = np.random.default_rng(0)


def _random(*shape):
    return RNG.normal(size=shape).astype(np.float32)


FLAT, SEQUENCES, IMAGES = _random(6, 5), _random(6, 5, 2), _random(6, 5, 5, 2)
IDS = RNG.integers(1, 7, (6, 5))


def _model():
    return keras.Sequential(
        [
            keras.Input((5,)),
            kl.Dense(4, "relu", name="first"),
            kl.BatchNormalization(name="norm"),
            kl.Dropout(0.5),
            kl.Dense(3, name="last"),
        ],
        name="network",
    )


CASES = {  # name: makes the layer, inputs
    "dense": (lambda: kl.Dense(3, "tanh"), FLAT),
    "conv1d": (lambda: kl.Conv1D(3, 2), SEQUENCES),
    "conv3d": (lambda: kl.Conv3D(2, 2), _random(6, 3, 3, 3, 2)),
    "depthwise": (lambda: kl.DepthwiseConv2D(2), IMAGES),
    "separable": (lambda: kl.SeparableConv2D(3, 2), IMAGES),
    "transposed": (lambda: kl.Conv2DTranspose(3, 2), IMAGES),
    "lstm": (lambda: kl.LSTM(3), SEQUENCES),
    "gru": (lambda: kl.GRU(3, return_sequences=True), SEQUENCES),
    "bidirectional": (lambda: kl.Bidirectional(kl.LSTM(2)), SEQUENCES),
    "embedding": (lambda: kl.Embedding(7, 3), IDS),
    "attention": (lambda: kl.MultiHeadAttention(2, 3), SEQUENCES),
    "einsum": (lambda: kl.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"), SEQUENCES),
    "layer_norm": (lambda: kl.LayerNormalization(), FLAT),
    "model": (_model, FLAT),
}
WRAPPERS = {
    "hypernet": lambda layer, **kw: Hypernet(
        layer, **{"hidden_units": (4, 8), "num_train_examples": N, **kw}
    ),
    "mean_field": lambda layer, **kw: MeanField(
        layer, **{"initial_log_variance": -3.0, "num_train_examples": N, **kw}
    ),
}
each_kind = pytest.mark.parametrize("kind", CASES)
each_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)


def arguments(kind, x=None):
    x = CASES[kind][1] if x is None else x
    return (x, x) if kind == "attention" else (x,)


def make(kind, wrapper, **kwargs):
    """A built wrapper and the arguments of its call."""
    layer = WRAPPERS[wrapper](CASES[kind][0](), **kwargs)
    layer(*arguments(kind))
    return layer, arguments(kind)


def functional(layer, kind):
    x = CASES[kind][1]
    inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
    return keras.Model(inputs, layer(*arguments(kind, inputs)))


def under(layer, weights, args, **kwargs):
    with draws.forward_pass({layer: weights}):
        return layer(*args, **kwargs)


def bare_twin(layer, weights, args):
    """The wrapped layer's class with the same variables, and `weights` assigned to its targets."""
    inner = layer.layer
    twin = type(inner).from_config(inner.get_config())
    twin(*args)
    twin.set_weights(inner.get_weights())
    index = {id(v): i for i, v in enumerate(inner.variables)}
    for target, value in zip(layer.targets, weights, strict=True):
        twin.variables[index[id(target)]].assign(value)
    return twin


@each_wrapper
@each_kind
class TestEveryKind:
    def test_computes_the_layer_with_its_weights_assigned(self, kind, wrapper):
        layer, args = make(kind, wrapper)
        assert len(layer.weight_names) == len(set(layer.weight_names)) == len(layer.targets)
        samples = layer.sample_weights(3, KEY)
        assert [tuple(s.shape) for s in samples] == [(3, *s) for s in layer.weight_shapes]
        weights = [s[2] for s in samples]
        outputs = under(layer, weights, args)
        twin = bare_twin(layer, weights, args)
        # The same operations; the order of their sums may differ.
        np.testing.assert_allclose(outputs, twin(*args), rtol=1e-5, atol=1e-5)
        shapes = [(None, *a.shape[1:]) for a in args]
        assert layer.compute_output_shape(*shapes) == twin.compute_output_shape(*shapes)
        if kind != "attention":  # has two inputs
            sampler = ModelSampler(keras.Sequential([keras.Input(args[0].shape[1:]), layer]))
            sample = dict(zip(layer.weight_names, weights, strict=True))
            sample["key"] = KEY
            by_sampler = sampler.logits(args[0], sample)
            np.testing.assert_allclose(by_sampler, outputs, rtol=1e-5, atol=1e-5)

    def test_training_sees_the_posterior_and_not_the_targets(self, kind, wrapper):
        layer, args = make(kind, wrapper)
        own = layer.posterior.trainable_variables
        trained = {id(v) for v in layer.trainable_variables}
        assert {id(v) for v in own} <= trained
        assert not trained & {id(v) for v in layer.targets}

        @tf.function
        def gradients():
            with tf.GradientTape() as tape:
                targets = [v.value for v in layer.targets]
                tape.watch(targets)
                outputs = layer(*args, training=True)
                loss = tf.reduce_sum(outputs**2) + tf.add_n(layer.losses)
            return tape.gradient(loss, [[v.value for v in own], targets])

        of_posterior, of_targets = gradients()
        assert all(np.isfinite(g).all() and np.any(g) for g in of_posterior)
        assert of_targets == [None] * len(layer.targets)

    def test_keras_file(self, kind, wrapper, tmp_path):
        model = functional(WRAPPERS[wrapper](CASES[kind][0](), num_samples=3), kind)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        x = CASES[kind][1]
        np.testing.assert_array_equal(called(loaded, x), called(model, x))
        for one in (model, loaded):
            called(one, x, training=True)
        np.testing.assert_array_equal(loaded.losses, model.losses)
        assert len(loaded.losses) == 1


@each_wrapper
class TestState:
    def test_moving_statistics_and_seeds_move_in_training(self, wrapper):
        layer, (x,) = make("model", wrapper)
        norm = layer.layer.get_layer("norm")
        assert norm.gamma.trainable and not any(v is norm.gamma for v in layer.targets)
        before = [v.numpy() for v in (norm.moving_mean, *draws.seed_states(layer))]
        layer(x, training=False)
        np.testing.assert_array_equal(norm.moving_mean, before[0])
        tf.function(lambda: layer(x, training=True))()
        after = [v.numpy() for v in (norm.moving_mean, *draws.seed_states(layer))]
        assert len(after) == 3  # the wrapper's own and the dropout's
        assert all((a != b).any() for a, b in zip(after, before, strict=True))

    def test_trains_beside_points(self, wrapper):
        model = functional(WRAPPERS[wrapper](_model(), kl_estimator=None), "model")
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        gamma = model.layers[-1].layer.get_layer("norm").gamma
        before = gamma.numpy()
        losses = model.fit(FLAT, FLAT[:, :3], epochs=60, verbose=0).history["loss"]
        assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])  # noisy: six examples, dropout
        assert (gamma.numpy() != before).any()

    def test_frozen_layers_add_no_kl_and_targets_stay_frozen(self, wrapper):
        layer, (x,) = make("dense", wrapper)
        model = functional(layer, "dense")
        for one in (layer, model):
            one.trainable = False
            layer(x, training=True)
            assert layer.losses == [] and layer.trainable_variables == []
            one.trainable = True
            layer(x, training=True)
            assert len(layer.losses) == 1
            assert {id(v) for v in layer.trainable_variables} == {
                id(v) for v in layer.posterior.trainable_variables
            }


@each_wrapper
class TestLosses:
    @pytest.mark.parametrize("count", [1, 3])
    def test_regularizers_of_targets_count_once_on_the_samples_used(self, wrapper, count):
        dense = kl.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))
        layer = WRAPPERS[wrapper](dense, num_likelihood_samples=count, num_samples=5)
        layer.kl_factor.assign(0.0)
        inputs = keras.Input((5,))
        model = keras.Model(inputs, layer(inputs) + layer(2 * inputs))
        set_keys(model)
        kernels = layer.sample_weights(5, key_of(layer))[0][:count]
        model(FLAT, training=True)
        expected = 0.5 * np.sum(kernels**2, axis=(1, 2)).mean()
        np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)

    @pytest.mark.parametrize("count", [1, 4])
    def test_losses_of_layers_inside_count(self, wrapper, count):
        inner = keras.Sequential(
            [keras.Input((5,)), kl.ActivityRegularization(l1=2.0), kl.Dense(3, name="only")]
        )
        layer = WRAPPERS[wrapper](inner, num_likelihood_samples=count, num_samples=5)
        layer.kl_factor.assign(0.0)
        layer(FLAT, training=True)
        # Keras's activity regularisers are means over the batch.
        np.testing.assert_allclose(sum(layer.losses), 2.0 * np.abs(FLAT).sum() / 6, rtol=1e-5)

    def test_the_kl_enters_fit_once(self, wrapper):
        model = functional(WRAPPERS[wrapper](kl.LSTM(3)), "lstm")
        model.compile(keras.optimizers.SGD(0.0), "mse")
        set_keys(model)
        outputs = model(SEQUENCES, training=True)
        [loss] = model.losses
        targets = np.zeros((6, 3))
        set_keys(model)
        fitted = model.fit(SEQUENCES, targets, batch_size=6, verbose=0).history["loss"]
        np.testing.assert_allclose(fitted, [np.mean(outputs**2) + loss], rtol=1e-5)

    def test_each_replica_draws_its_share_and_counts_the_kl_once(self, wrapper, two_cpu_devices):
        def loss(strategy):
            keras.utils.set_random_seed(2)
            with strategy.scope():
                model = functional(WRAPPERS[wrapper](kl.Dense(3), seed=1), "dense")
                model.compile(keras.optimizers.SGD(0.0), "mse")
            set_keys(model)
            return model.fit(FLAT, FLAT[:, :3], batch_size=6, verbose=0).history["loss"]

        one = loss(tf.distribute.get_strategy())
        mirrored = loss(
            tf.distribute.MirroredStrategy(
                two_cpu_devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
            )
        )
        np.testing.assert_allclose(mirrored, one, rtol=1e-5)  # float32 sums


LAYERS = {  # of this package, three units
    "hypernet": lambda: DenseHypernet(3, hidden_units=(4, 8), num_train_examples=N),
    "wrapped": lambda: WRAPPERS["hypernet"](kl.Dense(3)),
    "mean_field": lambda: WRAPPERS["mean_field"](kl.Dense(3)),
    "flipout": lambda: DenseFlipout(3, initial_log_variance=-3.0, num_train_examples=N),
    "mnf": lambda: DenseMNF(3, num_train_examples=N),
}


def _twice(make_layer, time):
    inputs, layer = keras.Input((time, 5)), make_layer()
    return keras.Model(inputs, layer(inputs) - layer(inputs))


def _distributed(make_layer, time):
    """Steps of equal inputs minus the first of them."""
    inputs, layer = keras.Input((time, 5)), make_layer()
    steps = kl.TimeDistributed(layer)(inputs)
    return keras.Model(inputs, steps - layer(inputs[:, 0])[:, None])


def _two_loops(make_layer, time):
    """Two loops one after the other: the second shares what was drawn for the first."""
    inputs, layer = keras.Input((time, 5)), make_layer()
    steps = kl.TimeDistributed(layer)(inputs)
    return keras.Model(inputs, kl.TimeDistributed(layer)(inputs) - steps)


class TestOneDraw:
    @pytest.mark.parametrize("time", [6, None])
    @pytest.mark.parametrize("make_model", [_twice, _distributed, _two_loops])
    @pytest.mark.parametrize("kind", LAYERS)
    def test_a_pass_in_training_is_one_function_with_one_kl(self, kind, make_model, time):
        model = make_model(LAYERS[kind], time)
        # As many steps as examples: Keras's own TimeDistributed loops over the number of examples
        # where that of steps is not known.
        x = np.repeat(FLAT[:, np.newaxis], 6, axis=1)
        [layer] = draws.find_layers(model, draws.DrawingLayer)

        @tf.function(input_signature=[tf.TensorSpec((None, time, 5))])
        def step(x):
            with tf.GradientTape() as tape:
                outputs = model(x, training=True)
                loss = tf.reduce_sum(outputs) + tf.add_n(model.losses)
            variables = [v.value for v in model.trainable_variables]
            return outputs, model.losses, tape.gradient(loss, variables)

        outputs, losses, gradients = step(x)
        np.testing.assert_allclose(outputs, np.zeros((6, 6, 3)), atol=1e-5)  # float32 sums
        assert len(losses) == 1
        assert all(np.isfinite(g).all() for g in gradients)
        if kind in ("mean_field", "flipout"):  # an analytic KL
            np.testing.assert_allclose(losses[0], layer.kl() / N, rtol=1e-5)

    @pytest.mark.parametrize("kind", LAYERS)
    def test_a_recurrent_cell_with_one_inside(self, kind):
        class Cell(keras.layers.Layer):
            state_size = output_size = 3

            def __init__(self):
                super().__init__()
                self.inner = LAYERS[kind]()

            def call(self, inputs, states, training=None):
                joined = keras.ops.concatenate([inputs, states[0]], axis=-1)
                outputs = self.inner(joined, training=training)
                return outputs, [outputs]

        losses = []
        for unroll in (False, True):
            keras.utils.set_random_seed(1)
            model = keras.Sequential([keras.Input((5, 2)), kl.RNN(Cell(), unroll=unroll)])
            model.compile(keras.optimizers.SGD(0.0), "mse")
            set_keys(model)
            history = model.fit(SEQUENCES, np.zeros((6, 3)), batch_size=6, verbose=0).history
            losses.append(history["loss"][0])
        # One draw and one KL, looped or unrolled.
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


class TestSelection:
    @staticmethod
    def targets(**kwargs):
        layer, _ = make("model", "mean_field", **kwargs)
        return [v.path.removeprefix("network/") for v in layer.targets]

    FIRST, LAST = ["first/kernel", "first/bias"], ["last/kernel", "last/bias"]

    def test_all_but_normalisation(self):
        assert self.targets() == self.FIRST + self.LAST
        assert len(self.targets(exclude=())) == 6

    @pytest.mark.parametrize(
        "include, expected",
        [
            ("first", FIRST),
            ("l*", LAST),
            ("*/kernel", ["first/kernel", "last/kernel"]),
            (kl.BatchNormalization, ["norm/gamma", "norm/beta"]),
            (lambda layer: layer.name == "last", LAST),
            (["first", kl.BatchNormalization], [*FIRST, "norm/gamma", "norm/beta"]),
        ],
    )
    def test_include(self, include, expected):
        assert self.targets(include=include) == expected

    @pytest.mark.parametrize("exclude", ["first", "f*", lambda layer: layer.name == "first"])
    def test_exclude(self, exclude):
        assert self.targets(exclude=[exclude, "norm"]) == self.LAST
        assert self.targets(include=kl.Dense, exclude=exclude) == self.LAST

    @pytest.mark.parametrize(
        "kwargs, message",
        [
            ({"include": "dense_99"}, "`include` must name.*'first'.*matches none"),
            ({"exclude": kl.Conv2D}, "`exclude` must name.*matches none"),
            ({"include": "first", "exclude": "*"}, "no trainable variable"),
            ({"include": 3}, "`include` must be names.*Received: include=3"),
        ],
    )
    def test_refuses_what_matches_nothing(self, kwargs, message):
        with pytest.raises(ValueError, match=message):
            self.targets(**kwargs)


class TestPretrained:
    def test_hypernet_starts_next_to_the_layers_values(self):
        dense = kl.Dense(3, bias_initializer="normal")
        dense.build((None, 5))
        start = [v.numpy() for v in dense.variables]
        layer, _ = WRAPPERS["hypernet"](dense, pretrained=True), dense
        layer(FLAT)
        samples = layer.sample_weights(50, KEY)
        changes = [s - w for s, w in zip(samples, start, strict=True)]
        for change in changes:
            assert 0 < np.abs(change).max() < 0.1
        expected = nearest_neighbor_kl_to_prior(changes, NormalPrior(), KEY)
        np.testing.assert_allclose(layer.posterior.kl(samples, KEY), expected, rtol=1e-5)

    def test_mean_field_has_its_prior_at_the_layers_values(self):
        layer, _ = make("dense", "mean_field", pretrained=True)
        stddevs = [tf.exp(v.value / 2) for v in layer.posterior.log_variances]
        expected = sum(gaussian_kl(tf.zeros_like(s), s) for s in stddevs)
        np.testing.assert_allclose(layer.kl(), expected, rtol=1e-5)
        assert isinstance(layer.posterior, GaussianPosterior)
        np.testing.assert_array_equal(layer.posterior.means[0], layer.targets[0])

    @each_wrapper
    def test_keras_file_keeps_the_centre(self, wrapper, tmp_path):
        layer = WRAPPERS[wrapper](kl.Dense(3), pretrained=True)
        model = functional(layer, "dense")
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(called(loaded, FLAT), called(model, FLAT))
        np.testing.assert_array_equal(loaded.layers[-1].kl(KEY), layer.kl(KEY))


class TestSize:
    def test_a_hypernetwork_of_three_billion_parameters_is_not_made(self, monkeypatch):
        def fail(*args):
            raise AssertionError("allocated")

        monkeypatch.setattr("bayes_by_hypernet.hypernetworks.HypernetworkKernel.build", fail)
        features = keras.layers.Flatten()(keras.Input((24, 24, 20)))
        message = r"2,95\d,\d{3},\d{3} parameters.*dense/kernel.*architecture='chunked'"
        with pytest.raises(ValueError, match=message):
            DenseHypernet(500, max_parameters=10**9)(features)
        monkeypatch.setattr(environment, "available_memory", lambda: 8 * 2**30)
        with pytest.raises(ValueError, match=message):
            DenseHypernet(500)(features)

    def test_what_fits_is_made(self):
        layer, (x,) = make("dense", "mean_field", max_parameters=36)
        assert layer(x).shape == (6, 3)
        with pytest.raises(ValueError, match="36 parameters, more than max_parameters=35"):
            make("dense", "mean_field", max_parameters=35)


class TestRefusals:
    @each_wrapper
    def test_recurrent_cells(self, wrapper):
        with pytest.raises(ValueError, match="recurrent cell cannot be wrapped.*RNN"):
            WRAPPERS[wrapper](kl.LSTMCell(3))
        assert WRAPPERS[wrapper](kl.RNN(kl.LSTMCell(3)))(SEQUENCES).shape == (6, 3)

    @each_wrapper
    def test_posteriors_inside(self, wrapper):
        inner = keras.Sequential([keras.Input((5,)), DenseFlipout(3, name="inside")])
        with pytest.raises(ValueError, match="without posteriors inside.*'inside'"):
            WRAPPERS[wrapper](inner)


class TestMasks:
    @pytest.mark.parametrize("kind", LAYERS)
    def test_a_recurrent_layer_behind_ignores_padding(self, kind):
        ids = keras.Input((None,), dtype="int32")
        x = LAYERS[kind]()(kl.Embedding(10, 4, mask_zero=True)(ids))
        model = keras.Model(ids, kl.LSTM(3)(x))
        short, padded = (np.array([row]) for row in ([1, 2, 3], [1, 2, 3, 0, 0, 0]))
        if kind in ("flipout", "mnf"):  # draw for each example and position
            sampler = ModelSampler(model)
            sample = {name: w[0] for name, w in sampler.draw(1, KEY).items()}
            outputs = [sampler.logits(x, sample) for x in (short, padded)]
        else:
            outputs = [called(model, x) for x in (short, padded)]
        np.testing.assert_allclose(*outputs, atol=1e-6)

    @each_wrapper
    def test_a_wrapped_embedding_makes_one(self, wrapper):
        layer = WRAPPERS[wrapper](kl.Embedding(7, 3, mask_zero=True))
        outputs = layer(np.array([[1, 2, 0]]))
        np.testing.assert_array_equal(outputs._keras_mask, [[True, True, False]])


class TestInputs:
    @pytest.mark.parametrize("kind", [*LAYERS])
    def test_integers_learn(self, kind):
        layer = LAYERS[kind]()
        x = RNG.integers(0, 3, (60, 5))
        y = x[:, 0]
        model = keras.Sequential([keras.Input((5,), dtype="int32"), layer])
        assert model(x).dtype == tf.float32
        np.testing.assert_array_equal(called(model, x), called(model, x.astype(np.float32)))
        layer.kl_factor.assign(0.0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(3e-2), loss)
        losses = model.fit(x, y, epochs=30, batch_size=20, verbose=0).history["loss"]
        assert losses[-1] < 0.75 * np.log(3)  # noisy; chance is 1

    @pytest.mark.parametrize("cls", [Conv2DHypernet, Conv2DFlipout])
    def test_integer_images(self, cls):
        options = {"hidden_units": (4, 8)} if cls is Conv2DHypernet else {}
        layer = cls(2, 3, **options)
        images = RNG.integers(0, 255, (2, 5, 5, 1))
        assert layer(images).dtype == tf.float32
        np.testing.assert_array_equal(
            called(layer, images), called(layer, images.astype(np.float32))
        )

    def test_channels_first(self):
        first, last = (
            Conv2DHypernet(3, 2, data_format=f"channels_{name}", hidden_units=(4, 8))
            for name in ("first", "last")
        )
        images = np.moveaxis(IMAGES, -1, 1)
        first(images), last(IMAGES)
        weights = [w[0] for w in first.sample_weights(1, KEY)]
        outputs = under(first, weights, (images,))
        assert outputs.shape == (6, 3, 4, 4)
        np.testing.assert_allclose(
            np.moveaxis(outputs, 1, -1), under(last, weights, (IMAGES,)), rtol=1e-5, atol=1e-5
        )
        with pytest.raises(ValueError, match=r"\(batch, channels, height, width\)"):
            Conv2DHypernet(3, 2, data_format="channels_first")(FLAT)

    def test_channels_first_is_refused_where_an_estimator_cannot(self):
        keras.config.set_image_data_format("channels_first")
        try:
            with pytest.raises(ValueError, match="takes images with channels last.*Hypernet"):
                Conv2DFlipout(3, 2)
        finally:
            keras.config.set_image_data_format("channels_last")


@each_wrapper
@pytest.mark.parametrize("kind", ["dense", "conv1d", "gru", "attention", "model"])
class TestCompiled:
    def test_xla(self, kind, wrapper):
        model = functional(WRAPPERS[wrapper](CASES[kind][0]()), kind)
        model.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=True)
        outputs = model(CASES[kind][1])
        history = model.fit(CASES[kind][1], np.zeros(outputs.shape), epochs=2, verbose=0).history
        assert np.isfinite(history["loss"]).all()

    def test_bfloat16(self, kind, wrapper):
        keras.config.set_dtype_policy("mixed_bfloat16")
        layer, args = make(kind, wrapper)
        assert layer(*args).dtype == tf.bfloat16
        assert {v.dtype for v in layer.trainable_variables} == {"float32"}
        model = functional(layer, kind)
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        outputs = model(CASES[kind][1])
        history = model.fit(CASES[kind][1], np.zeros(outputs.shape), epochs=2, verbose=0).history
        assert np.isfinite(history["loss"]).all()
