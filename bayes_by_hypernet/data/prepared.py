"""Reading what TensorFlow Datasets prepared, from folders that may be read-only, offline."""

import numpy as np

from bayes_by_hypernet.data.examples import Examples


def is_prepared(directory, splits):
    """Whether a version's folder, such as `mnist/3.0.1`, is complete: TFDS moves it there whole."""
    return (directory / "dataset_info.json").is_file() and all(
        any(directory.glob(f"*-{split}.*")) for split in splits
    )


def read(directory, split, num_examples):
    """Returns a split's `Examples`, in the stored order.

    Args:
        directory: `pathlib.Path` of a version's folder.
        split: String, the split's name.
        num_examples: Integer, how many examples it must have.

    Raises:
        ValueError: If the files are damaged.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    try:
        # Needs neither the builder's code nor a writable folder, unlike `tfds.load`.
        builder = tfds.builder_from_directory(directory)
        arrays = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, shuffle_files=False))
    except (OSError, tf.errors.OpError, ValueError) as error:
        raise ValueError(
            f"The files under {directory} are damaged ({error}). Delete the folder and prepare it "
            "again."
        ) from error
    if len(arrays["label"]) != num_examples:
        raise ValueError(
            f"The split `{split}` under {directory} must have {num_examples} examples. "
            f"Received: {len(arrays['label'])}. Delete the folder and prepare it again."
        )
    images = arrays["image"].astype(np.float32) / np.float32(255)  # (N, H, W, C)
    return Examples(images, arrays["label"].astype(np.int64))
