"""Every task by every operation: the cells of the table in docs/tasks.md."""

import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats
from sklearn import metrics as sklearn_metrics

import bayes_by_hypernet as bbh
from bayes_by_hypernet.likelihoods import Bernoulli, Categorical, Gaussian

RNG = np.random.default_rng(0)
N, SAMPLES = 64, 6
FEATURES = RNG.normal(size=(N, 4)).astype(np.float32)
STEPS = RNG.normal(size=(N, 5, 3)).astype(np.float32)
IMAGES = RNG.normal(size=(N, 6, 6, 2)).astype(np.float32)
SLOPES = np.array([[2.0, -1.0], [1.0, 0.5], [0.0, 1.0], [-1.0, 0.0]])
TARGETS = (FEATURES @ SLOPES).astype(np.float32)


def dense(units, *last):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), *last])


def steps(units):
    return keras.Sequential(
        [keras.Input((5, 3)), keras.layers.GRU(4, return_sequences=True), keras.layers.Dense(units)]
    )


def pixels(units):
    return keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(units, 3, padding="same")])


def two_heads():
    x = keras.Input((4,))
    outputs = {
        "kind": keras.layers.Dense(3, name="k")(x),
        "size": keras.layers.Dense(1, name="s")(x),
    }
    return keras.Model(x, outputs)


KINDS = FEATURES[:, :3].argmax(axis=1)
# Task: model, compiled loss, inputs, labels, likelihood that must be inferred.
TASKS = {
    "classes": (
        lambda: dense(3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        FEATURES,
        KINDS,
        Categorical(),
    ),
    "classes, softmax": (
        lambda: dense(3, keras.layers.Softmax()),
        "sparse_categorical_crossentropy",
        FEATURES,
        KINDS,
        Categorical(from_logits=False),
    ),
    "binary": (
        lambda: dense(1),
        keras.losses.BinaryCrossentropy(from_logits=True),
        FEATURES,
        (FEATURES[:, 0] > 0).astype(np.float32)[:, None],
        Bernoulli(),
    ),
    "binary, sigmoid": (
        lambda: dense(1, keras.layers.Activation("sigmoid")),
        "binary_crossentropy",
        FEATURES,
        (FEATURES[:, 0] > 0).astype(np.float32)[:, None],
        Bernoulli(from_logits=False),
    ),
    "multi-label": (
        lambda: dense(3),
        Bernoulli(),
        FEATURES,
        (FEATURES[:, :3] > 0).astype(np.float32),
        Bernoulli(),
    ),
    "regression": (lambda: dense(2), "mse", FEATURES, TARGETS, Gaussian()),
    "regression, known noise": (
        lambda: dense(2),
        Gaussian([0.5, 1.5]),
        FEATURES,
        TARGETS,
        Gaussian([0.5, 1.5]),
    ),
    "regression, learned noise": (
        lambda: dense(2, bbh.layers.LearnedStddev(per_output=True)),
        Gaussian("learned"),
        FEATURES,
        TARGETS,
        Gaussian("learned"),
    ),
    "regression, heteroscedastic": (
        lambda: dense(4),
        Gaussian("learned"),
        FEATURES,
        TARGETS,
        Gaussian("learned"),
    ),
    "sequence": (
        lambda: steps(3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        STEPS,
        STEPS.argmax(axis=-1),
        Categorical(),
    ),
    "segmentation": (
        lambda: pixels(3),
        Categorical(),
        IMAGES,
        (IMAGES[..., 0] > 0).astype(int) + (IMAGES[..., 1] > 0),
        Categorical(),
    ),
    "segmentation, binary": (
        lambda: pixels(1),
        Bernoulli(),
        IMAGES,
        (IMAGES[..., :1] > 0).astype(np.float32),
        Bernoulli(),
    ),
}
OPERATIONS = ("fit", "predict", "measure", "attack", "export and serve")
_fitted = {}


def fitted(task):
    """Returns the task's model after a short training, its history, inputs and labels."""
    if task not in _fitted:
        make, loss, x, y, _ = TASKS[task]
        keras.utils.set_random_seed(1)
        model = bbh.bayesify(make(), "mean_field", num_train_examples=N, verbose=False, seed=1)
        model.compile(keras.optimizers.Adam(0.05), loss)
        history = model.fit(x, y, epochs=6, batch_size=32, verbose=0)
        _fitted[task] = model, history.history, x, y
    return _fitted[task]


def entropy(probs):
    return -special.xlogy(probs, probs).sum(axis=-1)


def binary_entropy(probs):
    values = -special.xlogy(probs, probs) - special.xlog1py(1 - probs, -probs)
    return values[..., 0] if values.shape[-1] == 1 else values


def losses(task, prediction, labels):
    """NLL of the predictive mean for each example, for comparing before and after an attack."""
    likelihood = TASKS[task][-1]
    if isinstance(likelihood, Categorical):
        probs = np.take_along_axis(prediction.mean, labels[..., None], axis=-1)
        return -np.log(probs).reshape(N, -1).mean(axis=1)
    if isinstance(likelihood, Bernoulli):
        probs = np.where(labels > 0.5, prediction.mean, 1 - prediction.mean)
        return -np.log(probs).reshape(N, -1).mean(axis=1)
    if prediction.total is not None:
        density = stats.norm.logpdf(labels, prediction.mean, np.sqrt(prediction.total))
        return -density.mean(axis=1)
    return ((prediction.mean - labels) ** 2).mean(axis=1)


@pytest.mark.parametrize("task", TASKS)
class TestTask:
    def test_fit(self, task):
        _, history, _, _ = fitted(task)
        assert (
            np.isfinite(history["loss"]).all() and (np.array(history["kl_per_example"]) > 0).all()
        )
        assert history["nll"][-1] < history["nll"][0]

    def test_predict(self, task):
        model, _, x, _ = fitted(task)
        likelihood = TASKS[task][-1]
        prediction = bbh.predict(model, x, SAMPLES, seed=3, return_samples=True)
        again = bbh.predict(model, x, SAMPLES, seed=3, batch_size=10)
        samples = prediction.samples
        assert samples.shape == (SAMPLES, *prediction.mean.shape)
        np.testing.assert_allclose(prediction.mean, samples.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(again.mean, prediction.mean, atol=1e-5)
        assert np.abs(samples[0] - samples[1]).max() > 1e-4
        if isinstance(likelihood, Gaussian):
            spread = samples.var(axis=0)
            np.testing.assert_allclose(prediction.epistemic, spread, rtol=1e-3, atol=1e-8)
            self._check_noise(task, model, x, prediction)
            return
        of = entropy if isinstance(likelihood, Categorical) else binary_entropy
        assert prediction.entropy.shape == x.shape[:1] + {
            "sequence": (5,),
            "segmentation": (6, 6),
            "segmentation, binary": (6, 6),
            "multi-label": (3,),
        }.get(task, ())
        np.testing.assert_allclose(prediction.total, of(prediction.mean), atol=1e-5)
        aleatoric = of(samples).mean(axis=0)
        np.testing.assert_allclose(prediction.aleatoric, aleatoric, atol=1e-5)
        np.testing.assert_allclose(
            prediction.averaged["total"], prediction.total.reshape(N, -1).mean(axis=1)
        )

    def _check_noise(self, task, model, x, prediction):
        if task == "regression":
            assert prediction.aleatoric is None and prediction.total is None
            with pytest.raises(ValueError, match="`observation_noise` must be False"):
                prediction.quantile(0.5)
            return
        stddev = prediction.sample_stddev
        if task == "regression, known noise":
            np.testing.assert_allclose(stddev[0, 0], [0.5, 1.5])
        np.testing.assert_allclose(prediction.aleatoric, (stddev**2).mean(axis=0), rtol=1e-5)
        total = prediction.epistemic + prediction.aleatoric
        np.testing.assert_allclose(prediction.total, total)
        low, high = prediction.quantile([0.1, 0.9])
        for q, bound in ((0.1, low), (0.9, high)):  # the mixture's CDF at its quantile
            of_samples = stats.norm.cdf(bound, prediction.samples, stddev)
            np.testing.assert_allclose(of_samples.mean(axis=0), q, atol=1e-6)

    def test_measure(self, task):
        model, _, x, y = fitted(task)
        likelihood = TASKS[task][-1]
        prediction = bbh.predict(model, x, SAMPLES, seed=3)
        measures = likelihood.measures(y, prediction)
        if isinstance(likelihood, Gaussian):
            rmse = np.sqrt(((y - prediction.mean) ** 2).mean())
            np.testing.assert_allclose(measures["rmse"], rmse, rtol=1e-5)
            if prediction.total is not None:
                density = stats.norm.logpdf(y, prediction.mean, np.sqrt(prediction.total))
                np.testing.assert_allclose(measures["nll"], -density.mean(), rtol=1e-5)
            return
        probs, labels = prediction.mean, y.astype(int)
        if isinstance(likelihood, Bernoulli):
            probs = np.stack([1 - probs, probs], axis=-1)
        probs, labels = probs.reshape(-1, probs.shape[-1]).astype(float), labels.reshape(-1)
        probs /= probs.sum(axis=1, keepdims=True)
        expected = sklearn_metrics.log_loss(labels, probs, labels=range(probs.shape[1]))
        np.testing.assert_allclose(measures["nll"], expected, rtol=1e-4)
        error = 100 * (1 - sklearn_metrics.accuracy_score(labels, probs.argmax(axis=1)))
        np.testing.assert_allclose(measures["error_percent"], error)
        if isinstance(likelihood, Bernoulli):
            brier = sklearn_metrics.brier_score_loss(labels, probs[:, 1])
            np.testing.assert_allclose(measures["brier"], brier, rtol=1e-5)

    def test_attack(self, task):
        model, _, x, y = fitted(task)
        for average in ("examples", "gradients"):
            moved = bbh.fast_sign_attack(model, x, y, 0.1, SAMPLES, average, seed=3)
            assert np.abs(moved - x).max() <= 0.1 + 1e-6
            before, after = (
                losses(task, bbh.predict(model, inputs, SAMPLES, seed=3), y)
                for inputs in (x, moved)
            )
            assert after.mean() > before.mean()
            assert (after > before).mean() > 0.9

    def test_export_and_serve(self, task, tmp_path):
        model, _, x, _ = fitted(task)
        loaded = tf.saved_model.load(bbh.export(model, tmp_path / "model"))
        served = loaded.serve(x[:8], num_samples=tf.constant(300))
        prediction = bbh.predict(model, x[:8], 300, seed=1)
        names = {"mean", "entropy", "mutual_information"}
        if isinstance(TASKS[task][-1], Gaussian):
            names = {"mean", "std", "aleatoric", "epistemic", "total"}
            names = {"mean", "std"} if task == "regression" else names
        assert set(served) == names
        spread = bbh.predict(model, x[:8], 50, seed=2, return_samples=True).samples.std(axis=0)
        # Two means of 300 samples each: six standard errors.
        bound = 6 * spread * np.sqrt(2 / 300) + 1e-4
        assert (np.abs(served["mean"] - prediction.mean) <= bound).all()
        for name in names - {"mean"}:
            expected = getattr(prediction, name)
            assert served[name].shape == expected.shape and served[name].dtype == tf.float32
            # Of a second moment 300 samples know some 8 %: far less than another formula would err.
            np.testing.assert_allclose(served[name], expected, rtol=0.4, atol=0.05)


class TestSeveralOutputs:
    def _model(self):
        model = bbh.bayesify(two_heads(), "mean_field", num_train_examples=N, verbose=False)
        loss = {
            "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "size": Gaussian(0.3),
        }
        model.compile(keras.optimizers.Adam(0.05), loss)
        return model, {"kind": KINDS, "size": TARGETS[:, :1]}

    def test_each_has_its_likelihood_in_every_operation(self, tmp_path):
        model, labels = self._model()
        history = model.fit(FEATURES, labels, epochs=3, verbose=0).history
        assert history["nll"][-1] < history["nll"][0]
        whole = bbh.predict(model, FEATURES, SAMPLES, seed=1, return_samples=True)
        parts = bbh.predict(model, FEATURES, SAMPLES, seed=1, batch_size=7)
        assert whole["kind"].samples.shape == (SAMPLES, N, 3)
        assert whole["size"].samples.shape == (SAMPLES, N, 1)
        np.testing.assert_allclose(whole["kind"].mean.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(parts["kind"].mean, whole["kind"].mean, atol=1e-5)
        np.testing.assert_allclose(parts["size"].mean, whole["size"].mean, atol=1e-4)
        np.testing.assert_allclose(whole["size"].aleatoric, 0.09)
        wrong = whole["kind"].mean.argmax(axis=1) != KINDS
        measured = Categorical().measures(KINDS, whole["kind"])["error_percent"]
        np.testing.assert_allclose(measured, 100 * wrong.mean())
        rmse = np.sqrt(((whole["size"].mean - labels["size"]) ** 2).mean())
        measured = Gaussian(0.3).measures(labels["size"], whole["size"])["rmse"]
        np.testing.assert_allclose(measured, rmse, rtol=1e-5)
        moved = bbh.fast_sign_attack(model, FEATURES, labels, 0.1, SAMPLES, seed=1)
        after = bbh.predict(model, moved, SAMPLES, seed=1)
        of_label = [p["kind"].mean[np.arange(N), KINDS] for p in (whole, after)]
        error = [np.abs(p["size"].mean - labels["size"]).mean() for p in (whole, after)]
        assert np.log(of_label[1]).mean() < np.log(of_label[0]).mean() or error[1] > error[0]
        served = tf.saved_model.load(bbh.export(model, tmp_path / "model"))
        answers = served.serve(FEATURES, num_samples=tf.constant(3))
        assert {"kind_mean", "kind_entropy", "size_mean", "size_total"} <= set(answers)

    def test_losses_over_different_numbers_of_terms_are_told(self):
        x = keras.Input((4,))
        model = keras.Model(x, [keras.layers.Dense(1)(x), keras.layers.Dense(2)(x)])
        model = bbh.bayesify(model, "mean_field", num_train_examples=N, verbose=False)
        with pytest.warns(UserWarning, match=r"different numbers of terms.*\[1, 2\]"):
            model.compile("adam", ["mse", "mse"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.compile("adam", [Gaussian(), Gaussian()])

    def test_a_likelihood_of_another_structure_is_refused(self):
        model, _ = self._model()
        with pytest.raises(ValueError, match="structure of the model's outputs"):
            bbh.predict(model, FEATURES, 2, likelihood=["categorical", "gaussian"])


def test_the_page_lists_these_cells():
    page = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text()
    rows = re.findall(r"^\| ([a-z][^|]*?) +\|(.*)\|$", page, flags=re.MULTILINE)
    listed = {name for name, cells in rows if cells.count("yes") == len(OPERATIONS)}
    assert {*TASKS, "several outputs"} <= listed
