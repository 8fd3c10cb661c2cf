"""The folder in which the package keeps what it rendered, prepared or compiled."""

import os
import pathlib

ENVIRONMENT_VARIABLE = "BBH_CACHE_DIR"


class NoHomeError(RuntimeError, OSError):
    """Nobody knows the home folder: no HOME, and no entry of the user in passwd."""


def cache_dir():
    """Returns the cache folder as a `pathlib.Path`: `$BBH_CACHE_DIR`, else one below `~/.cache`.

    Raises:
        NoHomeError: If the variable is not set and nobody knows the home folder.
    """
    folder = os.environ.get(ENVIRONMENT_VARIABLE) or "~/.cache/bayes_by_hypernet"
    try:
        return pathlib.Path(folder).expanduser()
    except RuntimeError as error:
        raise NoHomeError(
            f"There is no home folder for {folder!r}: HOME is not set, and the user has no entry "
            f"in passwd. Set {ENVIRONMENT_VARIABLE} to a folder that can be written."
        ) from error


def make_folder(path):
    """Makes a folder of the cache and those above it, if absent, for the user alone (mode 0700).

    Raises:
        OSError: If it cannot be made.
    """
    if not path.is_dir():
        if path.parent != path:
            make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
