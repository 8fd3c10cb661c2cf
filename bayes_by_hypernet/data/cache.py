"""Safe writes to the cache folder, of rendered arrays and of prepared data sets."""

import contextlib
import logging
import os
import pathlib
import tempfile
import zipfile

import numpy as np

from bayes_by_hypernet.cache import ENVIRONMENT_VARIABLE, cache_dir, make_folder

logger = logging.getLogger(__name__)


def save_arrays(path, arrays):
    """Writes a dict of arrays so that `path` is at any time absent, the old file or the whole new.

    A folder that cannot be written is no reason to stop: the arrays stay in memory, a warning says
    that they are made again next time.
    """
    try:
        make_folder(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        logger.warning(
            "Could not write the cache file %s (%s); the data will be made again next time. "
            "Set %s to a folder that can be written.",
            path,
            error,
            ENVIRONMENT_VARIABLE,
        )


def load_arrays(path):
    """Reads what `save_arrays` wrote; None, with a warning, where the file is damaged or missing.

    The zip format holds a checksum of each array, so truncation and flipped bits are both found.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        logger.warning("The cache file %s is damaged (%s); making it again.", path, error)
        return None


@contextlib.contextmanager
def staging_folder():
    """Yields a new folder inside the cache, deleted in the end; no two processes share one."""
    try:
        make_folder(cache_dir())
        staging = tempfile.TemporaryDirectory(dir=cache_dir(), prefix=".partial-")
    except OSError as error:
        raise OSError(
            f"The cache folder {cache_dir()} cannot be written ({error}). Set "
            f"{ENVIRONMENT_VARIABLE} to a folder that can."
        ) from error
    with staging as folder:
        yield pathlib.Path(folder)


def publish_folder(folder, path):
    """Moves a finished folder to `path` in one step; another process's, if first, is kept."""
    make_folder(path.parent)
    try:
        os.rename(folder, path)
    except OSError:
        if not path.is_dir():
            raise
