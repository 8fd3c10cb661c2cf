"""The SavedModel: TensorFlow alone, fresh samples, clear errors."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from tensorflow.core.protobuf import saved_model_pb2

import bayes_by_hypernet as bbh
from bayes_by_hypernet import prediction
from bayes_by_hypernet.paper.posterior import Posterior

CHUNK = 20  # posterior samples that the exported model draws at once

# In a process that cannot import this package or Keras's own saved classes.
CLIENT = """
import sys
sys.modules["bayes_by_hypernet"] = None
import numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
x = np.load(sys.argv[2])
print(served.serve(x, num_samples=tf.constant(1))["mean"].numpy().tobytes().hex())
print(served.serve(x, num_samples=tf.constant(1))["mean"].numpy().tobytes().hex())
print(sorted(served.serving_default(x)), sorted(served.signatures))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    tf.random.set_seed(7)  # must not make the served draws repeatable
    keras.utils.set_random_seed(7)
    posterior = Posterior(tiny.method(), config=None)
    path = tmp_path_factory.mktemp("export") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "MAX_SAMPLE_BYTES", CHUNK * 4 * posterior.method.num_weights)
        assert bbh.export(posterior, path, input_range=(0.0, 1.0)) == path
    return posterior, path


class TestExport:
    def test_agrees_with_predict(self, exported):
        posterior, path = exported
        x = tiny.examples(6).images
        model = tf.saved_model.load(path)
        served = model.serve(x, num_samples=tf.constant(2000))
        expected = bbh.predict(posterior, x, num_samples=2000)
        # Means of 2,000 probabilities twice: standard errors of at most 0.5 / sqrt(2000) = 0.011.
        np.testing.assert_allclose(served["mean"], expected.mean, atol=0.06)
        np.testing.assert_allclose(served["entropy"], expected.entropy, atol=0.1)
        np.testing.assert_allclose(
            served["mutual_information"], expected.mutual_information, atol=0.1
        )
        assert {name: value.dtype for name, value in served.items()} == dict.fromkeys(
            ("mean", "entropy", "mutual_information"), tf.float32
        )

    @pytest.mark.parametrize("batch", [1, 17])
    def test_takes_any_batch_size_and_number_of_samples(self, exported, batch):
        served = tf.saved_model.load(exported[1])
        for num_samples in (1, CHUNK, CHUNK + 1, 2 * CHUNK + 5):
            outputs = served.serve(tiny.examples(batch).images, tf.constant(num_samples))
            assert outputs["mean"].shape == (batch, 3) and outputs["entropy"].shape == (batch,)
            np.testing.assert_allclose(np.sum(outputs["mean"], axis=1), 1, atol=1e-5)

    def test_one_sample_has_no_mutual_information(self, exported):
        served = tf.saved_model.load(exported[1])
        outputs = served.serve(tiny.examples(4).images, tf.constant(1))
        np.testing.assert_allclose(outputs["mutual_information"], 0, atol=1e-6)

    def test_two_processes_with_tensorflow_alone_draw_differently(self, exported, tmp_path):
        np.save(tmp_path / "x.npy", tiny.examples(3).images)
        command = [sys.executable, "-c", CLIENT, str(exported[1]), str(tmp_path / "x.npy")]
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        draws = []
        for process in processes:
            output, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
            *lines, names = output.splitlines()
            assert names == (
                "['entropy', 'mean', 'mutual_information'] ['serve', 'serving_default']"
            )
            draws += lines
        assert len(set(draws)) == 4  # within a process and across

    def test_holds_no_python_function_and_no_op_of_ours(self, exported):
        saved = saved_model_pb2.SavedModel.FromString((exported[1] / "saved_model.pb").read_bytes())
        graph = saved.meta_graphs[0].graph_def
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        operations = {node.op for node in nodes}
        assert "StatelessRandomNormalV2" in operations  # the check looks at the right place
        assert not {op for op in operations if "PyFunc" in op or "Bbh" in op or ">" in op}

    @pytest.mark.parametrize(
        "change, num_samples, message",
        [
            (lambda x: x, 0, "num_samples must be at least 1"),
            (lambda x: x * np.float32("nan"), 2, "x must be finite"),
            (lambda x: x + 1, 2, r"x must lie in \[0, 1\]"),
        ],
    )
    def test_bad_input_is_an_invalid_argument(self, exported, change, num_samples, message):
        served = tf.saved_model.load(exported[1])
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            served.serve(change(tiny.examples(2).images), tf.constant(num_samples))

    def test_serves_every_member_of_an_ensemble_whatever_the_memory(self, monkeypatch, tmp_path):
        monkeypatch.setattr(prediction, "MAX_SAMPLE_BYTES", 1)
        posterior, x = Posterior(tiny.method("ensemble", num_members=3), None), tiny.examples(4)
        members = posterior.method.members.values()
        expected = np.mean([tf.nn.softmax(m(x.images)) for m in members], axis=0)
        served = tf.saved_model.load(bbh.export(posterior, tmp_path / "model"))
        for _ in range(3):
            np.testing.assert_allclose(
                served.serving_default(x.images)["mean"], expected, atol=1e-5
            )

    def test_a_keras_model_is_exported_likewise(self, tmp_path):
        model = keras.Sequential(
            [
                keras.layers.Input((4,)),
                bbh.layers.DenseHypernet(3, hidden_units=(4, 8), num_train_examples=60),
            ]
        )
        bbh.export(model, tmp_path / "model")
        served = tf.saved_model.load(tmp_path / "model")
        x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
        outputs = served.serve(x, tf.constant(500))
        expected = bbh.predict(model, x, num_samples=500)
        # Standard errors of at most 0.5 / sqrt(500) = 0.022 on either side.
        np.testing.assert_allclose(outputs["mean"], expected.mean, atol=0.1)
        assert np.abs(served.serve(x, tf.constant(1))["mean"] - outputs["mean"]).max() > 1e-3

    @pytest.mark.parametrize("as_dict", [False, True])
    def test_several_inputs_keep_their_names_and_dtypes(self, as_dict, tmp_path):
        a, ids = keras.Input((4,), name="a"), keras.Input((2,), dtype="int64", name="ids")
        embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 3)(ids))
        outputs = bbh.layers.DenseFlipout(3, num_train_examples=9)(
            keras.layers.concatenate([a, embedded])
        )
        model = keras.Model({"a": a, "ids": ids} if as_dict else [a, ids], outputs)
        served = tf.saved_model.load(bbh.export(model, tmp_path / "model"))
        x = {"a": np.ones((2, 4), np.float32), "ids": np.array([[1, 2], [3, 4]])}
        given = x if as_dict else list(x.values())
        expected = bbh.predict(model, given, 500)
        found = served.serve(given, num_samples=tf.constant(500))
        np.testing.assert_allclose(found["mean"], expected.mean, atol=0.1)
        _, signature = served.signatures["serving_default"].structured_input_signature
        assert {n: s.dtype for n, s in signature.items()} == {"a": tf.float32, "ids": tf.int64}
        found = served.signatures["serving_default"](
            a=tf.constant(x["a"]), ids=tf.constant(x["ids"])
        )
        np.testing.assert_allclose(found["mean"], expected.mean, atol=0.2)
        with pytest.raises(tf.errors.InvalidArgumentError, match="a must be finite"):
            bad = {**x, "a": x["a"] * np.float32("nan")}
            served.serve(bad if as_dict else list(bad.values()), num_samples=tf.constant(1))

    def test_probabilities_are_served_as_they_are(self, tmp_path):
        layers = [keras.Input((4,)), bbh.layers.DenseFlipout(3, num_train_examples=9)]
        model = keras.Sequential([*layers, keras.layers.Softmax()])
        x = np.full((2, 4), 3, np.float32)
        served = tf.saved_model.load(bbh.export(model, tmp_path / "model", from_logits=False))
        expected = bbh.predict(model, x, 300, from_logits=False)
        np.testing.assert_allclose(served.serving_default(x)["mean"], expected.mean, atol=0.1)

    def test_abstains_above_a_threshold(self, tmp_path):
        dense = keras.layers.Dense(2, kernel_initializer="ones", name="dense")
        model = keras.Sequential([keras.Input((2,)), dense])
        dense.kernel.assign(np.eye(2))
        abstention = bbh.decisions.fit_abstention([0.1, 0.4, 0.6], [0, 0, 1], risk=0.1)
        assert abstention.threshold == 0.4
        path = bbh.export(model, tmp_path / "model", abstention=abstention)
        served = tf.saved_model.load(path)
        x = np.array([[9, 0], [1, 1], [0, 2.0]], np.float32)  # entropies 0.001, 0.693, 0.365
        answers = served.serving_default(x)
        np.testing.assert_array_equal(answers["abstain"], [False, True, False])
        np.testing.assert_array_equal(answers["abstain"], abstention.abstain(answers["entropy"]))
        with pytest.raises(ValueError, match="`abstain_score` must be one of.*'std'"):
            bbh.export(model, tmp_path / "other", abstention=1.0, abstain_score="std")
        with pytest.raises(ValueError, match="`abstention` must be a number"):
            bbh.export(model, tmp_path / "other", abstention="0.4")

    def test_a_list_of_models_is_served(self, tmp_path):
        models = [
            keras.Sequential([keras.Input((4,)), *[keras.layers.Dense(u) for u in units]])
            for units in [(3,), (5, 3)]
        ]
        x = np.ones((2, 4), np.float32)
        expected = np.mean([tf.nn.softmax(model(x)) for model in models], axis=0)
        served = tf.saved_model.load(bbh.export(models, tmp_path / "model"))
        np.testing.assert_allclose(served.serving_default(x)["mean"], expected, atol=1e-5)

    def test_bad_arguments(self, tmp_path):
        posterior = Posterior(tiny.method("map"), config=None)
        with pytest.raises(ValueError, match=r"input_range=\(1, 0\)"):
            bbh.export(posterior, tmp_path, input_range=(1, 0))

        class Subclassed(keras.Model):
            def call(self, inputs):
                return inputs

        with pytest.raises(ValueError, match="input shape"):
            bbh.export(Subclassed(), tmp_path)
