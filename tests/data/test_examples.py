import numpy as np
import pytest

from bayes_by_hypernet.data import Dataset, Examples


def _examples(num=6, **replaced):
    arrays = {
        "images": np.linspace(0, 1, num * 16, dtype=np.float32).reshape(num, 4, 4, 1),
        "labels": np.arange(num) % 3,
    }
    return Examples(**{**arrays, **replaced})


def _dataset(**replaced):
    arguments = {
        "name": "tiny",
        "outlier_name": "tiny_outliers",
        "num_classes": 3,
        "train": _examples(),
        "validation": _examples(3),
        "test": _examples(3),
        "outliers": _examples(2).images,
    }
    return Dataset(**{**arguments, **replaced})


class TestDataset:
    def test_needs_no_validation_set(self):
        dataset = _dataset(validation=None)
        assert list(dataset.splits) == ["train", "test"]
        assert dataset.fingerprint() != _dataset().fingerprint()

    def test_accepts_valid_data(self):
        dataset = _dataset()
        assert len(dataset.train) == 6

    @pytest.mark.parametrize(
        ("message", "replaced"),
        [
            (
                r"`train.images` must have rank 4.*shape=\(6, 16\)",
                {"train": _examples(images=np.zeros((6, 16), np.float32))},
            ),
            (
                r"`test.images` must hold images of shape \(4, 4, 1\).*shape=\(6, 4, 4, 3\)",
                {"test": _examples(images=np.zeros((6, 4, 4, 3), np.float32))},
            ),
            ("`outliers` must hold images of shape", {"outliers": np.zeros((2, 5, 4, 1))}),
            ("`outliers` must not be empty", {"outliers": np.zeros((0, 4, 4, 1))}),
            (
                r"`train.labels` must have one label for each of 6 images.*\(5,\)",
                {"train": _examples(labels=np.zeros(5, np.int64))},
            ),
            (
                r"`validation.labels` must be in 0\.\.2.*0\.\.3",
                {"validation": _examples(labels=np.array([0, 1, 2, 3, 0, 0]))},
            ),
            ("labels in -1..0", {"test": _examples(labels=np.array([0, -1, 0, 0, 0, 0]))}),
            ("`test.labels` must be integers", {"test": _examples(labels=np.zeros(6))}),
            (
                r"`train.images` must have pixels in \[0, 1\].*\[0, 255\]",
                {"train": _examples(images=255 * _examples().images)},
            ),
            ("pixels in .-0.5", {"outliers": np.full((2, 4, 4, 1), -0.5)}),
        ],
    )
    def test_rejects_bad_input(self, message, replaced):
        with pytest.raises(ValueError, match=message):
            _dataset(**replaced)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_rejects_a_single_pixel_that_is_not_finite(self, value):
        images = _examples().images.copy()
        images[3, 2, 1, 0] = value
        with pytest.raises(ValueError, match="`train.images` must be finite.*1 pixels"):
            _dataset(train=_examples(images=images))

    def test_fingerprint_depends_on_every_array_and_on_order(self):
        fingerprint = _dataset().fingerprint()
        assert fingerprint == _dataset(name="other").fingerprint()
        reverse = Examples(_examples().images[::-1], _examples().labels[::-1])
        changes = [
            {"train": reverse},
            {"test": _examples(3, labels=np.array([0, 1, 1]))},
            {"validation": _examples(3).__class__(_examples(3).images ** 2, _examples(3).labels)},
            {"outliers": _examples(2).images ** 2},
        ]
        changed = [_dataset(**change).fingerprint() for change in changes]
        assert len({fingerprint, *changed}) == 5
