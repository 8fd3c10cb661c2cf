"""MNIST (LeCun et al., 1998) through TensorFlow Datasets: 55,000 / 5,000 / 10,000 images."""

import contextlib
import io
import logging
import os
import pathlib

from bayes_by_hypernet.data import network, prepared
from bayes_by_hypernet.data.examples import Examples

logger = logging.getLogger(__name__)

NAME = "mnist"
NUM_CLASSES = 10
VERSION = "3.0.1"  # the split below is in this version's stored order
NUM_VALIDATION = 5000
_NUM_EXAMPLES = {"train": 60000, "test": 10000}
_SOURCE = "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz"


def data_folder(data_dir=None):
    """Returns the folder of prepared sets: `data_dir`, `$TFDS_DATA_DIR` or TFDS's own default."""
    folder = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(folder).expanduser()


def is_prepared(data_dir=None):
    """Returns whether MNIST lies under `data_dir`, ready to be read."""
    return prepared.is_prepared(_directory(data_dir), _NUM_EXAMPLES)


def prepare(data_dir=None):
    """Makes sure that MNIST is prepared; downloads it (11 MB) where it is not and a server answers.

    Raises:
        FileNotFoundError: If it is not prepared and cannot be had. Without a network this takes
            seconds.
    """
    if is_prepared(data_dir):
        return
    folder = data_folder(data_dir)
    if not network.is_reachable(_SOURCE):
        raise FileNotFoundError(_missing(folder, "its server does not answer"))
    import tensorflow_datasets as tfds

    logger.info("Downloading MNIST into %s.", folder)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            tfds.builder(f"mnist:{VERSION}", data_dir=folder, try_gcs=False).download_and_prepare()
    except Exception as error:  # TFDS raises many kinds, of its own and of its downloader's.
        if not is_prepared(data_dir):  # Another process may have been faster.
            raise FileNotFoundError(_missing(folder, f"preparing it failed: {error}")) from error


def load(data_dir=None):
    """Reads the prepared MNIST.

    Args:
        data_dir: Folder of TFDS's prepared sets, which may be read-only; see `data_folder`.

    Returns:
        The splits train (`train[5000:]`), validation (`train[:5000]`) and test, as `Examples`.

    Raises:
        ValueError: If the prepared files are damaged.
    """
    directory = _directory(data_dir)
    train, test = (prepared.read(directory, split, n) for split, n in _NUM_EXAMPLES.items())
    validation = Examples(train.images[:NUM_VALIDATION], train.labels[:NUM_VALIDATION])
    train = Examples(train.images[NUM_VALIDATION:], train.labels[NUM_VALIDATION:])
    return train, validation, test


def _directory(data_dir):
    return data_folder(data_dir) / "mnist" / VERSION


def _missing(folder, reason):
    return (
        f"MNIST {VERSION} is not prepared under {folder}, and {reason}. Prepare it on a machine "
        f"with a network by `tfds build mnist --data_dir={folder}`, or name the folder that holds "
        "it with --data_dir or TFDS_DATA_DIR."
    )
