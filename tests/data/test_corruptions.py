"""Corruptions: values worked out by hand, range, repeatability, growth with strength, refusals."""

import re

import numpy as np
import pytest

import bayes_by_hypernet as bbh
from bayes_by_hypernet.data import corruptions, embedded, embedded_colour
from bayes_by_hypernet.data.corruptions import FAMILIES, corrupt

EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
# Of these every image has the same corruption; of the others it depends on the image's number.
FIXED = ("gaussian_blur", "defocus_blur", "brightness", "contrast", "pixelate", "jpeg", "scale")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """100 embedded images in grey, 50 in colour."""
    grey = embedded.load(50, 10, 100, 10, cache_directory=tmp_path_factory.mktemp("cache"))
    masks = grey.test.images[:50]
    colour = embedded_colour._coloured(np.random.default_rng(0), masks)
    return {"grey": grey.test.images, "colour": colour}


@EVERY_FAMILY
@pytest.mark.parametrize("name", ["grey", "colour"])
class TestEveryFamily:
    def test_distance_from_the_clean_images_grows_with_strength(self, sets, name, family):
        clean = sets[name]
        distances = [
            np.abs(corrupt(clean, family, strength) - clean).mean() for strength in range(6)
        ]
        assert distances[0] == 0
        assert (np.diff(distances) > 0).all(), distances

    def test_keeps_shape_dtype_and_range_and_leaves_its_argument_alone(self, sets, name, family):
        clean = sets[name][:10]
        before = clean.copy()
        for strength in range(6):
            corrupted = corrupt(clean, family, strength)
            assert corrupted.shape == clean.shape and corrupted.dtype == np.float32
            assert corrupted.min() >= 0 and corrupted.max() <= 1
            assert not np.shares_memory(corrupted, clean)
        np.testing.assert_array_equal(clean, before)

    def test_depends_on_seed_family_and_number_of_the_image_only(self, sets, name, family):
        clean = sets[name][:10]
        whole = corrupt(clean, family, 3, seed=7)
        np.testing.assert_array_equal(corrupt(clean, family, 3, seed=7), whole)
        np.testing.assert_array_equal(corrupt(clean[:4], family, 3, seed=7), whole[:4])
        swapped = np.concatenate([clean[:8], clean[8:][::-1]])
        np.testing.assert_array_equal(corrupt(swapped, family, 3, seed=7)[:8], whole[:8])
        other = corrupt(clean, family, 3, seed=8)
        assert np.array_equal(other, whole) == (family in FIXED)

    def test_equal_images_are_corrupted_differently_where_it_is_random(self, sets, name, family):
        copies = np.repeat(sets[name][:1], 10, axis=0)
        corrupted = corrupt(copies, family, 3)
        assert (corrupted == corrupted[:1]).all() == (family in FIXED)

    def test_bytes_give_the_rounded_corruption_of_the_floats(self, sets, name, family):
        as_bytes = np.rint(255 * sets[name][:5]).astype(np.uint8)
        corrupted = corrupt(as_bytes, family, 2)
        assert corrupted.dtype == np.uint8
        floats = corrupt(as_bytes.astype(np.float32) / np.float32(255), family, 2)
        np.testing.assert_array_equal(corrupted, np.rint(255 * floats))


@EVERY_FAMILY
def test_takes_sides_of_different_lengths_and_other_floats(family):
    images = np.random.default_rng(0).random((3, 9, 14, 3))
    corrupted = corrupt(images, family, 5)
    assert corrupted.shape == images.shape and corrupted.dtype == np.float64
    assert corrupt(images.astype(np.float16), family, 1).dtype == np.float16


def test_strengths_are_those_of_the_modules_table():
    rows = re.findall(r"^\| (\w+) \|(.+?)\| [a-z]", corruptions.__doc__, flags=re.MULTILINE)
    table = {name: tuple(map(float, cells.strip().split(" | "))) for name, cells in rows[1:]}
    assert table == {name: family.values for name, family in FAMILIES.items()}


def test_is_public():
    assert bbh.data.corruptions.corrupt is corrupt


class TestByHand:
    """Values that a person can work out."""

    def test_translation_moves_pixels_and_repeats_the_edge(self):
        image = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
        down_and_right = corruptions._shifted(image, 1, 2)[..., 0]
        assert down_and_right.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1], [4, 4, 4, 5]]
        up = corruptions._shifted(image, -1, 0)[..., 0]
        assert up.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [8, 9, 10, 11]]

    def test_translation_moves_by_as_many_pixels_as_its_strength_in_eight_directions(self):
        images = np.zeros((200, 28, 28, 1), np.float32)
        images[:, 14, 14] = 1
        _, rows, columns, _ = np.nonzero(corrupt(images, "translate", 4))
        steps = {(y, x) for y in (-4, 0, 4) for x in (-4, 0, 4)} - {(0, 0)}
        assert {*zip(rows - 14, columns - 14, strict=True)} == steps

    def test_brightness_adds_and_clips(self):
        images = np.float32([0, 0.25, 0.875]).reshape(1, 1, 3, 1)
        brighter = corrupt(images, "brightness", 5)
        assert brighter.ravel().tolist() == [0.5, 0.75, 1]

    def test_contrast_brings_values_nearer_to_the_mean_of_their_channel(self):
        images = np.float32([[0.2, 0.0, 0.5], [0.6, 1.0, 0.5]]).reshape(1, 1, 2, 3)
        flatter = corrupt(images, "contrast", 2)  # half the distance
        expected = np.float32([[0.3, 0.25, 0.5], [0.5, 0.75, 0.5]]).reshape(1, 1, 2, 3)
        np.testing.assert_allclose(flatter, expected, rtol=1e-6)  # rounding of float32

    @pytest.mark.parametrize("family", ["contrast", "pixelate", "translate", "rotate", "scale"])
    def test_a_constant_image_stays_as_it_is(self, family):
        images = np.full((2, 28, 28, 1), 0.5, np.float32)
        # Weights of an interpolation sum to 1 to within the rounding of float32.
        np.testing.assert_allclose(corrupt(images, family, 5), images, rtol=1e-6)

    @pytest.mark.parametrize("family", ["gaussian_blur", "defocus_blur", "motion_blur"])
    def test_blur_keeps_the_sum_of_a_point_far_from_the_edge(self, family):
        images = np.zeros((3, 28, 28, 1), np.float32)
        images[:, 14, 14] = 1
        blurred = corrupt(images, family, 5)
        assert (blurred[:, 14, 14] < 0.3).all()
        # SciPy cuts a Gaussian at four standard deviations and divides by what is left.
        np.testing.assert_allclose(blurred.sum(axis=(1, 2, 3)), 1, rtol=1e-5)

    def test_a_checkerboard_in_blocks_of_two_is_grey(self):
        board = np.indices((28, 28)).sum(axis=0) % 2
        images = board.reshape(1, 28, 28, 1).astype(np.float32)
        np.testing.assert_array_equal(corrupt(images, "pixelate", 1), np.full_like(images, 0.5))

    def test_blocks_at_the_far_edge_may_be_smaller(self):
        images = np.float32([0.0, 0.2, 0.4, 0.6, 1.0]).reshape(1, 1, 5, 1)
        blocks = corrupt(images, "pixelate", 1)  # of two pixels
        np.testing.assert_allclose(blocks.ravel(), [0.1, 0.1, 0.5, 0.5, 1], rtol=1e-6)

    def test_impulses_are_black_or_white_in_the_share_that_was_asked_for(self):
        images = np.full((50, 28, 28, 1), 0.5, np.float32)
        noisy = corrupt(images, "impulse_noise", 5)
        assert {*np.unique(noisy)} == {0.0, 0.5, 1.0}
        # 39,200 draws: four standard errors are 4 sqrt(0.27 * 0.73 / 39200) = 0.009.
        assert (noisy != 0.5).mean() == pytest.approx(0.27, abs=0.009)
        assert (noisy == 1).mean() == pytest.approx(0.135, abs=0.007)

    def test_gaussian_noise_has_the_deviation_that_was_asked_for(self):
        images = np.full((50, 28, 28, 1), 0.5, np.float32)
        noisy = corrupt(images, "gaussian_noise", 1)  # 0.08: nothing is clipped
        # 39,200 draws: four standard errors of a deviation are 4 * 0.08 / sqrt(2 * 39200) = 0.0011.
        assert noisy.std() == pytest.approx(0.08, abs=0.0012)

    def test_shot_noise_counts_photons(self):
        images = np.full((50, 28, 28, 1), 0.25, np.float32)
        counts = 40 * corrupt(images, "shot_noise", 1).astype(np.float64)
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)  # rounding of float32
        # Mean and variance of a Poisson distribution are equal, here 10; 39,200 draws.
        assert counts.mean() == pytest.approx(10, abs=0.07) and counts.var() == pytest.approx(
            10, abs=0.4
        )
        assert not corrupt(np.zeros_like(images[:1]), "shot_noise", 5).any()  # no light, no noise

    def test_quarter_turn_and_doubling_of_a_small_image(self):
        image = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
        quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
        turned = corruptions._warped(image, quarter)[..., 0]
        np.testing.assert_allclose(turned, np.rot90(image[..., 0], -1), atol=1e-5)
        doubled = corruptions._warped(image, np.eye(2) / 2)[..., 0]
        np.testing.assert_allclose(doubled, [[2, 2.5, 3], [3.5, 4, 4.5], [5, 5.5, 6]], atol=1e-5)

    def test_rotations_go_to_both_sides(self):
        images = np.zeros((20, 29, 29, 1), np.float32)
        images[:, 4, 14] = 1  # ten pixels above the centre
        turned = corrupt(images, "rotate", 3)  # 30 degrees: half of ten to either side
        columns = (turned[..., 0].sum(axis=1) * np.arange(29)).sum(axis=1)
        columns /= turned.sum(axis=(1, 2, 3))
        sides = np.rint(columns).astype(int)
        assert {*sides} == {9, 19}

    def test_kernels_are_a_disk_and_a_line(self):
        disk = corruptions._disk(1.0)
        assert disk.shape == (3, 3) and disk.sum() == pytest.approx(1)
        np.testing.assert_allclose(disk, disk.T)
        assert disk[1, 1] > disk[0, 1] > disk[0, 0] > 0
        line = corruptions._line(3, 0.0)
        assert line.shape == (5, 5) and line.sum() == pytest.approx(1)
        assert line[2, 1:4].sum() == pytest.approx(1) and line[2, 2] > line[2, 1] > 0.2
        np.testing.assert_allclose(corruptions._line(3, np.pi / 2), line.T, atol=1e-6)


IMAGES = np.full((2, 8, 8, 1), 0.5, np.float32)
NOT_A_NUMBER = np.where(np.arange(8) == 3, np.nan, IMAGES[..., 0])[..., np.newaxis]


@pytest.mark.parametrize(
    "images, arguments, message",
    [
        (IMAGES, ("snow", 1), r"`family` must be one of .*'jpeg'.* Received: family='snow'"),
        (IMAGES, ("jpeg", 6), r"`strength` must be from 0 \(clean\) to 5. Received: strength=6"),
        (IMAGES, ("jpeg", -1), r"`strength` must be from 0 \(clean\) to 5. .*strength=-1"),
        (IMAGES, ("jpeg", 1.5), r"`strength` must be an integer. .*strength=1.5 of type float"),
        (IMAGES, ("jpeg", 1, -1), r"`seed` must be at least 0. .*seed=-1"),
        (
            IMAGES.astype(int),
            ("jpeg", 1),
            r"`images` must hold floats in \[0, 1\] or uint8 .*int64",
        ),
        (IMAGES > 0, ("jpeg", 0), r"`images` must hold floats in \[0, 1\] or uint8 .*dtype=bool"),
        (IMAGES[0], ("jpeg", 1), r"`images` must have rank 4, .* shape=\(8, 8, 1\)"),
        (IMAGES[:0], ("jpeg", 1), r"`images` must not be empty. .*shape=\(0, 8, 8, 1\)"),
        (IMAGES[..., [0, 0]], ("jpeg", 1), r"`images` must have one channel .*\(2, 8, 8, 2\)"),
        (255 * IMAGES, ("jpeg", 1), r"`images` must have pixels in \[0, 1\] .*127.5"),
        (NOT_A_NUMBER, ("jpeg", 1), r"`images` must be finite. Received: 16 pixels that are NaN"),
    ],
)
def test_refuses_with_a_sentence(images, arguments, message):
    with pytest.raises(ValueError, match=message):
        corrupt(images, *arguments)
