"""From stored images to what a network takes: the same in training, evaluation and serving."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

_PADDED = 36  # pixels of a side
_CROP = 24
# Of the range of a pixel, and factors: random brightness and contrast in training.
_MAX_BRIGHTNESS = 63 / 255
_CONTRAST = (0.2, 1.8)
NUM_RANDOM = 5  # random numbers that decide how an image is augmented


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """What happens to images, pixels in [0, 1], before they enter a network.

    Attributes:
        image_shape: `(height, width, channels)` of a stored image.
        prepare: Function of images `(N, *image_shape)` that gives the network's inputs; None:
            they are.
        augment: Function of images and uniform random numbers `(N, NUM_RANDOM)` that gives the
            network's inputs in training; None: it takes those of `prepare`.
        served_range: Least and largest pixel of the images that an exported model takes.
    """

    image_shape: tuple
    prepare: Callable | None = None
    augment: Callable | None = None
    served_range: tuple = (0.0, 1.0)

    def training_inputs(self, images, numbers):
        """Returns the network's inputs of images in training; `numbers` as `augment` takes them."""
        if self.augment:
            return self.augment(images, numbers)
        return self.prepare(images) if self.prepare else images

    def served_inputs(self, images):
        """Returns the network's inputs of images with pixels in `served_range`."""
        return images if self.prepare is None else self.prepare(images / self.served_range[1])

    def inputs(self, images, batch_size=1000):
        """Returns the network's inputs of many images, an array."""
        if self.prepare is None:
            return images
        parts = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
        return np.concatenate([self.prepare(part).numpy() for part in parts])


def standardise(images):
    """Shifts and scales each image to mean 0 and standard deviation 1; a flat one becomes 0.

    Args:
        images: `(batch, height, width, channels)`.
    """
    return tf.image.per_image_standardization(images)


def central_crop(images):
    """Returns the standardised central 24x24 pixels (protocol), `(batch, 24, 24, channels)`."""
    images = tf.convert_to_tensor(images)
    top, left = ((size - _CROP) // 2 for size in images.shape[1:3])
    return standardise(images[:, top : top + _CROP, left : left + _CROP])


def random_crop(images, numbers):
    """Returns standardised 24x24 crops, shifted, flipped, brighter or darker at random (protocol).

    Each image is padded with zeros to 36x36 pixels, cropped and flipped; then its brightness
    changes by up to 63/255 of the range and its contrast by a factor in [0.2, 1.8].

    Args:
        images: `(batch, 32, 32, channels)`, pixels in [0, 1].
        numbers: `(batch, 5)` in [0, 1), float32: uniform ones.
    """
    row, column, flip, brightness, contrast = tf.unstack(numbers, NUM_RANDOM, axis=1)
    height, width = images.shape[1:3]
    images = tf.image.pad_to_bounding_box(
        images, (_PADDED - height) // 2, (_PADDED - width) // 2, _PADDED, _PADDED
    )
    for axis, number in ((1, row), (2, column)):
        first = tf.cast(number * (_PADDED - _CROP + 1), tf.int32)
        pixels = first[:, tf.newaxis] + tf.range(_CROP)  # (batch, 24)
        images = tf.gather(images, pixels, axis=axis, batch_dims=1)
    images = tf.where(_of_images(flip) < 0.5, images, tf.reverse(images, [2]))
    images += _between(brightness, -_MAX_BRIGHTNESS, _MAX_BRIGHTNESS)
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)  # of each channel
    return standardise((images - mean) * _between(contrast, *_CONTRAST) + mean)


def _between(numbers, low, high):
    return low + (high - low) * _of_images(numbers)


def _of_images(numbers):
    return tf.reshape(numbers, (-1, 1, 1, 1))


# By the name of the data set.
PIPELINES = {
    "mnist": Pipeline((28, 28, 1)),
    "cifar5": Pipeline((32, 32, 3), central_crop, random_crop, (0.0, 255.0)),
}
