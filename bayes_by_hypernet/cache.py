"""The folder in which the package keeps what it rendered, prepared or compiled."""

import os
import pathlib

ENVIRONMENT_VARIABLE = "BBH_CACHE_DIR"


def cache_dir():
    """Returns the cache folder as a `pathlib.Path`: `$BBH_CACHE_DIR`, else one below `~/.cache`."""
    folder = os.environ.get(ENVIRONMENT_VARIABLE) or "~/.cache/bayes_by_hypernet"
    return pathlib.Path(folder).expanduser()
