"""Batch normalisation: whose statistics, against Keras's own where that has them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.layers import STATISTICS, BatchNormalization

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(2.0, 3.0, (6, 4, 5, 3)).astype(np.float32)
GAMMA, BETA = np.float32([0.5, 1.0, 2.0]), np.float32([-1.0, 0.0, 1.0])


def _layer(statistics, **settings):
    layer = BatchNormalization(statistics, **settings)
    layer.build(IMAGES.shape)
    layer.gamma.assign(GAMMA)
    layer.beta.assign(BETA)
    return layer


def _normalised(mean, variance):
    return GAMMA * (IMAGES - mean) / np.sqrt(variance + 1e-3) + BETA


class TestStatistics:
    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("statistics, axes", [("instance", (1, 2)), ("batch", (0, 1, 2))])
    def test_of_the_image_or_the_batch(self, statistics, axes, training):
        expected = _normalised(IMAGES.mean(axes, keepdims=True), IMAGES.var(axes, keepdims=True))
        outputs = _layer(statistics)(IMAGES, training=training)
        np.testing.assert_allclose(outputs, expected, atol=1e-5)

    def test_an_image_alone_is_answered_as_in_company_by_its_own_statistics_only(self):
        alone = {s: _layer(s)(IMAGES[:1], training=False)[0] for s in STATISTICS}
        company = {s: _layer(s)(IMAGES, training=False)[0] for s in STATISTICS}
        for statistics in ("instance", "moving"):
            np.testing.assert_allclose(alone[statistics], company[statistics], atol=1e-5)
        assert np.abs(alone["batch"] - company["batch"]).max() > 0.05

    def test_moving_statistics_are_keras_own(self):
        ours, keras_own = _layer("moving"), keras.layers.BatchNormalization()
        keras_own.build(IMAGES.shape)
        keras_own.gamma.assign(GAMMA)
        keras_own.beta.assign(BETA)
        for i in range(3):
            batch = IMAGES * (i + 1)
            np.testing.assert_allclose(
                ours(batch, training=True), keras_own(batch, training=True), atol=1e-5
            )
        for name in ("moving_mean", "moving_variance"):
            np.testing.assert_allclose(getattr(ours, name), getattr(keras_own, name), rtol=1e-5)
        np.testing.assert_allclose(ours(IMAGES), keras_own(IMAGES), rtol=1e-4, atol=1e-5)

    def test_prediction_moves_nothing(self):
        layer = _layer("moving")
        layer(IMAGES, training=False)
        np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))

    @pytest.mark.parametrize("statistics", ["instance", "batch"])
    def test_only_moving_ones_are_kept(self, statistics):
        assert _layer(statistics).non_trainable_variables == []


class TestReplicas:
    """Two replicas with parts of unequal size of one batch, against one device with all of it."""

    WEIGHTS = RNG.normal(size=IMAGES.shape).astype(np.float32)  # of the outputs in the loss

    def _losses_and_gradients(self, strategy, statistics, parts, offset, dtype="float32"):
        with strategy.scope():
            layer = _layer(statistics, dtype=dtype)

        def step(part):
            first, last = tf.unstack(part)
            x = tf.constant(IMAGES + np.float32(offset))[first:last]
            weights = tf.constant(self.WEIGHTS)[first:last]
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = tf.cast(layer(x, training=True), tf.float32)
                loss = tf.reduce_sum(tf.square(outputs) * weights)
            return loss, tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

        @tf.function
        def run():
            values = strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(parts[context.replica_id_in_sync_group])
            )
            return strategy.run(step, args=(values,))

        loss, gradients = run()
        loss, *gradients = (
            [one.numpy() for one in strategy.experimental_local_results(value)]
            for value in (loss, *gradients)
        )
        moving = [variable.numpy() for variable in layer.non_trainable_variables]
        return sum(loss), np.concatenate(gradients[0]), sum(gradients[1]), sum(gradients[2]), moving

    def _mirrored(self, devices):
        # Collectives of several strategies in one process disturb each other.
        return tf.distribute.MirroredStrategy(
            devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
        )

    @pytest.mark.parametrize("statistics", STATISTICS)
    @pytest.mark.parametrize("offset", [0.0, 3000.0])
    def test_training_uses_the_global_batch(self, statistics, offset, two_cpu_devices):
        one = tf.distribute.get_strategy()
        expected = self._losses_and_gradients(one, statistics, [(0, 6)], offset)
        two = self._mirrored(two_cpu_devices)
        received = self._losses_and_gradients(two, statistics, [(0, 4), (4, 6)], offset)
        # Rounding of sums in another order, which the offset makes 1e-7 * 3000 / stddev; the
        # variance as E(x^2) - E(x)^2 would be off by 10 % and more there.
        tolerance = 1e-5 if offset == 0 else 2e-2
        for name, a, b in zip(("loss", "x", "gamma", "beta"), received, expected, strict=False):
            scale = np.abs(b).max()
            np.testing.assert_allclose(a / scale, b / scale, atol=tolerance, err_msg=name)
        for a, b in zip(received[-1], expected[-1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    def test_half_precision(self, two_cpu_devices):
        two = self._mirrored(two_cpu_devices)
        parts = [(0, 4), (4, 6)]
        received = self._losses_and_gradients(two, "batch", parts, 0.0, dtype="mixed_float16")
        expected = self._losses_and_gradients(two, "batch", parts, 0.0)
        # float16 has three digits.
        np.testing.assert_allclose(received[0], expected[0], rtol=2e-2, atol=0.1)

    def test_prediction_uses_the_replicas_own_images(self, two_cpu_devices):
        strategy = self._mirrored(two_cpu_devices)
        with strategy.scope():
            layer = _layer("batch")
        outputs = strategy.run(lambda: layer(tf.constant(IMAGES), training=False))
        for local in strategy.experimental_local_results(outputs):
            np.testing.assert_array_equal(local, _layer("batch")(IMAGES, training=False))


class TestContract:
    @pytest.mark.parametrize("statistics", STATISTICS)
    def test_saves_and_loads(self, statistics, tmp_path):
        model = keras.Sequential([keras.Input(IMAGES.shape[1:]), _layer(statistics)])
        model(IMAGES, training=True)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
        assert loaded.layers[-1].statistics == statistics

    def test_half_precision_stays_half(self):
        layer = BatchNormalization("instance", dtype="mixed_float16")
        assert layer(IMAGES.astype(np.float16)).dtype == "float16"

    def test_unknown_statistics(self):
        with pytest.raises(ValueError, match="`statistics` must be one of.*'batch'.*'layer'"):
            BatchNormalization("layer")
