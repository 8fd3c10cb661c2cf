"""What every data set is: labelled images in three splits, and outliers."""

import dataclasses
import hashlib

import numpy as np

from bayes_by_hypernet.checks import refusal
from bayes_by_hypernet.metrics.arrays import as_array


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled images.

    Attributes:
        images: `(N, H, W, C)` float32 in [0, 1].
        labels: `(N,)` int64.

    Example:
        >>> len(bbh.data.Examples(images=np.zeros((2, 8, 8, 1)), labels=np.array([0, 1])))
        2
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An in-distribution set with its splits, and a set of outliers of the same image shape.

    Attributes:
        name: String, the in-distribution set.
        outlier_name: String, where the outliers come from.
        num_classes: Integer, C.
        train, validation, test: `Examples` with labels in 0..C-1; no validation set: None.
        outliers: `(M, H, W, C)` float32 in [0, 1].
        fallback_reason: String or None. A sentence for the user where this is not the data that was
            hoped for: why, where it was looked for, how to get it.

    Raises:
        ValueError: If an array's rank, shape, range or length is not as said above.

    Example:
        >>> images, labels = np.zeros((2, 8, 8, 1), np.float32), np.array([0, 1])
        >>> examples = bbh.data.Examples(images, labels)
        >>> dataset = bbh.data.Dataset("mine", "none", 2, examples, None, examples, outliers=images)
        >>> sorted(dataset.splits)
        ['test', 'train']
    """

    name: str
    outlier_name: str
    num_classes: int
    train: Examples
    validation: Examples | None
    test: Examples
    outliers: np.ndarray
    fallback_reason: str | None = None

    def __post_init__(self):
        validate(self)

    @property
    def splits(self):
        """Dict, name to the `Examples` of each split that there is."""
        splits = {name: getattr(self, name) for name in ("train", "validation", "test")}
        return {name: examples for name, examples in splits.items() if examples is not None}

    def fingerprint(self):
        """Returns 16 hexadecimal digits that depend on every pixel and label, in their order."""
        digest = hashlib.sha256()
        arrays = [self.outliers]
        for split in self.splits.values():
            arrays += [split.images, split.labels]
        for array in arrays:
            digest.update(f"{array.shape} {array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


def validate(dataset):
    """Checks a `Dataset`; its docstring says for what.

    Example:
        >>> images, labels = np.zeros((2, 8, 8, 1), np.float32), np.array([0, 1])
        >>> examples = bbh.data.Examples(images, labels)
        >>> bbh.data.validate(bbh.data.Dataset("mine", "none", 2, examples, None, examples, images))
    """
    for split, examples in dataset.splits.items():
        validate_images(examples.images, f"{split}.images", dataset.train.images.shape[1:])
        _validate_labels(examples, split, dataset.num_classes)
    validate_images(dataset.outliers, "outliers", dataset.train.images.shape[1:])


def validate_images(images, name="images", input_shape=None):
    """Checks that images are `(N, H, W, C)` with finite pixels in [0, 1].

    Args:
        images: The array.
        name: String, what the message calls it.
        input_shape: Tuple `(H, W, C)` or None. The shape that every image must have.

    Raises:
        ValueError: If they are not.

    Example:
        >>> bbh.data.validate_images(np.zeros((2, 8, 8, 1)))
        >>> bbh.data.validate_images(np.full((2, 8, 8, 1), 255.0))
        Traceback (most recent call last):
        ValueError: Argument `images` must have pixels in [0, 1] (divide bytes by 255). ...
    """
    images = as_array(name, images)
    if images.dtype.kind not in "biuf" and images.dtype.name != "bfloat16":
        raise refusal(name, "an array of real numbers", images)
    if images.ndim != 4:
        raise ValueError(
            f"Argument `{name}` must have rank 4, (N, H, W, C). Received: shape={np.shape(images)}"
        )
    if input_shape is not None and images.shape[1:] != tuple(input_shape):
        raise ValueError(
            f"Argument `{name}` must hold images of shape {tuple(input_shape)} (height, width, "
            f"channels), as the training images. Received: shape={images.shape}"
        )
    if not images.size:
        raise ValueError(f"Argument `{name}` must not be empty. Received: shape={images.shape}")
    low, high = images.min(), images.max()  # NaN where any pixel is NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"Argument `{name}` must be finite. Received: "
            f"{np.sum(~np.isfinite(images))} pixels that are NaN or infinite"
        )
    if low < 0 or high > 1:
        raise ValueError(
            f"Argument `{name}` must have pixels in [0, 1] (divide bytes by 255). "
            f"Received: pixels in [{low:g}, {high:g}]"
        )


def _validate_labels(examples, split, num_classes):
    labels = examples.labels
    if np.shape(labels) != (len(examples.images),):
        raise ValueError(
            f"Argument `{split}.labels` must have one label for each of {len(examples.images)} "
            f"images. Received: shape={np.shape(labels)}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Argument `{split}.labels` must be integers. Received: dtype={labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"Argument `{split}.labels` must be in 0..{num_classes - 1}. "
            f"Received: labels in {labels.min()}..{labels.max()}"
        )
