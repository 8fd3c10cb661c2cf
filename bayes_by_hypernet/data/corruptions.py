"""Corrupted test images: noise, blur, light, compression and movement, each in five strengths.

Ten families are those of ImageNet-C (Hendrycks and Dietterich, 2019) that need no other data; three
move the object, as MNIST-C does (Mu and Gilmer, 2019). Everything is computed on this machine, in
0.03 to 0.3 ms an image.

The strengths are ours, for images of about 30 pixels a side: ImageNet-C's are for 224. In every
family the mean distance from the clean image grows with the strength.

| family | 1 | 2 | 3 | 4 | 5 | the number is |
| --- | --- | --- | --- | --- | --- | --- |
| gaussian_noise | 0.08 | 0.12 | 0.18 | 0.26 | 0.38 | standard deviation, of the range of a pixel |
| shot_noise | 40 | 20 | 10 | 5 | 2 | photons of a white pixel (Poisson) |
| impulse_noise | 0.03 | 0.06 | 0.09 | 0.17 | 0.27 | share of values that become 0 or 1 |
| gaussian_blur | 0.6 | 0.9 | 1.2 | 1.6 | 2 | standard deviation, pixels |
| defocus_blur | 1 | 1.5 | 2 | 2.5 | 3 | radius of a disk, pixels |
| motion_blur | 3 | 5 | 7 | 9 | 11 | length of a line, pixels |
| brightness | 0.1 | 0.2 | 0.3 | 0.4 | 0.5 | added to every value, of the range |
| contrast | 0.75 | 0.5 | 0.35 | 0.2 | 0.1 | factor of the distance to the channel's mean |
| pixelate | 2 | 3 | 4 | 5 | 7 | side of the blocks, pixels |
| jpeg | 50 | 30 | 15 | 8 | 4 | quality |
| translate | 1 | 2 | 3 | 4 | 5 | pixels, by rows, columns or both |
| rotate | 10 | 20 | 30 | 40 | 50 | degrees, to either side |
| scale | 1.1 | 1.2 | 1.35 | 1.5 | 1.7 | factor of the object's size |

Pixels from outside an image have the value of its nearest edge pixel. The direction of a motion, of
a shift and of a rotation is random for each image, and the same at every strength. Gaussian and
impulse noise of all strengths use the same random numbers.

Corruptions come before standardisation and crops (`data.pipeline`): they change the stored image,
not the network's inputs. Where inputs are standardised, `brightness` has no effect on an image of
which it clips no pixel.

The bits depend on the arguments and on three libraries: NumPy draws the random numbers, SciPy
filters, rotates and scales, Pillow codes JPEG. Another version of one may change bits of its
families, and another processor may round a value differently.

References:
- Hendrycks and Dietterich, 'Benchmarking Neural Network Robustness to Common Corruptions and
  Perturbations', ICLR 2019, arXiv:1903.12261.
- Mu and Gilmer, 'MNIST-C: A Robustness Benchmark for Computer Vision', 2019, arXiv:1906.02337.
"""

import io
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from bayes_by_hypernet.checks import check_choice, check_integer
from bayes_by_hypernet.data.examples import validate_images
from bayes_by_hypernet.metrics.arrays import as_array

NUM_STRENGTHS = 5
_OUTSIDE = "nearest"  # SciPy's name for pixels from outside that repeat the edge
_POINTS_PER_PIXEL = 8  # along a line, and along both sides of a pixel at the edge of a disk


class Family(NamedTuple):
    """A kind of corruption.

    Attributes:
        function: Takes an image `(height, width, channels)`, float32 in [0, 1], one of `values` and
            the image's `numpy.random.Generator`; returns the corrupted image, to be clipped.
        values: What strengths 1 to 5 mean, numbers.

    Example:
        >>> bbh.data.corruptions.FAMILIES["rotate"].values
        (10, 20, 30, 40, 50)
    """

    function: Callable
    values: tuple


def corrupt(images, family: str, strength: int, seed: int = 42) -> np.ndarray:
    """Corrupts images by one family in one strength.

    Image `i` depends on its pixels, `seed`, `family`, `strength` and `i` only: the corrupted first
    images of a set are the first corrupted images of the set.

    ```
    import bayes_by_hypernet as bbh

    digits = bbh.data.load("embedded").test.images[:1000]
    noisy = bbh.data.corruptions.corrupt(digits, "gaussian_noise", 3, seed=42)
    ```

    Args:
        images: `(N, height, width, channels)`, stored images with one or three channels: floats in
            [0, 1], or uint8 in [0, 255].
        family: One of `FAMILIES`.
        strength: Integer from 0 (no corruption) to 5; the module's table says what each means.
        seed: Integer, at least 0, of the random numbers.

    Returns:
        Array of the shape, dtype and range of `images`, newly made.

    Raises:
        ValueError: If the family, strength or seed is not one of those, or the images have another
            shape or dtype, are out of range or not finite, or there is none.

    Reference:
        Hendrycks and Dietterich, 'Benchmarking Neural Network Robustness to Common Corruptions and
        Perturbations', ICLR 2019.

    Example:
        >>> images = np.zeros((2, 28, 28, 1), np.float32)
        >>> bbh.data.corruptions.corrupt(images, "gaussian_noise", strength=3).shape
        (2, 28, 28, 1)
    """
    check_choice("family", family, tuple(FAMILIES))
    if not 0 <= check_integer("strength", strength) <= NUM_STRENGTHS:
        raise ValueError(
            f"Argument `strength` must be from 0 (clean) to {NUM_STRENGTHS}. "
            f"Received: strength={strength}"
        )
    check_integer("seed", seed, 0)
    images = _checked(images)
    if strength == 0:
        return images.copy()
    value = FAMILIES[family].values[strength - 1]
    is_bytes = images.dtype == np.uint8
    pixels = images.astype(np.float32) / np.float32(255 if is_bytes else 1)
    corrupted = np.empty_like(pixels)
    for i, image in enumerate(pixels):
        corrupted[i] = FAMILIES[family].function(image, value, _generator(seed, family, i))
    np.clip(corrupted, 0, 1, out=corrupted)
    return (np.rint(255 * corrupted) if is_bytes else corrupted).astype(images.dtype)


def _generator(seed, family, index):
    """Returns the random numbers of one image: the same at every strength."""
    return np.random.default_rng([seed, zlib.crc32(family.encode()), index])


def _checked(images):
    images = as_array("images", images)
    is_float = images.dtype.kind == "f" or images.dtype.name == "bfloat16"
    if images.dtype != np.uint8 and not is_float:
        raise ValueError(
            "Argument `images` must hold floats in [0, 1] or uint8 in [0, 255]. "
            f"Received: dtype={images.dtype}"
        )
    validate_images(images / 255 if images.dtype == np.uint8 else images)
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            "Argument `images` must have one channel (grey) or three (colour), (N, H, W, C). "
            f"Received: shape={images.shape}"
        )
    return images


# The functions of the families; see `Family` for arguments.


def _gaussian_noise(image, stddev, rng):
    return image + stddev * rng.standard_normal(image.shape, np.float32)


def _shot_noise(image, photons, rng):
    return rng.poisson(image * photons) / photons


def _impulse_noise(image, share, rng):
    # One number decides whether a value is replaced, another by what: more replace more.
    replaced, white = rng.random(image.shape) < share, rng.random(image.shape) < 0.5
    return np.where(replaced, white, image)


def _gaussian_blur(image, stddev, rng):
    return ndimage.gaussian_filter(image, (stddev, stddev, 0), mode=_OUTSIDE)


def _defocus_blur(image, radius, rng):
    return _filtered(image, _disk(radius))


def _motion_blur(image, length, rng):
    return _filtered(image, _line(length, rng.uniform(0, np.pi)))


def _brightness(image, added, rng):
    return image + np.float32(added)


def _contrast(image, factor, rng):
    mean = image.mean(axis=(0, 1), keepdims=True)
    return (image - mean) * np.float32(factor) + mean


def _pixelate(image, side, rng):
    """Means of blocks that begin at the upper left corner; the last may be smaller."""
    for axis in (0, 1):
        size = image.shape[axis]
        first = np.arange(0, size, side)
        counts = np.diff(np.append(first, size))
        sums = np.add.reduceat(image, first, axis=axis)
        means = sums / counts.astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = np.repeat(means, counts, axis=axis)
    return image


def _jpeg(image, quality, rng):
    values = np.rint(255 * image).astype(np.uint8)
    picture = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(file), np.float32) / 255
    return decoded.reshape(image.shape)


def _translate(image, pixels, rng):
    """Shifts by the pixels in one of eight directions: rows, columns, or both."""
    rows, columns = _DIRECTIONS[rng.integers(len(_DIRECTIONS))]
    return _shifted(image, pixels * rows, pixels * columns)


_DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def _shifted(image, rows, columns):
    """Returns the image moved down by rows and to the right by columns, integers."""
    height, width = image.shape[:2]
    sources = [
        np.clip(np.arange(size) - shift, 0, size - 1)
        for size, shift in ((height, rows), (width, columns))
    ]
    return image[np.ix_(*sources)]


def _rotate(image, degrees, rng):
    angle = np.deg2rad(degrees) * rng.choice([-1, 1])
    cos, sin = np.cos(angle), np.sin(angle)
    return _warped(image, np.array([[cos, -sin], [sin, cos]]))


def _scale(image, factor, rng):
    return _warped(image, np.eye(2) / factor)


def _warped(image, matrix):
    """Returns the image whose pixel at x is the old one's at `matrix @ x`, from the centre."""
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - matrix @ centre
    channels = [
        ndimage.affine_transform(image[..., k], matrix, offset, order=1, mode=_OUTSIDE)
        for k in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def _filtered(image, kernel):
    return ndimage.convolve(image, kernel[..., np.newaxis], mode=_OUTSIDE)


def _disk(radius):
    """Returns the kernel of a disk: of each pixel the share that the disk covers."""
    reach = int(np.ceil(radius - 0.5))
    step = (np.arange(_POINTS_PER_PIXEL) + 0.5) / _POINTS_PER_PIXEL - 0.5
    axis = (np.arange(-reach, reach + 1)[:, None] + step).ravel()
    inside = axis[:, None] ** 2 + axis**2 <= radius**2
    side = 2 * reach + 1
    covered = inside.reshape(side, _POINTS_PER_PIXEL, side, _POINTS_PER_PIXEL).sum(axis=(1, 3))
    return (covered / covered.sum()).astype(np.float32)


def _line(length, angle):
    """Returns the kernel of a line through the centre, each point shared by its four pixels."""
    reach = (length + 1) // 2
    along = np.linspace(-0.5, 0.5, _POINTS_PER_PIXEL * length) * (length - 1)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    y, x = reach + along * np.sin(angle), reach + along * np.cos(angle)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weights = np.abs(1 - down - (y - top)) * np.abs(1 - right - (x - left))
        np.add.at(kernel, (top + down, left + right), weights)
    return (kernel / kernel.sum()).astype(np.float32)


FAMILIES = {
    "gaussian_noise": Family(_gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": Family(_shot_noise, (40, 20, 10, 5, 2)),
    "impulse_noise": Family(_impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "gaussian_blur": Family(_gaussian_blur, (0.6, 0.9, 1.2, 1.6, 2.0)),
    "defocus_blur": Family(_defocus_blur, (1.0, 1.5, 2.0, 2.5, 3.0)),
    "motion_blur": Family(_motion_blur, (3, 5, 7, 9, 11)),
    "brightness": Family(_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": Family(_contrast, (0.75, 0.5, 0.35, 0.2, 0.1)),
    "pixelate": Family(_pixelate, (2, 3, 4, 5, 7)),
    "jpeg": Family(_jpeg, (50, 30, 15, 8, 4)),
    "translate": Family(_translate, (1, 2, 3, 4, 5)),
    "rotate": Family(_rotate, (10, 20, 30, 40, 50)),
    "scale": Family(_scale, (1.1, 1.2, 1.35, 1.5, 1.7)),
}
