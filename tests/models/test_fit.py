"""`bayesify` on models that people build: they learn, are saved, reloaded, exported and served."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayes_by_hypernet as bbh

NUM = 192
NUM_TRAIN_EXAMPLES = 20 * NUM  # as of a larger set: the KL does not dominate
UNITS = {"hidden_units": (8, 16)}


def _mlp():
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3)]
    )


def _resnet():
    """A convolution, one residual unit with batch normalisation, global pooling."""
    images = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(images)
    y = keras.layers.Conv2D(8, 3, padding="same")(x)
    x = keras.layers.Add()([x, keras.layers.BatchNormalization(momentum=0.8)(y)])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    return keras.Model(images, keras.layers.Dense(3)(x))


def _lstm():
    """Token ids, of which 0 is padding."""
    ids = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(12, 8, mask_zero=True)(ids)
    return keras.Model(ids, keras.layers.Dense(3)(keras.layers.LSTM(8)(x)))


def _transformer():
    ids = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(12, 8)(ids)
    attended = keras.layers.MultiHeadAttention(2, 4)(x, x)
    x = keras.layers.LayerNormalization()(keras.layers.Add()([x, attended]))
    x = keras.layers.LayerNormalization()(keras.layers.Add()([x, keras.layers.Dense(8)(x)]))
    return keras.Model(ids, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x)))


MODELS = {"mlp": _mlp, "resnet": _resnet, "lstm": _lstm, "transformer": _transformer}


def _data(name):
    """Inputs whose class shows in their mean (numbers) or in most of their tokens."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, NUM)
    if name in ("lstm", "transformer"):
        ids = 1 + 3 * labels[:, np.newaxis] + rng.integers(0, 3, (NUM, 6))
        return ids.astype(np.int32), labels
    shape = {"mlp": (6,), "resnet": (8, 8, 2)}[name]
    noise = rng.normal(size=(NUM, *shape)).astype(np.float32)
    return noise + 2 * (labels - 1).reshape(-1, *[1] * len(shape)).astype(np.float32), labels


def _fitted(name, method="hypernet", epochs=8, compile_arguments=None, **options):
    x, y = _data(name)
    options = {**(UNITS if method == "hypernet" else {}), **options}
    model = bbh.bayesify(
        MODELS[name](),
        method,
        num_train_examples=NUM_TRAIN_EXAMPLES,
        seed=1,
        verbose=False,
        **options,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(bbh.FusedAdam(1e-2), loss, metrics=["accuracy"], **(compile_arguments or {}))
    history = model.fit(x, y, epochs=epochs, batch_size=32, verbose=0)
    return model, history.history


class TestLearns:
    @pytest.mark.parametrize("name", MODELS)
    def test_hypernetworks(self, name):
        model, history = _fitted(name)
        assert set(history) == {"loss", "nll", "kl_per_example", "accuracy"}
        # Three classes at random: an accuracy of 1/3, a likelihood of log 3 nats.
        x, y = _data(name)
        prediction = bbh.predict(model, x, num_samples=20, seed=2)
        assert np.mean(prediction.mean.argmax(axis=-1) == y) > 0.8
        assert history["nll"][-1] < 0.7 * np.log(3)
        assert prediction.mutual_information.max() > 1e-4, "the samples should disagree"

    @pytest.mark.parametrize("method", ["mean_field", "flipout", "reparameterization", "map"])
    def test_other_methods(self, method):
        model, history = _fitted("mlp", method)
        assert history["nll"][-1] < 0.7 * np.log(3)
        assert history["loss"][-1] == pytest.approx(
            # The last epoch's means of both terms: the loss is their sum at every step.
            history["nll"][-1] + history["kl_per_example"][-1],
            rel=1e-4,
        )

    def test_the_architectures(self):
        for options in (
            {"architecture": "sliced", "num_likelihood_samples": 2},
            {"architecture": "single", "noise_dim": 4},
            {"architecture": "chunked", "chunk_size": 64, "embedding_dim": 8},
        ):
            _, history = _fitted("mlp", epochs=12, **options)
            assert history["nll"][-1] < 0.8 * np.log(3), options

    def test_an_optimizer_of_keras(self):
        x, y = _data("mlp")
        results = []
        for optimizer in (bbh.FusedAdam(1e-2), keras.optimizers.Adam(1e-2)):
            keras.utils.set_random_seed(4)
            model = bbh.bayesify(
                _mlp(), num_train_examples=NUM_TRAIN_EXAMPLES, seed=1, verbose=False, **UNITS
            )
            model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            history = model.fit(x, y, batch_size=64, verbose=0, shuffle=False).history
            results.append(history["loss"][0])
        # Three steps of the same arithmetic, in another order of operations.
        np.testing.assert_allclose(*results, rtol=1e-4)


class TestKeepsItsPosterior:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", MODELS)
    def test_reloaded_in_another_process_and_served(self, name, tmp_path):
        model, _ = _fitted(name, epochs=1)
        x = _data(name)[0][:5]
        expected = bbh.predict(model, x, num_samples=3, seed=7).mean
        model.save(tmp_path / "model.keras")
        bbh.export(model, tmp_path / "served")
        np.save(tmp_path / "x.npy", x)
        program = f"""
            import keras, numpy as np, tensorflow as tf
            import bayes_by_hypernet as bbh
            x = np.load("{tmp_path}/x.npy")
            model = keras.models.load_model("{tmp_path}/model.keras")
            np.save("{tmp_path}/mean.npy", bbh.predict(model, x, num_samples=3, seed=7).mean)
            served = tf.saved_model.load("{tmp_path}/served")
            np.save("{tmp_path}/served.npy", served.serve(x, tf.constant(200))["mean"])
            model.fit(x, np.zeros(5, int), verbose=0)  # still compiled
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
        np.testing.assert_allclose(np.load(tmp_path / "mean.npy"), expected, atol=1e-6)
        served = np.load(tmp_path / "served.npy")
        many = bbh.predict(model, x, num_samples=200, seed=8).mean
        # Two means over 200 samples of probabilities, whose standard deviation is at most 1/2:
        # 0.05 each, and five of those of their difference for the largest of 15 numbers.
        assert np.abs(served - many).max() < 5 * 0.5 / np.sqrt(200) * np.sqrt(2)

    def test_fits_on_after_reloading(self, tmp_path):
        model, history = _fitted("mlp", epochs=4)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        x, y = _data("mlp")
        further = again.fit(x, y, batch_size=32, epochs=2, verbose=0).history
        assert further["loss"][-1] < history["loss"][-1]


class TestElsewhere:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["mlp", "resnet"])
    def test_under_xla(self, name):
        _, history = _fitted(name, epochs=8, compile_arguments={"jit_compile": True})
        assert history["nll"][-1] < 0.7 * np.log(3)

    @pytest.mark.parametrize("name", ["mlp", "transformer"])
    def test_in_mixed_precision(self, name):
        keras.config.set_dtype_policy("mixed_bfloat16")
        model, history = _fitted(name)
        assert {v.dtype for v in model.trainable_variables} == {"float32"}
        assert history["nll"][-1] < 0.7 * np.log(3)

    def test_under_a_mirrored_strategy_as_on_one_device(self, two_cpu_devices):
        losses = _losses_on_one_device_and_two(_mlp, *_data("mlp"), two_cpu_devices)
        np.testing.assert_allclose(*losses, rtol=1e-4)  # sums over replicas in another order

    @pytest.mark.parametrize("statistics", ["batch", "moving"])
    def test_batch_statistics_are_of_the_global_batch(self, two_cpu_devices, statistics):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 3, 64)
        images = rng.random((64, 4, 4, 1)).astype(np.float32) + labels[:, None, None, None]
        images[32:] *= 5  # the second replica's: their statistics are others

        def network():
            inputs = keras.Input(images.shape[1:])
            x = bbh.layers.BatchNormalization(statistics)(keras.layers.Conv2D(2, 3)(inputs))
            return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))

        losses = _losses_on_one_device_and_two(network, images, labels, two_cpu_devices)
        np.testing.assert_allclose(*losses, rtol=1e-4)


def _losses_on_one_device_and_two(network, x, y, devices):
    """Returns loss, NLL and KL of `fit` under each of two strategies."""
    losses = []
    for strategy in (
        tf.distribute.get_strategy(),
        # Collectives of several strategies in one process disturb each other.
        tf.distribute.MirroredStrategy(
            devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
        ),
    ):
        keras.utils.set_random_seed(4)
        with strategy.scope():
            model = bbh.bayesify(
                network(), num_train_examples=NUM_TRAIN_EXAMPLES, seed=1, verbose=False, **UNITS
            )
            model.compile(
                bbh.FusedAdam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            )
        history = model.fit(x, y, batch_size=64, epochs=1, verbose=0, shuffle=False).history
        losses.append([history[name][0] for name in ("loss", "nll", "kl_per_example")])
    return losses


class TestApplications:
    @pytest.mark.slow
    def test_mobilenet_with_a_chunked_hypernetwork(self):
        network = keras.applications.MobileNetV3Small(
            input_shape=(32, 32, 3),
            weights=None,
            classes=3,
            classifier_activation=None,
            include_preprocessing=False,
        )
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 3, 60)
        images = 0.3 * rng.random((60, 32, 32, 3)).astype(np.float32)
        for image, label in zip(images, labels, strict=True):
            image[..., label] += 0.7
        model = bbh.bayesify(
            network,
            architecture="chunked",
            num_train_examples=100_000,
            num_samples=2,
            pretrained=True,
            verbose=False,
            **UNITS,
        )
        assert model.num_parameters < network.count_params()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(bbh.FusedAdam(1e-3), loss, metrics=["accuracy"])
        history = model.fit(images, labels, batch_size=20, epochs=6, verbose=0).history
        assert history["accuracy"][-1] > 0.6  # at random: 1/3


class TestSeveralOutputs:
    def test_the_log_shows_the_loss_of_each(self):
        x, y = _data("mlp")
        inputs = keras.Input((6,))
        hidden = keras.layers.Dense(8, "relu")(inputs)
        outputs = {
            name: keras.layers.Dense(size, name=name)(hidden)
            for name, size in (("kind", 3), ("amount", 1))
        }
        model = bbh.bayesify(
            keras.Model(inputs, outputs),
            num_train_examples=NUM_TRAIN_EXAMPLES,
            verbose=False,
            **UNITS,
        )
        losses = {
            "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "amount": "mean_squared_error",
        }
        model.compile("adam", losses, metrics={"kind": ["accuracy"]})
        targets = {"kind": y, "amount": x[:, :1]}
        history = model.fit(x, targets, validation_data=(x, targets), verbose=0).history
        for prefix in ("", "val_"):
            total = history[f"{prefix}kind_loss"][0] + history[f"{prefix}amount_loss"][0]
            # Means over batches of the same size.
            assert total == pytest.approx(history[f"{prefix}nll"][0], rel=1e-4)
            assert total > 0

    def test_positions_of_any_number_share_the_kl(self):
        """Sequences of a length that is known only when they come: the loss is their mean."""
        inputs = keras.Input((None, 3))
        network = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        model = bbh.bayesify(network, "mean_field", num_train_examples=50, verbose=False)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        x, y = np.zeros((8, 7, 3), np.float32), np.zeros((8, 7), np.int64)
        history = model.fit(x, y, verbose=0).history
        expected = history["nll"][0] + history["kl_per_example"][0] / 7
        assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
