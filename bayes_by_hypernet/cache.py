"""The folder in which the package keeps what it rendered, prepared or compiled."""

import os
import pathlib

ENVIRONMENT_VARIABLE = "BBH_CACHE_DIR"


def cache_dir():
    """Returns the cache folder as a `pathlib.Path`: `$BBH_CACHE_DIR`, else one below `~/.cache`."""
    folder = os.environ.get(ENVIRONMENT_VARIABLE) or "~/.cache/bayes_by_hypernet"
    return pathlib.Path(folder).expanduser()


def make_folder(path):
    """Makes a folder of the cache and those above it, if absent, for the user alone (mode 0700).

    Raises:
        OSError: If it cannot be made.
    """
    if not path.is_dir():
        if path.parent != path:
            make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
