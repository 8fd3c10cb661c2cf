"""The folder of a run: its owner, its files, atomic writes."""

import json
import os
import pathlib
import shutil
import tempfile

import numpy as np

from bayes_by_hypernet.paper import schema
from bayes_by_hypernet.paper.configuration import CONFIG_FILE, read_config

RESULTS_FILE = "results.json"
FLAGS_FILE = "run.flags"
PREDICTIONS_FILE = "predictions.npz"
CURVES_FILE = "curves.json"


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
        RunDirectoryError: If the folder belongs to another configuration or cannot be written.
        SchemaError: If a later version of the package wrote the run.
    """

    def __init__(self, path, config, overwrite=False, writer=True):
        self.path = pathlib.Path(path)
        self.config = config
        self._overwrite = overwrite
        self._writer = writer
        if writer:
            self._check_writable()
        if not overwrite:
            self._check_owner()

    def initialize(self, fingerprint):
        """Enters configuration and data, after deleting another run's files with `overwrite`.

        Args:
            fingerprint: Of the data.

        Raises:
            RunDirectoryError: If the run that is here was trained on other data.
        """
        if self._overwrite and self._writer:
            self._clear()
        elif not self._overwrite:
            self._check_data(fingerprint)
        self._overwrite = False
        if self._writer:
            contents = {
                "schema_version": schema.SCHEMA_VERSION,
                **self.config.flat(),
                "data_fingerprint": fingerprint,
            }
            write_json(self.path / CONFIG_FILE, contents)
            (self.path / FLAGS_FILE).write_text(flag_lines(self.config))

    @property
    def results(self):
        """The results of a finished run, or None; None with `overwrite` before `initialize`."""
        path = self.path / RESULTS_FILE
        if self._overwrite or not path.exists():
            return None
        results = schema.read(path)
        return results if results["complete"] else None

    def write_results(self, results):
        write_json(self.path / RESULTS_FILE, results)

    def write_predictions(self, test, outliers, labels):
        """Keeps mean probabilities, mutual information and labels of every image."""
        np.savez_compressed(
            self.path / PREDICTIONS_FILE,
            test_mean=test.mean,
            test_mutual_information=test.mutual_information,
            test_labels=labels,
            outlier_mean=outliers.mean,
            outlier_mutual_information=outliers.mutual_information,
        )

    def write_curves(self, curves):
        """Keeps what figures of a run are drawn from, a few kilobytes."""
        write_json(self.path / CURVES_FILE, curves)

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
        there = read_config(self.path)
        if there is not None:
            self._refuse(
                f"--{name}={_text(then)} there, {_text(now)} now"
                for name, (now, then) in self.config.differences(there).items()
            )

    def _check_data(self, fingerprint):
        path = self.path / CONFIG_FILE
        there = schema.read(path)["data_fingerprint"] if path.exists() else fingerprint
        if there != fingerprint:
            self._refuse([f"--data_dir: data with fingerprint {there} there, {fingerprint} now"])

    def _refuse(self, changes):
        changes = "; ".join(changes)
        if changes:
            raise RunDirectoryError(
                f"The run in {os.fspath(self.path)!r} belongs to another configuration: {changes}. "
                "Pass another --workdir, or --overwrite to start again."
            )

    def _clear(self):
        """Deletes what a run writes, and nothing else that may lie in the folder."""
        for name in ("checkpoints", "tensorboard", "saved_model", "figures"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (RESULTS_FILE, CONFIG_FILE, FLAGS_FILE, PREDICTIONS_FILE, CURVES_FILE):
            (self.path / name).unlink(missing_ok=True)
        # Of an ensemble a history for each member; what launchers found out about the posterior.
        for pattern in ("history*.jsonl", "posterior.json", "adversarial_*.json", "shift.json"):
            for path in self.path.glob(pattern):
                path.unlink()


def write_json(path, contents):
    """Writes `contents` so that a reader sees the old file or the new one, never half of it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(contents, indent=2) + "\n")
    os.replace(temporary, path)


def flag_lines(config):
    """Returns the lines of the flagfile that repeats a run."""
    flat = config.flat()
    names = [name for name, value in flat.items() if value is not None]
    # These follow from other flags and have no flag.
    derived = ("network", "outlier_dataset", "annealing_start_epoch", "annealing_epochs")
    return "".join(f"--{name}={_text(flat[name])}\n" for name in names if name not in derived)


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
