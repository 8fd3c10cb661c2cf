"""DenseMNF and Conv2DMNF as Keras layers: draws, loss, training, saving, failure."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keys import called, key_of, set_keys
from mnf_cases import (
    AUXILIARY,
    IMAGES,
    KEY,
    LABELS,
    LAYERS,
    NLL,
    N,
    assign,
    each_layer,
    make,
)

from bayes_by_hypernet import draws, randomness
from bayes_by_hypernet.layers.mnf import Conv2DMNF, DenseMNF


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
        set_keys(layer)
        expected = layer.kl(randomness.fold_in(key_of(layer), "kl"))
        for anneal in (1.0, 0.25):
            layer.kl_factor.assign(anneal)
            called(layer, x, training=True)
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
    def test_a_key_repeats_one_and_calls_differ(self, kind):
        layer, x = make(kind)
        first, again = called(layer, x, training=True), called(layer, x)
        np.testing.assert_array_equal(first, again)
        for training in (False, True):
            assert (layer(x, training=training) != layer(x, training=training)).numpy().any()

    @each_layer
    def test_values_in_place_of_the_variables(self, kind):
        layer, x = make(kind)
        other, _ = make(kind)
        values = [v.value for v in other.trainable_variables]
        pairs = list(zip(layer.trainable_variables, values, strict=True))

        def everything(layer, pairs=()):
            with keras.StatelessScope([*pairs, *draws.keyed_states(layer, KEY)]):
                return [layer(x), layer.kl(KEY), *layer.sample_weights(2, KEY)]

        for a, b in zip(everything(layer, pairs), everything(other), strict=True):
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
        logits = called(model, IMAGES, training=True)
        expected = NLL(LABELS, logits) + tf.add_n(model.losses)
        model.compile(keras.optimizers.SGD(0.0), NLL)
        data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(12)
        set_keys(model)
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
        np.testing.assert_array_equal(
            called(loaded, IMAGES, training=True), called(model, IMAGES, training=True)
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
