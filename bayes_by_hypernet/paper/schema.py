"""The version of a run's JSON files, how older files are read, and what must be in them."""

import logging
import os

from bayes_by_hypernet import files

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1

# The least that `results.json` holds, whatever version wrote it.
RESULTS = """method architecture noise noise_dim kl_estimator dataset outlier_dataset protocol seed
error_percent in_auc outlier_auc nll brier ece auroc mutual_information_in mutual_information_out
train_seconds ms_per_step num_weights num_parameters epochs temperature hardware versions
data_fingerprint config complete""".split()
_NUMBERS = """seed error_percent in_auc outlier_auc nll brier ece auroc train_seconds num_weights
num_parameters epochs""".split()

RESULTS_ADVICE = "The command that trained the run makes it again."


class SchemaError(ValueError):
    """A file of a run was written by a later version of the package."""


def _from_0(contents):
    """`config.json` had no version yet; a setting that it lacks has its default."""
    return contents


# Version to the function from contents of that version to contents of the next. Each takes both
# `config.json` and `results.json`, and leaves its argument unchanged.
MIGRATIONS = {0: _from_0}


def read(path: str | os.PathLike) -> dict:
    """Reads a JSON file of a run, written by this version of the package or before.

    Args:
        path: Of the file.

    Returns:
        Dict, the contents as the current version would have written them.

    Raises:
        FileNotFoundError: If there is no file.
        DamagedFileError: If it holds no such dict.
        SchemaError: If it was written by a later version of the package.
    """
    contents = files.read_json(path)
    found = contents.get("schema_version", 0)
    if type(found) is not int or found not in range(SCHEMA_VERSION + 1):
        raise SchemaError(
            f"The file {os.fspath(path)!r} has schema_version={found!r}, and this version of the "
            f"package reads at most {SCHEMA_VERSION}; use a newer version of the package."
        )
    for version in range(found, SCHEMA_VERSION):
        contents = MIGRATIONS[version](contents)
    return {**contents, "schema_version": SCHEMA_VERSION}


def read_results(path: str | os.PathLike) -> dict:
    """Reads `results.json`; as `read`, and DamagedFileError where one of `RESULTS` is missing.

    Incomplete results, which earlier versions wrote, may lack anything.
    """
    contents = read(path)
    if contents.get("complete") is False:
        return contents
    missing = [name for name in RESULTS if name not in contents]
    if missing:
        raise files.damaged(path, f"it lacks {', '.join(missing[:3])}", RESULTS_ADVICE)
    for name in _NUMBERS:
        if type(contents[name]) not in (int, float):
            raise files.damaged(path, f"{name} is {contents[name]!r}, no number", RESULTS_ADVICE)
    return contents


def read_record(path: str | os.PathLike, names: dict) -> dict | None:
    """Reads what a launcher found out about a run; None where there is none.

    One that is damaged is None too, after a warning: its launcher makes it again.

    Args:
        path: Of the file.
        names: Of what it must hold, and the types of these.

    Raises:
        SchemaError: If a later version of the package wrote it.
    """
    try:
        contents = read(path)
        wrong = [
            name
            for name, kind in names.items()
            if name not in contents or not isinstance(contents[name], kind)
        ]
        if wrong:
            raise files.damaged(path, f"it has no {wrong[0]}")
    except FileNotFoundError:
        return None
    except files.DamagedFileError as error:
        logger.warning("%s", error)
        return None
    return contents
