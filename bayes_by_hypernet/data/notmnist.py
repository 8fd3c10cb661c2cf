"""notMNIST (Bulatov, 2011): letters A to J from many fonts, the outliers of MNIST.

A TensorFlow Datasets builder of our own for the 10,000 test images, and what finds, downloads and
checks their files. Importing this module imports TensorFlow Datasets.
"""

import contextlib
import io
import logging
import os
import pathlib

import tensorflow_datasets as tfds

from bayes_by_hypernet.cache import cache_dir
from bayes_by_hypernet.data import cache, idx, network, prepared

logger = logging.getLogger(__name__)

NAME = "notmnist"
ENVIRONMENT_VARIABLE = "BBH_NOTMNIST_DIR"
# SHA-256 of the uncompressed files: compression of the same content may differ.
IMAGES = "t10k-images-idx3-ubyte"
LABELS = "t10k-labels-idx1-ubyte"
CHECKSUMS = {
    IMAGES: "8e7f38ae95cc8f48e0986175ffc9137e5007ebcf3d8fdf6656c904eb9dab198b",
    LABELS: "5f8e6012f2ce730700d8d05fca098bc47f71d25b890e4bec7ac5ebfd614a4001",
}
NUM_EXAMPLES = 10000
_SOURCE = "https://github.com/davidflanagan/notMNIST-to-MNIST/raw/master"


class NotMNIST(tfds.core.GeneratorBasedBuilder):
    """The test images of notMNIST, in the order of the IDX files."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The 10,000 test images."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Put {IMAGES}.gz and {LABELS}.gz of {_SOURCE} into the folder, compressed or not."
    )

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Letters A to J, cut out of fonts found on the web, as 28x28 images in the format "
                "of MNIST; of varied and sometimes illegible style. Here: the 10,000 test images "
                "of David Flanagan's conversion. Neither the author nor the converter states a "
                "licence for the images, which derive from fonts of many owners."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(names=list("ABCDEFGHIJ")),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html",
            citation=(
                "@misc{bulatov2011notmnist, title={notMNIST dataset}, author={Bulatov, Yaroslav}, "
                "year={2011}, url={https://yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html}}"
            ),
            disable_shuffling=True,  # keeps the order of the files
        )

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples(pathlib.Path(dl_manager.manual_dir))}

    def _generate_examples(self, folder):
        images, labels = read_files(folder)
        for key, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield key, {"image": image[..., None], "label": int(label)}


def read_files(folder):
    """Reads the two IDX files in `folder` and checks them.

    Returns:
        Images `(N, 28, 28)` and labels `(N,)`, uint8.

    Raises:
        FileNotFoundError: If either is not there.
        ValueError: If either is damaged, or has not the checksum.
    """
    paths = {name: idx.find(folder, name) for name in CHECKSUMS}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise FileNotFoundError(_missing(f"{_file_names(missing)} not in {folder}"))
    return tuple(idx.read(paths[name], checksum) for name, checksum in CHECKSUMS.items())


def prepare(notmnist_dir=None):
    """Makes sure that notMNIST is prepared in our cache, from IDX files or by download (3 MB).

    Args:
        notmnist_dir: Folder of the two IDX files, or None: what an earlier call prepared, else the
            folder that `$BBH_NOTMNIST_DIR` names, else a download. A given folder is always
            checked.

    Raises:
        FileNotFoundError: If there are no files and no network. This takes seconds.
        ValueError: If a file is damaged, or not the one that is expected.
        OSError: If the cache folder cannot be written.
    """
    if notmnist_dir:
        read_files(pathlib.Path(notmnist_dir).expanduser())
    if prepared.is_prepared(_directory(), ["test"]):
        return
    folder = notmnist_dir or os.environ.get(ENVIRONMENT_VARIABLE)
    with contextlib.ExitStack() as stack:
        if folder:
            folder = pathlib.Path(folder).expanduser()
            read_files(folder)
        else:
            folder = stack.enter_context(_downloaded_files())
        _build(folder)


def load():
    """Returns the prepared test images, `Examples` with labels 0 (A) to 9 (J)."""
    return prepared.read(_directory(), "test", NUM_EXAMPLES)


def _directory():
    return cache_dir() / "tfds" / "not_mnist" / str(NotMNIST.VERSION)


@contextlib.contextmanager
def _downloaded_files():
    """Yields a temporary folder with the two files; checks them as those of a user."""
    urls = {f"{name}.gz": f"{_SOURCE}/{name}.gz" for name in CHECKSUMS}
    if not network.is_reachable(urls[f"{LABELS}.gz"]):
        raise FileNotFoundError(
            _missing(f"no folder with {_file_names(CHECKSUMS)} named, {_SOURCE} not reachable")
        )
    with cache.staging_folder() as folder:
        logger.info("Downloading notMNIST from %s.", _SOURCE)
        try:
            for name, url in urls.items():
                network.download(url, folder / name)
        except OSError as error:
            raise FileNotFoundError(
                _missing(f"the download from {_SOURCE} failed: {error}")
            ) from error
        read_files(folder)
        yield folder


def _build(folder):
    """Runs the builder in a new folder, so that simultaneous processes do not collide."""
    tfds.disable_progress_bar()
    with cache.staging_folder() as staging:
        builder = NotMNIST(data_dir=staging)
        config = tfds.download.DownloadConfig(manual_dir=folder, try_download_gcs=False)
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints the staging folder's name.
            builder.download_and_prepare(download_config=config)
        cache.publish_folder(pathlib.Path(builder.data_dir), _directory())


def _file_names(names):
    return " and ".join(f"{name}[.gz]" for name in names)


def _missing(reason):
    return (
        f"notMNIST cannot be prepared under {_directory()}: {reason}. Name the folder that "
        f"holds {_file_names(CHECKSUMS)} with --notmnist_dir or {ENVIRONMENT_VARIABLE}."
    )
