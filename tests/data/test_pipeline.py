"""From stored images to a network's inputs: crops, what is random, and what serving does."""

import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet.data import Examples
from bayes_by_hypernet.data.pipeline import NUM_RANDOM, PIPELINES, central_crop, random_crop
from bayes_by_hypernet.training.batches import training_batches

RNG = np.random.default_rng(0)
IMAGES = RNG.random((8, 32, 32, 3), np.float32)
CIFAR = PIPELINES["cifar5"]
# Row, column, flip, brightness, contrast: nothing shifted from the centre, nothing changed.
PLAIN = [6.5 / 13, 6.5 / 13, 0.0, 0.5, 0.5]


def _numbers(**changed):
    names = ("row", "column", "flip", "brightness", "contrast")
    numbers = dict(zip(names, PLAIN, strict=True)) | changed
    return tf.constant([list(numbers.values())] * len(IMAGES), tf.float32)


def _standardised(images):
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return (images - mean) / images.std(axis=(1, 2, 3), keepdims=True)


class TestCrops:
    def test_the_centre_for_prediction(self):
        expected = _standardised(IMAGES[:, 4:28, 4:28])
        np.testing.assert_allclose(central_crop(IMAGES), expected, atol=1e-4)

    def test_a_flat_image_becomes_zero(self):
        np.testing.assert_allclose(central_crop(np.full((1, 32, 32, 3), 0.7)), 0, atol=1e-4)

    def test_the_middle_of_every_range_is_the_central_crop(self):
        np.testing.assert_allclose(random_crop(IMAGES, _numbers()), central_crop(IMAGES), atol=1e-4)

    @pytest.mark.parametrize("number, first", [(0.0, 0), (0.999, 12)])
    def test_rows_and_columns_of_the_padded_image(self, number, first):
        padded = np.pad(IMAGES, [(0, 0), (2, 2), (2, 2), (0, 0)])
        rows = random_crop(IMAGES, _numbers(row=number))
        expected = _standardised(padded[:, first : first + 24, 6:30])
        np.testing.assert_allclose(rows, expected, atol=1e-4)
        columns = random_crop(IMAGES, _numbers(column=number))
        expected = _standardised(padded[:, 6:30, first : first + 24])
        np.testing.assert_allclose(columns, expected, atol=1e-4)

    def test_flips_left_and_right(self):
        flipped = random_crop(IMAGES, _numbers(flip=0.7))
        np.testing.assert_allclose(flipped, central_crop(IMAGES)[:, :, ::-1], atol=1e-4)

    def test_contrast_is_of_each_channel(self):
        # Standardisation takes back a change that is the same for all channels.
        outputs = random_crop(IMAGES, _numbers(contrast=0.0))
        centre = IMAGES[:, 4:28, 4:28]
        mean = centre.mean(axis=(1, 2), keepdims=True)
        expected = _standardised((centre - mean) * 0.2 + mean)
        np.testing.assert_allclose(outputs, expected, atol=1e-3)

    def test_brightness_alone_is_taken_back_by_standardisation(self):
        outputs = random_crop(IMAGES, _numbers(brightness=0.9))
        np.testing.assert_allclose(outputs, central_crop(IMAGES), atol=1e-4)

    def test_random_ones_differ_and_are_standardised(self):
        numbers = tf.random.stateless_uniform((len(IMAGES), NUM_RANDOM), (1, 2))
        outputs = random_crop(np.repeat(IMAGES[:1], len(IMAGES), axis=0), numbers).numpy()
        assert len({image.tobytes() for image in outputs}) == len(IMAGES)
        np.testing.assert_allclose(outputs.mean(axis=(1, 2, 3)), 0, atol=1e-4)
        np.testing.assert_allclose(outputs.std(axis=(1, 2, 3)), 1, atol=1e-3)


class TestPipeline:
    def test_mnist_goes_in_as_it_is(self):
        images = RNG.random((3, 28, 28, 1), np.float32)
        assert PIPELINES["mnist"].inputs(images) is images
        assert PIPELINES["mnist"].served_inputs(images) is images

    def test_inputs_of_many_images(self):
        np.testing.assert_allclose(CIFAR.inputs(IMAGES, batch_size=3), central_crop(IMAGES))

    def test_serves_bytes(self):
        served = CIFAR.served_inputs(tf.constant(255 * IMAGES))
        np.testing.assert_allclose(served, central_crop(IMAGES), atol=1e-4)


class TestBatches:
    EXAMPLES = Examples(np.repeat(IMAGES, 5, axis=0), np.arange(40))

    def _batches(self, *steps, **settings):
        batches = training_batches(self.EXAMPLES, 10, 3, *steps, pipeline=CIFAR, **settings)
        return [(images.numpy(), labels.numpy()) for images, labels in batches]

    def test_a_step_is_the_same_wherever_one_begins(self):
        whole, rest = self._batches(0, 8), self._batches(5, 8)
        for ours, theirs in zip(whole[5:], rest, strict=True):
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1], theirs[1])

    def test_epochs_augment_anew(self):
        first, second = self._batches(0, 4), self._batches(4, 8)
        by_label = {}
        for batches in (first, second):
            for images, labels in batches:
                for image, label in zip(images, labels, strict=True):
                    by_label.setdefault(label, []).append(image)
        assert all(np.abs(a - b).max() > 0.01 for a, b in by_label.values())

    def test_replicas_share_a_batch_whose_images_do_not_depend_on_them(self):
        [(images, labels), *_] = self._batches(0, 4)
        parts = self._batches(0, 4, num_replicas=2, replicas=(0, 1))[:2]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), images)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)
