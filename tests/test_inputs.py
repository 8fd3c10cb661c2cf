"""What models are called with: every kind that Keras's `predict` takes, and what is refused."""

import concurrent.futures
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import bayes_by_hypernet as bbh
from bayes_by_hypernet.inputs import Inputs

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(10, 4)).astype("float32"), RNG.normal(size=(10, 2)).astype("float32")


class Batches(keras.utils.PyDataset):
    def __init__(self, labelled):
        super().__init__()
        self.labelled = labelled

    def __len__(self):
        return 3

    def __getitem__(self, i):
        x = A[4 * i : 4 * i + 4]
        return (x, np.zeros(len(x))) if self.labelled else x


def bayesian(model):
    return bbh.bayesify(model, "mean_field", num_train_examples=10, verbose=False, seed=1)


@pytest.fixture(scope="module")
def one():
    return bayesian(keras.Sequential([keras.Input((4,), name="a"), keras.layers.Dense(3)]))


def _two(as_dict):
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    outputs = keras.layers.Dense(3)(keras.layers.concatenate([a, b]))
    return bayesian(keras.Model({"a": a, "b": b} if as_dict else [a, b], outputs))


def sliced(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(4)


ONE = {
    "tensor": lambda: tf.constant(A),
    "list of numbers": lambda: A.tolist(),
    "float64": lambda: A.astype(float),
    "list of one array": lambda: [A],
    "dict of one array": lambda: {"a": A},
    "tf.data": lambda: sliced(A),
    "tf.data with labels": lambda: sliced(A, np.zeros(10)),
    "PyDataset": lambda: Batches(False),
    "PyDataset with labels": lambda: Batches(True),
    "generator": lambda: (A[i : i + 4] for i in (0, 4, 8)),
    "generator with labels": lambda: ((A[i : i + 4], i) for i in (0, 4, 8)),
}


class TestPredict:
    @pytest.mark.parametrize("kind", ONE)
    def test_every_kind_is_the_array(self, one, kind):
        expected = bbh.predict(one, A, 5, seed=1)
        found = bbh.predict(one, ONE[kind](), 5, seed=1)
        np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
        np.testing.assert_allclose(found.epistemic, expected.epistemic, atol=1e-6)

    @pytest.mark.parametrize("kind", ["tf.data", "generator"])
    def test_samples_in_chunks_read_a_data_set_once(self, one, kind, monkeypatch):
        monkeypatch.setattr("bayes_by_hypernet.prediction.MAX_SAMPLE_BYTES", 150)
        found = bbh.predict(one, ONE[kind](), 5, seed=1, return_samples=True)
        expected = bbh.predict(one, A, 5, seed=1, return_samples=True)
        np.testing.assert_allclose(found.samples, expected.samples, atol=1e-6)

    @pytest.mark.parametrize("as_dict", [False, True])
    def test_several_inputs(self, as_dict):
        model = _two(as_dict)
        kinds = [{"a": A, "b": B}, sliced({"a": A, "b": B})]
        kinds += [] if as_dict else [[A, B], (A, B), sliced((A, B), np.zeros(10))]
        answers = [bbh.predict(model, x, 5, seed=1, batch_size=3).mean for x in kinds]
        for answer in answers[1:]:
            np.testing.assert_allclose(answer, answers[0], atol=1e-6)
        moved = bbh.predict(model, {"a": A, "b": B + 1}, 5, seed=1).mean
        assert np.abs(moved - answers[0]).max() > 1e-3  # both inputs matter

    def test_integers_stay_integers(self):
        ids = keras.Input((), dtype="int64")
        hashed = keras.layers.Lambda(
            lambda x: tf.one_hot(tf.cast(x % 5, tf.int32), 5), output_shape=(5,)
        )(ids)
        model = bayesian(keras.Model(ids, keras.layers.Dense(3)(hashed)))
        near = np.array([2**24, 2**24 + 1])  # one number in float32
        samples = bbh.predict(model, near, 3, seed=1, return_samples=True).samples
        assert np.abs(samples[:, 0] - samples[:, 1]).max() > 1e-3

    def test_strings(self):
        words = keras.Input((1,), dtype="string")
        lookup = keras.layers.StringLookup(vocabulary=["no", "yes"], output_mode="one_hot")
        model = bayesian(keras.Model(words, keras.layers.Dense(2)(lookup(words))))
        for array in (np.array([["yes"], ["no"]]), np.array([["yes"], ["no"]], object)):
            mean = bbh.predict(model, array, 3, seed=1).mean
            assert mean.shape == (2, 2) and np.abs(mean[0] - mean[1]).max() > 1e-3

    def test_output_without_a_last_axis(self):
        inputs = keras.Input((4,))
        outputs = keras.layers.Lambda(lambda y: y[:, 0], output_shape=())(
            bbh.layers.DenseFlipout(1, num_train_examples=10)(inputs)
        )
        model = keras.Model(inputs, outputs)
        prediction = bbh.predict(model, A, 3, likelihood="gaussian")
        assert prediction.mean.shape == prediction.std.shape == (10,)

    def test_a_subclassed_model_that_knows_no_shapes(self):
        class Subclassed(keras.Model):
            def __init__(self):
                super().__init__()
                self.dense = bbh.layers.DenseFlipout(3, num_train_examples=10)

            def call(self, inputs):
                return {"logits": self.dense(inputs)}

        model = Subclassed()
        assert bbh.predict(model, A, 3)["logits"].mean.shape == (10, 3)
        with pytest.raises(ValueError, match="must not be a generator"):
            bbh.predict(Subclassed(), (A[:4] for _ in range(2)), 3)

    @pytest.mark.parametrize(
        "x, message",
        [
            (np.zeros((0, 4)), "at least one input"),
            (np.zeros((2, 5)), r"shape \(N, 4\). Received: shape \(2, 5\)"),
            (np.array(3.0), "at least one input"),
            (np.full((2, 4), np.inf), "finite"),
            (np.full((2, 4), 1e300), "beyond the range of float32"),
            (np.full((2, 4), "a"), "dtype float32"),
            (np.full((2, 4), 1j), "real"),
            (np.full((2, 4), None), "numbers or strings"),
            ([[1.0] * 4, [1.0]], "array of numbers"),
            ({"wrong": A}, r"keys \['a'\].*\['wrong'\]"),
            (tf.data.Dataset.from_tensor_slices(A), "batch the data set"),
            (sliced(A).repeat(), "data set that ends"),
            (sliced(A).take(0), "without batches"),
            (tf.ragged.constant([[1.0], [2.0, 3.0]]), "dense"),
            (tf.sparse.from_dense(A), "dense"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, one, x, message):
        with pytest.raises(ValueError, match=f"(?s)Argument `x.*{message}"):
            bbh.predict(one, x, 2)

    @pytest.mark.parametrize(
        "x, message",
        [
            ([A], "list of 2 inputs"),
            (A, "list of 2 inputs"),
            ([A, B[:5]], r"as many examples.*\[5, 10\]"),
            ([A, A], r"x\['b'\].*shape \(N, 2\)"),
        ],
    )
    def test_several_inputs_that_do_not_fit(self, x, message):
        with pytest.raises(ValueError, match=message):
            bbh.predict(_two(False), x, 2)

    def test_an_integer_input_refuses_what_it_cannot_hold(self):
        ids = keras.Input((2,), dtype="int32")
        model = bayesian(keras.Model(ids, keras.layers.Dense(2)(keras.layers.Embedding(3, 2)(ids))))
        for bad in ([[0.5, 1.0]], [[2**40, 0]]):
            with pytest.raises(ValueError, match="int32 can hold"):
                bbh.predict(model, np.array(bad), 2)
        assert bbh.predict(model, np.array([[1.0, 2.0]]), 2).mean.shape == (1, 2, 2)


LABELS = np.arange(10) % 3


class LabelledPairs(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        part = slice(4 * i, 4 * i + 4)
        return {"a": A[part], "b": B[part]}, LABELS[part]


class TestOtherOperations:
    @pytest.mark.parametrize(
        "as_dict, data",
        [
            (False, lambda: ([A, B], LABELS)),
            (True, lambda: ({"a": A, "b": B}, LABELS)),
            (True, lambda: (sliced({"a": A, "b": B}, LABELS),)),
            (True, lambda: (LabelledPairs(),)),
            (True, lambda: (({"a": A, "b": B}, LABELS) for _ in range(3))),
        ],
    )
    def test_fit(self, as_dict, data):
        model = _two(as_dict)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        given = data()
        given = given if isinstance(given, tuple) else (given,)
        history = model.fit(*given, epochs=1, verbose=0).history
        assert np.isfinite(history["nll"]).all() and history["kl_per_example"][0] > 0

    @pytest.mark.parametrize("kind", ["tensor", "list of numbers", "float64", "dict of one array"])
    def test_attack(self, one, kind):
        expected = bbh.fast_sign_attack(one, A, LABELS, 0.1, 3, seed=1)
        found = bbh.fast_sign_attack(one, ONE[kind](), LABELS, 0.1, 3, seed=1)
        np.testing.assert_allclose(found, expected, atol=1e-6)

    @pytest.mark.parametrize("kind", ["tf.data", "PyDataset", "generator"])
    def test_an_attack_on_a_data_set_is_refused(self, one, kind):
        bbh.predict(one, A, 2)
        with pytest.raises(ValueError, match="`x` must be an array here"):
            bbh.fast_sign_attack(one, ONE[kind](), LABELS, 0.1, 3)

    def test_a_list_of_models_is_attacked(self):
        models = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2)]
        moved = bbh.fast_sign_attack(models, A, LABELS, 0.1)
        each = [bbh.fast_sign_attack(model, A, LABELS, 0.1) for model in models]
        np.testing.assert_allclose(moved, np.mean(each, axis=0), atol=1e-6)


class TestEnsembles:
    def _models(self, units):
        return [
            keras.Sequential([keras.Input((4,)), *[keras.layers.Dense(u) for u in each]])
            for each in units
        ]

    @pytest.mark.parametrize("units", [[(3,), (3,), (3,)], [(3,), (5, 3)]])
    def test_a_list_of_models_of_one_or_several_architectures(self, units, tmp_path):
        models = self._models(units)
        expected = np.mean([tf.nn.softmax(model(A)) for model in models], axis=0)
        paths = [tmp_path / f"{i}.keras" for i in range(len(models))]
        for model, path in zip(models, paths, strict=True):
            model.save(path)
        for given in (models, paths, tuple(map(str, paths))):
            prediction = bbh.predict(given, A, 100, seed=1)
            np.testing.assert_allclose(prediction.mean, expected, atol=1e-6)
        assert (prediction.epistemic > 1e-4).all()

    def test_the_path_of_one_model_keeps_its_loss(self, tmp_path):
        model = bayesian(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]))
        model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
        model.save(tmp_path / "one.keras")
        expected = bbh.predict(model, A, 4, seed=1).mean
        for given in (tmp_path / "one.keras", str(tmp_path / "one.keras")):
            found = bbh.predict(given, A, 4, seed=1).mean
            np.testing.assert_allclose(found, expected, atol=1e-6)
        served = tf.saved_model.load(bbh.export(tmp_path / "one.keras", tmp_path / "served"))
        assert served.serving_default(A)["mean"].shape == (10, 1)

    def test_posteriors_are_mixed(self):
        models = [bayesian(model) for model in self._models([(3,), (3,)])]
        samples = bbh.predict(models, A, 8, seed=1, return_samples=True).samples
        assert len(np.unique(samples[:, 0, 0])) == 8  # each its own draw
        alone = [bbh.predict(model, A, 4, seed=1).mean for model in models]
        np.testing.assert_allclose(samples.mean(axis=0), np.mean(alone, axis=0), atol=0.02)

    def test_models_that_do_not_fit_together(self):
        models = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(u)]) for u in (3, 2)]
        with pytest.raises(ValueError, match="same inputs and outputs"):
            bbh.predict(models, A, 2)
        with pytest.raises(ValueError, match="at least one model"):
            bbh.predict([], A, 2)
        with pytest.raises(ValueError, match="`model` must be a Keras model"):
            bbh.predict(np.zeros(3), A, 2)


class TestInference:
    """Which likelihood is meant where none is named."""

    def _model(self, units, loss=None, last=None):
        layers = [keras.Input((4,)), bbh.layers.DenseFlipout(units, num_train_examples=10)]
        model = keras.Sequential([*layers, *([keras.layers.Activation(last)] if last else [])])
        if loss is not None:
            model.compile("adam", loss)
        return model

    def test_one_unit_that_nothing_names_is_refused(self):
        with pytest.raises(ValueError, match='likelihood="bernoulli"'):
            bbh.predict(self._model(1), A, 2)
        with pytest.raises(ValueError, match='likelihood="bernoulli"'):
            bbh.export(self._model(1), "/nowhere")

    def test_the_compiled_loss_decides(self):
        losses = keras.losses
        binary = bbh.predict(self._model(1, losses.BinaryCrossentropy(from_logits=True)), A, 3)
        assert ((binary.mean > 0) & (binary.mean < 1)).all() and binary.entropy.shape == (10,)
        moments = bbh.predict(self._model(1, "huber"), A, 3)
        assert isinstance(moments, bbh.GaussianPrediction) and moments.aleatoric is None
        softmax = self._model(3, "categorical_crossentropy", "softmax")
        samples = bbh.predict(softmax, A, 1, seed=1, return_samples=True).samples
        np.testing.assert_allclose(samples.sum(axis=-1), 1, atol=1e-5)
        twice = bbh.predict(softmax, A, 1, seed=1, from_logits=True).mean
        np.testing.assert_allclose(twice, tf.nn.softmax(samples[0]), atol=1e-6)

    def test_a_loss_without_a_likelihood_is_refused(self):
        with pytest.raises(ValueError, match="poisson.*pass `likelihood`"):
            bbh.predict(self._model(3, "poisson"), A, 2)

    def test_an_unknown_loss_is_said_to_be_taken_for_classes(self):
        with pytest.warns(UserWarning, match="taken for logits of classes"):
            bbh.predict(self._model(3, lambda y, p: tf.reduce_mean(y - p)), A, 2)

    def test_probabilities_that_are_taken_for_logits_are_told(self):
        with pytest.warns(UserWarning, match="look like probabilities"):
            bbh.predict(self._model(3, last="softmax"), A, 2)

    def test_a_model_that_draws_nothing_is_told(self):
        plain = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
        )
        with pytest.warns(UserWarning, match="no epistemic uncertainty"):
            bbh.predict(plain, A, 3)

    @pytest.mark.parametrize(
        "layer",
        [
            lambda: keras.layers.Dropout(0.5),
            lambda: keras.layers.SpatialDropout1D(0.5),
            lambda: keras.layers.GaussianNoise(1.0),
            lambda: keras.layers.LSTM(3, dropout=0.5),
        ],
    )
    def test_layers_that_their_author_keeps_active_differ(self, layer):
        inputs = keras.Input((2, 2))
        hidden = keras.layers.Flatten()(layer()(inputs, training=True))
        model = keras.Model(inputs, keras.layers.Dense(3)(hidden))
        prediction = bbh.predict(model, A.reshape(10, 2, 2), 30, seed=1)
        assert (prediction.epistemic > 1e-4).any()


@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli", "gaussian"])
@pytest.mark.filterwarnings("ignore:All posterior samples")
def test_outputs_that_are_not_finite_are_refused(likelihood):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.set_weights([np.full((4, 3), np.nan), np.zeros(3)])
    with pytest.raises(ValueError, match="outputs must be finite"):
        bbh.predict(model, A, 2, likelihood=likelihood)


class TestCompiledOnce:
    def test_a_second_call_traces_nothing(self, one):
        def traces():
            return sum(
                function.experimental_get_tracing_count()
                for *_, made in vars(one)["_kept_by_predict"].values()
                for kept in made.values()
                if hasattr(kept, "_each")  # no attack's
                for function in (kept._draw, kept._sum, kept._each)
            )

        bbh.predict(one, A, 5)
        before = traces()
        for x, count, size in ((A, 5, 1000), (A[:1], 100, 1), (A[:7], 3, 4), (sliced(A), 2, 1)):
            bbh.predict(one, x, count, batch_size=size)
        bbh.predict(one, A, np.int64(5), seed=np.int64(3))
        assert traces() == before > 0

    def test_new_weights_count_and_another_loss_too(self):
        model = keras.Sequential(
            [keras.Input((4,)), bbh.layers.DenseFlipout(1, num_train_examples=10)]
        )
        before = bbh.predict(model, A, 3, seed=1, likelihood="bernoulli").mean
        model.set_weights([w + 1 if w.dtype == np.float32 else w for w in model.get_weights()])
        after = bbh.predict(model, A, 3, seed=1, likelihood="bernoulli").mean
        assert np.abs(before - after).max() > 0.01
        model.compile("adam", "mse")
        assert isinstance(bbh.predict(model, A, 3, seed=1), bbh.GaussianPrediction)

    def test_a_layer_that_is_replaced_counts(self):
        model = keras.Sequential(
            [keras.Input((4,)), bbh.layers.DenseFlipout(3, num_train_examples=10)]
        )
        assert bbh.predict(model, A, 2).mean.shape == (10, 3)
        model.pop()
        model.add(bbh.layers.DenseFlipout(5, num_train_examples=10))
        assert bbh.predict(model, A, 2).mean.shape == (10, 5)

    def test_eight_threads_give_the_answers_of_one(self):
        model = bayesian(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:  # also the first calls, which trace
            answers = list(pool.map(lambda i: bbh.predict(model, A, 4, seed=i).mean, range(16)))
        for i, answer in enumerate(answers):
            np.testing.assert_allclose(answer, bbh.predict(model, A, 4, seed=i).mean, atol=1e-7)


class TestSeeds:
    def test_set_random_seed_makes_fresh_draws_repeatable(self, one):
        answers = []
        for seed in (1, 1, 2):
            keras.utils.set_random_seed(seed)
            answers.append([bbh.predict(one, A, 3).mean for _ in range(2)])
        np.testing.assert_array_equal(answers[0], answers[1])
        assert np.abs(answers[0][0] - answers[0][1]).max() > 1e-4
        assert np.abs(answers[0][0] - answers[2][0]).max() > 1e-4

    def test_under_op_determinism(self):
        code = """
import keras, numpy as np, tensorflow as tf, bayes_by_hypernet as bbh
tf.config.experimental.enable_op_determinism()
keras.utils.set_random_seed(0)
x = np.ones((3, 4), "float32")
dense = bbh.layers.DenseHypernet(3, hidden_units=(4,), num_train_examples=9)
model = keras.Sequential([keras.Input((4,)), dense, bbh.layers.MCDropout(0.5)])
a, b, c = (bbh.predict(model, x, 5, seed=s).mean for s in (1, 1, 2))
assert (a == b).all() and abs(a - c).max() > 1e-4
bbh.predict(model, x, 5)
"""
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-2000:]


class TestInputs:
    def test_a_fixed_batch_size_is_kept(self):
        spec = keras.KerasTensor((5, 4), "float32", name="a")
        assert [len(batch) for batch in Inputs(A, spec, 1000)] == [5, 5]
        with pytest.raises(ValueError, match="a multiple of 5 inputs.*9"):
            Inputs(A[:9], spec, 1000)

    def test_data_sets_are_cut_anew_where_the_batch_matters(self):
        spec = keras.KerasTensor((None, 4), "float32", name="a")
        batches = list(Inputs(sliced(A), spec, 7, rebatch=True))
        assert [len(batch) for batch in batches] == [7, 3]
        np.testing.assert_array_equal(np.concatenate(batches), A)
