import numpy as np
import pytest

from bayes_by_hypernet.data import embedded, glyphs, warps

_SIZES = {"num_train": 1500, "num_validation": 100, "num_test": 200, "num_outliers": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def dataset(folder):
    return embedded.load(**_SIZES, cache_directory=folder)


def _counts(labels):
    return np.bincount(labels, minlength=10).tolist()


class TestEmbedded:
    def test_contract(self, dataset):
        assert (dataset.name, dataset.outlier_name) == ("embedded", "embedded_letters")
        assert dataset.fallback_reason is None
        assert dataset.train.images.shape == (1500, 28, 28, 1)
        assert dataset.outliers.shape == (100, 28, 28, 1)
        assert dataset.train.images.dtype == dataset.outliers.dtype == np.float32
        assert dataset.train.labels.dtype == np.int64
        assert dataset.train.images.min() == 0 and 0.9 < dataset.train.images.max() <= 1

    def test_classes_are_balanced_and_shuffled(self, dataset):
        assert _counts(dataset.train.labels) == [150] * 10
        assert _counts(dataset.test.labels) == [20] * 10
        assert len(set(dataset.train.labels[:30].tolist())) > 5

    def test_splits_do_not_overlap(self, dataset):
        splits = (dataset.train, dataset.validation, dataset.test)
        images = np.concatenate([split.images for split in splits]).reshape(1800, -1)
        assert len(np.unique(images, axis=0)) == 1800

    def test_cache_gives_what_was_rendered(self, dataset, folder, monkeypatch):
        def never(*_):
            raise AssertionError("rendered though it was in the cache")

        monkeypatch.setattr(embedded, "_render", never)
        cached = embedded.load(**_SIZES, cache_directory=folder)
        assert cached.fingerprint() == dataset.fingerprint()

    def test_rendering_is_deterministic_for_any_number_of_threads(
        self, dataset, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(embedded.os, "cpu_count", lambda: 1)
        again = embedded.load(**_SIZES, cache_directory=tmp_path)
        assert again.fingerprint() == dataset.fingerprint()

    def test_seed_changes_images_and_order(self, dataset, tmp_path):
        other = embedded.load(**_SIZES, seed=7, cache_directory=tmp_path)
        assert other.fingerprint() != dataset.fingerprint()
        assert (other.train.labels != dataset.train.labels).any()

    def test_damaged_cache_is_rendered_again(self, tmp_path, caplog):
        first = embedded.load_letters(20, cache_directory=tmp_path)
        [path] = tmp_path.rglob("*.npz")
        path.write_bytes(path.read_bytes()[:-500])
        with caplog.at_level("WARNING"):
            np.testing.assert_array_equal(
                embedded.load_letters(20, cache_directory=tmp_path), first
            )
        assert "is damaged" in caplog.text
        caplog.clear()
        embedded.load_letters(20, cache_directory=tmp_path)
        assert not caplog.text, "the file was not repaired"

    def test_letters_alone_are_those_of_the_whole_set(self, dataset, tmp_path):
        letters = embedded.load_letters(100, cache_directory=tmp_path)
        np.testing.assert_array_equal(letters, dataset.outliers)

    @pytest.mark.parametrize("argument", _SIZES)
    def test_sizes_are_checked(self, argument, tmp_path):
        with pytest.raises(ValueError, match=f"`{argument}` must be at least 1. .*{argument}=0"):
            embedded.load(**{**_SIZES, argument: 0}, cache_directory=tmp_path)

    def test_images_look_like_mnist(self, dataset):
        images = dataset.train.images[..., 0]
        rows = np.arange(28)
        mass = images.sum(axis=(1, 2))
        centre_y = (images.sum(axis=2) @ rows) / mass
        centre_x = (images.sum(axis=1) @ rows) / mass
        # Shifts are uniform within 1.2 pixels; elastic warps add to them.
        assert abs(centre_y.mean() - 13.5) < 0.3 and abs(centre_x.mean() - 13.5) < 0.3
        assert centre_y.std() < 1.5 and centre_x.std() < 1.5
        # MNIST's mean pixel is 0.131.
        assert 0.09 < images.mean() < 0.17
        border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]])
        assert border.mean() < 0.02

    def test_nearest_class_mean_recognises_most_digits(self, dataset):
        """Labels belong to their images: 55 % measured on 1,000 images, chance is 10 %."""
        train = dataset.train.images.reshape(1500, -1)
        test = dataset.test.images.reshape(200, -1)
        means = np.stack([train[dataset.train.labels == digit].mean(0) for digit in range(10)])
        distances = ((test[:, np.newaxis] - means) ** 2).sum(-1)
        assert (distances.argmin(1) == dataset.test.labels).mean() > 0.4


class TestGlyphs:
    def test_fields_are_signed_distances_with_a_margin(self):
        rendered = glyphs.render_glyphs("7J")
        assert rendered.fields.shape == (
            2 * len(glyphs.FONTS),
            glyphs.FIELD_SIZE,
            glyphs.FIELD_SIZE,
        )
        assert rendered.classes.tolist() == [0, 1] * len(glyphs.FONTS)
        edges = np.concatenate([rendered.fields[:, [0, -1]], rendered.fields[:, :, [0, -1]].mT], 1)
        pixels = edges.max() * warps._GLYPH_SIDE[0]
        widest = warps._STROKE_OFFSET[1] + 0.5
        assert pixels < -widest, "strokes would run out of the field"
        # A distance field's slope is at most 1; between pixel centres it may err by a pixel's step.
        step = np.abs(np.diff(rendered.fields, axis=2)).max() * glyphs.GLYPH_SIZE
        assert step <= 2.0

    def test_warped_glyphs_have_the_size_that_is_asked_for(self):
        rendered = glyphs.render_glyphs("0")
        outlines = np.repeat(rendered.outlines[:1], 200, axis=0)
        maps = warps._random_linear_maps(np.random.default_rng(0), outlines)
        sides = np.ptp(outlines @ maps.swapaxes(1, 2), axis=1).max(-1)
        low, high = warps._GLYPH_SIDE
        assert low - 1e-3 <= sides.min() and sides.max() <= high + 1e-3  # float32 rounding
        assert (np.linalg.det(maps) > 0).all(), "no glyph is mirrored"
