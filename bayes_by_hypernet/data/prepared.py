"""Sets prepared by TensorFlow Datasets: downloaded if possible, read offline."""

import contextlib
import dataclasses
import io
import logging
import os
import pathlib

import numpy as np

from bayes_by_hypernet.cache import cache_dir
from bayes_by_hypernet.data import network
from bayes_by_hypernet.data.examples import Examples

logger = logging.getLogger(__name__)


def data_folder(data_dir=None):
    """Returns the folder of prepared sets: `data_dir`, `$TFDS_DATA_DIR` or TFDS's own default.

    Without a home folder, in which that is, it is one in the cache folder.
    """
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    try:
        return pathlib.Path(folder).expanduser()
    except RuntimeError:
        return cache_dir() / "tensorflow_datasets"


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


@dataclasses.dataclass(frozen=True)
class PreparedSet:
    """A set of TFDS in one version, since splits are taken in that version's stored order.

    Attributes:
        title: For messages.
        name, version: As TFDS says them.
        num_examples: Dict, split to number of examples.
        source: URL of the server that TFDS downloads it from.
        download: String, how much that is.
    """

    title: str
    name: str
    version: str
    num_examples: dict
    source: str
    download: str

    def directory(self, data_dir=None):
        """Returns where it lies below `data_dir`, see `data_folder`."""
        return data_folder(data_dir) / self.name / self.version

    def is_prepared(self, data_dir=None):
        """Returns whether it lies below `data_dir`, complete."""
        return is_prepared(self.directory(data_dir), self.num_examples)

    def prepare(self, data_dir=None):
        """Makes sure that it is prepared; downloads it where it is not and a server answers.

        Raises:
            FileNotFoundError: If it is not prepared and cannot be had. Without a network this
                takes seconds.
        """
        if self.is_prepared(data_dir):
            return
        folder = data_folder(data_dir)
        if not network.is_reachable(self.source):
            raise FileNotFoundError(self._missing(folder, "its server does not answer"))
        import tensorflow_datasets as tfds

        logger.info("Downloading %s (%s) into %s.", self.title, self.download, folder)
        tfds.disable_progress_bar()
        name = f"{self.name}:{self.version}"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                tfds.builder(name, data_dir=folder, try_gcs=False).download_and_prepare()
        except Exception as error:  # TFDS and its downloader raise many kinds.
            if not self.is_prepared(data_dir):  # Another process may have been faster.
                reason = f"preparing it failed: {error}"
                raise FileNotFoundError(self._missing(folder, reason)) from error

    def read(self, split, data_dir=None):
        """Returns a split's `Examples`, in the stored order; ValueError if they are damaged."""
        return read(self.directory(data_dir), split, self.num_examples[split])

    def _missing(self, folder, reason):
        return (
            f"{self.title} {self.version} is not prepared under {folder}, and {reason}. Prepare it "
            f"on a machine with a network by `tfds build {self.name} --data_dir={folder}`, or name "
            "the folder that holds it with --data_dir or TFDS_DATA_DIR."
        )
