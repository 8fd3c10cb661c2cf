"""A run on images that are cropped and standardised: the same in training, measures and serving."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tiny

import bayes_by_hypernet as bbh
from bayes_by_hypernet import data
from bayes_by_hypernet.data import Examples
from bayes_by_hypernet.data.pipeline import PIPELINES, central_crop
from bayes_by_hypernet.paper import experiment, networks

RNG = np.random.default_rng(0)


def _examples(num):
    labels = np.arange(num) % tiny.NUM_CLASSES
    images = RNG.uniform(0, 0.6, (num, 32, 32, 3)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[..., label] += 0.4  # red, green or blue
    return Examples(images, labels)


def _dataset():
    outliers = _examples(130).images[..., ::-1].copy()
    examples = _examples(60), None, _examples(130)
    return data.Dataset("cifar5", "cifar5_others", tiny.NUM_CLASSES, *examples, outliers)


@pytest.fixture(scope="module", params=["instance", "batch"])
def finished(request, tmp_path_factory):
    directory, dataset = tmp_path_factory.mktemp("run"), _dataset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "tiny_crops", tiny.CROPS)
        config = tiny.config(
            "map", network="tiny_crops", dataset="cifar5", batch_norm=request.param, epochs=6
        )
        results = experiment.run(config, lambda: dataset, directory, steps_per_call=3)
        yield directory, dataset, results, bbh.load(directory)


def test_learns_without_a_validation_set(finished):
    directory, _, results, _ = finished
    assert results["error_percent"] < 30  # of 67 by chance
    lines = (directory / "history.jsonl").read_text().splitlines()
    assert len(lines) == 6 and "validation_nll" not in json.loads(lines[0])


def test_says_by_whose_statistics_and_in_which_batches(finished):
    _, _, results, _ = finished
    # As many as in training.
    expected = {"instance": None, "batch": 10}[results["batch_norm"]]
    assert results["prediction_batch_size"] == expected


def test_the_posterior_gives_the_numbers_of_the_run_whatever_the_batch_size(finished):
    _, dataset, results, posterior = finished
    inputs = posterior.config.pipeline.inputs(dataset.test.images)
    for batch_size in (7, 1000):
        prediction = posterior.predict(inputs, batch_size=batch_size)
        error = 100 * np.mean(prediction.mean.argmax(axis=1) != dataset.test.labels)
        assert results["error_percent"] == pytest.approx(error)
        nll = -np.log(prediction.mean[np.arange(130), dataset.test.labels]).mean()
        assert results["nll"] == pytest.approx(nll, rel=1e-4)


def test_serves_stored_images(finished):
    directory, dataset, results, posterior = finished
    served = tf.saved_model.load(directory / "saved_model")
    images = dataset.test.images[:10]  # one batch, where answers depend on it
    answer = served.serving_default(tf.constant(255 * images))
    expected = posterior.predict(central_crop(images).numpy()).mean
    np.testing.assert_allclose(answer["mean"], expected, atol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"x must lie in \[0, 255\]"):
        served.serving_default(tf.constant(255 * images + 1))
    readme = (directory / "saved_model" / "assets.extra" / "README.md").read_text()
    assert "(batch, 32, 32, 3)" in readme and "[0, 255]" in readme
    assert ("statistics of the batch" in readme) == (results["batch_norm"] == "batch")


def test_training_sees_random_crops(finished, tmp_path, monkeypatch):
    """Without them the same run ends elsewhere."""
    _, dataset, results, posterior = finished
    plain = dataclasses.replace(PIPELINES["cifar5"], augment=None)
    monkeypatch.setitem(PIPELINES, "cifar5", plain)
    other = experiment.run(posterior.config, lambda: dataset, tmp_path, steps_per_call=3)
    assert other["nll"] != pytest.approx(results["nll"], rel=1e-3)
