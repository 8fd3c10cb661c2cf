"""Random handwriting-like images from glyphs: affine and elastic warps, stroke widths, blur, noise.

Sizes follow MNIST: a glyph's longer side is about 20 pixels, its centre of mass the image's centre.
All lengths are in pixels of the 28x28 image unless said otherwise.
"""

import numpy as np
from scipy import ndimage

from bayes_by_hypernet.data import glyphs as glyphs_lib

IMAGE_SIZE = 28
_MAX_ROTATION = np.deg2rad(18.0)
_MAX_SHEAR = 0.35
_MAX_LOG_ASPECT = 0.25
_GLYPH_SIDE = (16.5, 20.5)
_MAX_SHIFT = 1.2
_ELASTIC_STDDEV = 0.9
_ELASTIC_GRID = 5  # control points per axis
_STROKE_OFFSET = (-0.3, 0.6)  # added to both sides of a stroke
_BLUR_SIGMA = (0.35, 0.8)
_CONTRAST = (0.75, 1.0)
_NOISE_STDDEV = (0.0, 0.06)


def draw_images(rng, glyphs, indices):
    """Draws one image of each chosen glyph.

    Args:
        rng: `numpy.random.Generator`; the images are a function of its state.
        glyphs: `Glyphs`.
        indices: `(batch,)` integers: the glyph of each image.

    Returns:
        `(batch, 28, 28, 1)` uint8, bright on black.
    """
    linear = _random_linear_maps(rng, glyphs.outlines[indices])  # (batch, 2, 2)
    distances = _warped_distances(rng, glyphs.fields, indices, linear)  # (batch, 28, 28)
    distances += rng.uniform(*_STROKE_OFFSET, (len(indices), 1, 1)).astype(np.float32)
    images = np.clip(distances + 0.5, 0.0, 1.0)
    images = _blur(rng, images)
    images = _add_noise(rng, images)
    return np.rint(255.0 * images).astype(np.uint8)[..., np.newaxis]  # (batch, 28, 28, 1)


def _random_linear_maps(rng, outlines):
    """Rotation, shear and aspect, scaled so that the longer side has a length of `_GLYPH_SIDE`.

    Args:
        outlines: `(batch, points, 2)`, in units of the unwarped glyph's longer side.

    Returns:
        `(batch, 2, 2)` float32: from glyph units to pixels, as maps of (y, x).
    """
    batch = len(outlines)
    angle = rng.uniform(-_MAX_ROTATION, _MAX_ROTATION, batch)
    shear = rng.uniform(-_MAX_SHEAR, _MAX_SHEAR, batch)
    aspect = np.exp(rng.uniform(-_MAX_LOG_ASPECT, _MAX_LOG_ASPECT, batch))
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    stretch = np.zeros((batch, 2, 2))
    stretch[:, 0, 0], stretch[:, 1, 1], stretch[:, 1, 0] = 1 / aspect, aspect, shear
    linear = rotation @ stretch  # (batch, 2, 2)
    warped = outlines @ linear.swapaxes(1, 2)  # (batch, points, 2)
    longer_side = np.max(np.ptp(warped, axis=1), axis=-1)  # (batch,)
    scale = rng.uniform(*_GLYPH_SIDE, batch) / longer_side
    return (linear * scale[:, np.newaxis, np.newaxis]).astype(np.float32)


def _warped_distances(rng, fields, indices, linear):
    """Samples the distance fields on the pixel grid; returns `(batch, 28, 28)`, in pixels."""
    batch = len(indices)
    axis = np.arange(IMAGE_SIZE, dtype=np.float32) - (IMAGE_SIZE - 1) / 2
    pixels = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)  # (28, 28, 2), as (y, x)
    shift = rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, (batch, 1, 1, 2)).astype(np.float32)
    points = pixels + shift + _elastic_displacements(rng, batch)  # (batch, 28, 28, 2)
    inverse = np.linalg.inv(linear) * glyphs_lib.GLYPH_SIZE
    points = points.reshape(batch, -1, 2) @ inverse.swapaxes(1, 2)  # (batch, 784, 2)
    points += (glyphs_lib.FIELD_SIZE - 1) / 2
    coordinates = [
        np.repeat(indices, IMAGE_SIZE**2),
        points[..., 0].ravel(),
        points[..., 1].ravel(),
    ]
    # Beyond its field a glyph is at least as far away as at the field's edge: outside either way.
    distances = ndimage.map_coordinates(fields, coordinates, order=1, mode="nearest")
    pixels_per_unit = np.sqrt(np.abs(np.linalg.det(linear)))
    return distances.reshape(batch, IMAGE_SIZE, IMAGE_SIZE) * pixels_per_unit[:, None, None]


def _elastic_displacements(rng, batch):
    """Smooth random fields `(batch, 28, 28, 2)`: normal control points, smoothly joined."""
    size = (batch, 2, _ELASTIC_GRID, _ELASTIC_GRID)
    control = rng.normal(0.0, _ELASTIC_STDDEV, size).astype(np.float32)
    centres = np.linspace(0, IMAGE_SIZE - 1, _ELASTIC_GRID)
    distance = (np.arange(IMAGE_SIZE)[:, None] - centres) / (centres[1] - centres[0])
    weights = np.exp(-0.5 * (distance / 0.6) ** 2)
    # Rows of unit length keep the standard deviation that was asked for at every pixel.
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    weights = weights.astype(np.float32)  # (28, grid)
    fields = weights @ control @ weights.T  # (batch, 2, 28, 28)
    return np.moveaxis(fields, 1, -1)


def _blur(rng, images):
    """Gaussian blur with a different width for each image, cut off after two pixels."""
    sigma = rng.uniform(*_BLUR_SIGMA, (len(images), 1)).astype(np.float32)
    kernel = np.exp(-0.5 * (np.arange(-2, 3, dtype=np.float32) / sigma) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)  # (batch, 5)
    for axis in (1, 2):
        padding = [(2, 2) if i == axis else (0, 0) for i in range(3)]
        padded = np.pad(images, padding)
        images = sum(
            kernel[:, i, None, None] * np.take(padded, range(i, i + IMAGE_SIZE), axis=axis)
            for i in range(5)
        )
    return images


def _add_noise(rng, images):
    contrast = rng.uniform(*_CONTRAST, (len(images), 1, 1)).astype(np.float32)
    stddev = rng.uniform(*_NOISE_STDDEV, (len(images), 1, 1)).astype(np.float32)
    noise = rng.standard_normal(images.shape, np.float32)
    return np.clip(images * contrast + stddev * noise, 0.0, 1.0)
