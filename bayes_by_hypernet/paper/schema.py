"""The version of `config.json` and `results.json`, and how older files are read."""

import json
import os
import pathlib

SCHEMA_VERSION = 1


class SchemaError(ValueError):
    """A file of a run was written by a later version of the package."""


def _from_0(contents):
    """`config.json` had no version yet; a setting that it lacks has its default."""
    return contents


# Version to the function from contents of that version to contents of the next. Each takes both
# `config.json` and `results.json`, and leaves its argument unchanged.
MIGRATIONS = {0: _from_0}


def read(path: str | os.PathLike) -> dict:
    """Reads `config.json` or `results.json`, written by this version of the package or before.

    Args:
        path: Of the file.

    Returns:
        Dict, the contents as the current version would have written them.

    Raises:
        OSError: If the file cannot be read.
        SchemaError: If it was written by a later version of the package.
    """
    contents = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    found = contents.get("schema_version", 0)
    if found not in range(SCHEMA_VERSION + 1):
        raise SchemaError(
            f"The file {os.fspath(path)!r} has schema_version={found!r}, and this version of the "
            f"package reads at most {SCHEMA_VERSION}; use a newer version of the package."
        )
    for version in range(found, SCHEMA_VERSION):
        contents = MIGRATIONS[version](contents)
    return {**contents, "schema_version": SCHEMA_VERSION}
