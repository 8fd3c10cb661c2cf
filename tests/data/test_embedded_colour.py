"""CIFAR-5's stand-in: coloured digits, repeatable, legible, with their labels."""

import numpy as np
import pytest

from bayes_by_hypernet.data import embedded, embedded_colour


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small(monkeypatch, folder):
    load = embedded.load
    monkeypatch.setattr(embedded, "load", lambda seed: load(60, 10, 40, 10, seed, folder))
    monkeypatch.setattr(embedded_colour, "NUM_TRAIN", 25)
    return load(60, 10, 40, 10, 42, folder)


def test_is_in_colour_and_has_cifars_shape(small):
    dataset = embedded_colour.load()
    assert dataset.train.images.shape == (25, 32, 32, 3) and dataset.num_classes == 5
    assert dataset.train.images.dtype == dataset.outliers.dtype == np.float32
    assert dataset.test.images.shape == dataset.outliers.shape == (20, 32, 32, 3)
    spread = np.ptp(dataset.train.images, axis=-1)  # between the channels
    assert (spread.max(axis=(1, 2)) > 0.05).all()


def test_digits_keep_their_labels_and_stand_out(small):
    dataset = embedded_colour.load()
    grey = small.train.images[small.train.labels < 5][:25]
    np.testing.assert_array_equal(
        dataset.train.labels, small.train.labels[small.train.labels < 5][:25]
    )
    masks = np.pad(grey, [(0, 0), (2, 2), (2, 2), (0, 0)])[..., 0]
    for image, mask in zip(dataset.train.images, masks, strict=True):
        digit, ground = mask > 0.9 * mask.max(), mask < 0.05
        between = np.abs(image[digit].mean(axis=0) - image[ground].mean(axis=0))
        assert (between > 0.25).all()  # of 0.4, in every channel; strokes are at least 0.7 there


def test_is_repeatable_by_its_seed(small):
    assert embedded_colour.load().fingerprint() == embedded_colour.load().fingerprint()
    assert embedded_colour.load(1).fingerprint() != embedded_colour.load().fingerprint()
