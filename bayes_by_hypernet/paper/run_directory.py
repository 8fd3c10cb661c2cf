"""The folder of a run: its owner, its files, atomic writes."""

import contextlib
import functools
import logging
import os
import pathlib
import secrets
import tempfile

from bayes_by_hypernet import files
from bayes_by_hypernet.paper import schema
from bayes_by_hypernet.paper.configuration import CONFIG_FILE, read_config
from bayes_by_hypernet.paper.run_lock import RunLock

logger = logging.getLogger(__name__)

RESULTS_FILE = "results.json"
FLAGS_FILE = "run.flags"
PREDICTIONS_FILE = "predictions.npz"
CURVES_FILE = "curves.json"
SAVED_MODEL = "saved_model"
FILES = (RESULTS_FILE, CONFIG_FILE, FLAGS_FILE, PREDICTIONS_FILE, CURVES_FILE)
FOLDERS = ("checkpoints", "tensorboard", SAVED_MODEL, "figures")
PREDICTIONS = (
    "test_mean",
    "test_mutual_information",
    "test_labels",
    "outlier_mean",
    "outlier_mutual_information",
)
CURVES = (
    "test_entropy_cdf",
    "outlier_entropy_cdf",
    "calibration_counts",
    "calibration_confidence",
    "calibration_accuracy",
)


class RunDirectoryError(ValueError):
    """A run directory cannot be used for what was asked."""


class RunDirectory:
    """The folder of a run, new or to be resumed.

    Making one only looks; `initialize` writes, once the data are there.

    Args:
        path: The folder.
        config: `RunConfig` of the run.
        overwrite: Whether to delete what another run left here.
        writer: Whether this process writes; the other workers of a distributed run only read.

    Raises:
        RunDirectoryError: If the folder belongs to another configuration or cannot be written. That
            of a finished run need not be.
        StorageError: If a folder lies in the place of a file, or a file in that of a folder.
        SchemaError: If a later version of the package wrote the run.
    """

    def __init__(self, path, config, overwrite=False, writer=True):
        self.path = pathlib.Path(path)
        self.config = config
        self._overwrite = overwrite
        self._writer = writer
        if not overwrite:
            self._check_kinds()
            self._check_owner()
        if writer and not self.results:
            self._check_writable()

    def lock(self, wait=False):
        """Returns the `RunLock` of the folder; for a worker that only reads, no lock."""
        return RunLock(self.path, wait) if self._writer else contextlib.nullcontext()

    def initialize(self, fingerprint):
        """Enters configuration and data, after deleting another run's files with `overwrite`.

        Args:
            fingerprint: Of the data.

        Raises:
            RunDirectoryError: If the run that is here was trained on other data.
        """
        if self._writer:
            files.remove_partial(self.path)
        if self._overwrite and self._writer:
            self._clear()
        elif not self._overwrite:
            self.check_data(fingerprint)
        self._overwrite = False
        if self._writer:
            self._write_configuration(fingerprint)
            files.write_text(self.path / FLAGS_FILE, flag_lines(self.config))

    def mend_configuration(self):
        """Writes the configuration of a finished run anew where it could not be read."""
        if self._config_is_lost:
            self._write_configuration(self.results["data_fingerprint"])
            self._config_is_lost = False

    def _write_configuration(self, fingerprint):
        contents = {
            "schema_version": schema.SCHEMA_VERSION,
            **self.config.flat(),
            "data_fingerprint": fingerprint,
        }
        files.write_json(self.path / CONFIG_FILE, contents)

    @property
    def results(self):
        """The results of a finished run, or None; None with `overwrite` before `initialize`."""
        path = self.path / RESULTS_FILE
        if self._overwrite or not path.exists():
            return None
        try:
            results = schema.read_results(path)
        except files.DamagedFileError as error:
            if self._writer:
                logger.warning("%s", error)
            return None
        return results if results["complete"] else None

    def lost(self):
        """Returns the names of the files of predictions and the export that can't be read."""
        readers = {
            PREDICTIONS_FILE: functools.partial(files.read_arrays, names=PREDICTIONS),
            CURVES_FILE: read_curves,
            SAVED_MODEL: _check_saved_model,
        }
        lost = []
        for name, read in readers.items():
            try:
                read(self.path / name)
            except FileNotFoundError:
                lost.append(name)
            except files.DamagedFileError as error:
                logger.warning("%s", error)
                lost.append(name)
        return lost

    def write_results(self, results):
        files.write_json(self.path / RESULTS_FILE, results)

    def write_predictions(self, test, outliers, labels):
        """Keeps mean probabilities, mutual information and labels of every image."""
        values = (
            test.mean,
            test.mutual_information,
            labels,
            outliers.mean,
            outliers.mutual_information,
        )
        arrays = dict(zip(PREDICTIONS, values, strict=True))
        files.write_arrays(self.path / PREDICTIONS_FILE, arrays, compressed=True)

    def write_curves(self, curves):
        """Keeps what figures of a run are drawn from, a few kilobytes."""
        files.write_json(self.path / CURVES_FILE, curves)

    def check_data(self, fingerprint):
        """Raises RunDirectoryError if the run that is here was trained on other data."""
        path = self.path / CONFIG_FILE
        contents = schema.read(path) if path.exists() and not self._config_is_lost else {}
        there = contents.get("data_fingerprint", fingerprint)
        if there != fingerprint:
            self._refuse([f"--data_dir: data with fingerprint {there} there, {fingerprint} now"])

    def _check_kinds(self):
        for name in FOLDERS:
            files.require_folder(self.path / name)
        histories = [path.name for path in self.path.glob("history*.jsonl")]
        for name in (*FILES, *histories):
            files.require_file(self.path / name)

    def _check_writable(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise RunDirectoryError(
                f"Argument `workdir` must be a folder that can be written. Received: "
                f"workdir={os.fspath(self.path)!r} ({error.strerror or error})"
            ) from error

    def _check_owner(self):
        try:
            there = read_config(self.path)
        except files.DamagedFileError as error:
            self._recognise(str(error))
            return
        if there is not None:
            self._refuse(
                f"--{name}={_text(then)} there, {_text(now)} now"
                for name, (now, then) in self.config.differences(there).items()
            )
        elif any((self.path / "checkpoints").rglob("*.index")):
            self._recognise(f"There are checkpoints in {os.fspath(self.path)!r}, no {CONFIG_FILE}.")

    def _recognise(self, problem):
        """Goes on without `config.json` where `run.flags` says that the run is this one."""
        path = self.path / FLAGS_FILE
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        if text != flag_lines(self.config):
            raise RunDirectoryError(
                f"{problem} Neither does {FLAGS_FILE} say that the run is of this command. Pass "
                "another --workdir, or --overwrite to start again."
            )
        self._config_is_lost = True
        if self._writer:
            logger.warning("%s By %s it is this run: making it again.", problem, FLAGS_FILE)

    _config_is_lost = False

    def _refuse(self, changes):
        changes = "; ".join(changes)
        if changes:
            raise RunDirectoryError(
                f"The run in {os.fspath(self.path)!r} belongs to another configuration: {changes}. "
                "Pass another --workdir, or --overwrite to start again."
            )

    def _clear(self):
        """Deletes what a run writes, and nothing else that may lie in the folder."""
        # Of an ensemble a history for each member; what launchers found out about the posterior.
        records = ("history*.jsonl", "posterior.json", "adversarial_*.json", "shift.json")
        for pattern in (*FOLDERS, *FILES, *records):
            for path in self.path.glob(pattern):
                files.remove(path)


def read_curves(path):
    """Reads `curves.json`: lists of numbers, None where there is none.

    Raises:
        FileNotFoundError: If there is no file.
        DamagedFileError: If it lacks a curve, or one is no list of numbers.
    """
    contents = files.read_json(path)
    for name in CURVES:
        values = contents.get(name)
        if not isinstance(values, list) or not values:
            raise files.damaged(path, f"it lacks {name}", schema.RESULTS_ADVICE)
        if any(value is not None and type(value) not in (int, float) for value in values):
            raise files.damaged(path, f"{name} are no numbers", schema.RESULTS_ADVICE)
    return contents


def _check_saved_model(path):
    """Raises FileNotFoundError or DamagedFileError unless each file of an export has contents."""
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (path / name).stat().st_size:
            raise files.damaged(path / name, "it is empty", schema.RESULTS_ADVICE)


def check_shared(path, workers):
    """Checks that all workers see the chief's run directory, by a file that the chief writes.

    Args:
        path: Of the run directory.
        workers: `training.Workers`.

    Raises:
        RunDirectoryError: On all workers, if one does not see it.
    """
    path = pathlib.Path(path)

    def write():
        name = f"{files.PARTIAL}seen-by-all-{secrets.token_hex(8)}"
        files.write_text(path / name, "")
        return name

    token = path / workers.from_chief(write)
    answers = workers.gather([os.fspath(path.absolute()), token.exists()])
    if workers.is_chief:
        files.remove(token)
    for index, (theirs, sees) in enumerate(answers):
        if not sees:
            raise RunDirectoryError(
                f"{workers.name(index)} does not see the chief's run directory: --workdir is "
                f"{theirs} there and {answers[0][0]} at the chief. Give every worker the same "
                "--workdir, on a disk that all share."
            )


def flag_lines(config):
    """Returns the lines of the flagfile that repeats a run."""
    flat = config.flat()
    names = [name for name, value in flat.items() if value is not None]
    # These follow from other flags and have no flag.
    derived = ("network", "outlier_dataset", "annealing_start_epoch", "annealing_epochs")
    return "".join(f"--{name}={_text(flat[name])}\n" for name in names if name not in derived)


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
