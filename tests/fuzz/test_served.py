"""What is sent to a SavedModel: an answer, or an InvalidArgumentError that says what is wrong."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from fuzz.odd import SCALARS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import bayes_by_hypernet as bbh
from bayes_by_hypernet import files
from bayes_by_hypernet.checks import described

MAX_SAMPLES, MAX_BATCH = 50, 4


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    layer = bbh.layers.DenseHypernet(3, hidden_units=(4,), num_train_examples=10)
    model = keras.Sequential([keras.Input((2,)), layer])
    path = tmp_path_factory.mktemp("served") / "model"
    bbh.export(model, path, input_range=(-8.0, 8.0), max_samples=MAX_SAMPLES, max_batch=MAX_BATCH)
    return path, tf.saved_model.load(path)


def test_every_array_of_floats_is_answered_or_refused(served):
    shapes = st.tuples(st.integers(0, MAX_BATCH + 1), st.just(2))
    numbers = st.floats(width=32) | st.floats(-8, 8, width=32)

    @given(arrays.arrays(np.float32, shapes, elements=numbers), st.integers(-(2**31), 2**31 - 1))
    def try_one(x, num_samples):
        fits = 1 <= num_samples <= MAX_SAMPLES and 1 <= len(x) <= MAX_BATCH
        fits = fits and bool((np.abs(x) <= 8).all())
        try:
            answer = served[1].serve(tf.constant(x), tf.constant(num_samples))
        except tf.errors.InvalidArgumentError as error:
            assert not fits and "Received:" in str(error)
            return
        assert fits
        np.testing.assert_allclose(np.sum(answer["mean"], axis=-1), 1, rtol=1e-5)

    try_one()


@pytest.mark.parametrize(
    "x, num_samples, message",
    [
        (np.zeros((1, 2)), MAX_SAMPLES + 1, f"num_samples must be at most {MAX_SAMPLES}"),
        (np.zeros((1, 2)), 1_000_000, f"num_samples must be at most {MAX_SAMPLES}"),
        (np.zeros((1, 2)), 2**31 - 1, f"num_samples must be at most {MAX_SAMPLES}"),
        (np.zeros((MAX_BATCH + 1, 2)), 1, f"at most {MAX_BATCH} examples"),
        (np.zeros((100_000, 2)), 1, f"at most {MAX_BATCH} examples"),
        (np.zeros((0, 2)), 1, "at least 1 example"),
        (np.full((1, 2), np.inf), 1, "x must be finite"),
    ],
)
def test_calls_beyond_the_limits_are_refused(served, x, num_samples, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served[1].serve(tf.constant(x, tf.float32), tf.constant(num_samples))


def test_the_readme_tells_the_limits(served):
    text = (served[0] / "assets.extra" / "README.md").read_text()
    assert f"from 1 to {MAX_SAMPLES}" in text and f"1 to {MAX_BATCH} examples" in text


@pytest.mark.parametrize("name", ("path", "input_range", "abstention", "max_samples", "max_batch"))
def test_arguments_of_export(name, monkeypatch, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    monkeypatch.setattr(tf.saved_model, "save", lambda *args, **kwargs: None)
    monkeypatch.setattr(bbh.export.__globals__["ServedPosterior"], "__init__", _nothing)
    monkeypatch.setitem(bbh.export.__globals__, "_write_readme", lambda *args: None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # where a name like "a" leads to
    (tmp_path / "here" / "mine").touch()
    for value in SCALARS:
        try:
            bbh.export(model, **{"path": tmp_path / "model", name: value})
        except ValueError as error:
            assert f"`{name}`" in str(error) and "Received" in str(error), described(value)
        except files.StorageError as error:  # names what can't be written
            assert name == "path" and repr(os.path.realpath(value)) in str(error)
    assert (tmp_path / "here" / "mine").exists()


def _nothing(self, *args):
    self.serving_default = self.serve = None
    self.parameters = []
