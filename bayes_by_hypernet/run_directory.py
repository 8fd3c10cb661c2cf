"""The folder of a run: whose it is, what is in it, written so that a stop leaves no half file."""

import json
import os
import pathlib
import shutil
import tempfile

from bayes_by_hypernet.configuration import CONFIG_FILE, RunConfig

RESULTS_FILE = "results.json"
FLAGS_FILE = "run.flags"


class RunDirectoryError(ValueError):
    """A run directory cannot be used for what was asked."""


class RunDirectory:
    """Opens the folder of a run, new or to be resumed.

    Args:
        path: The folder.
        config: `RunConfig` of the run.
        fingerprint: Of the data.
        overwrite: Whether to delete what another run left here.
        writer: Whether this process writes; the other workers of a distributed run only read.

    Raises:
        RunDirectoryError: If the folder belongs to another configuration or other data, or cannot
            be written. Nothing was changed then.
    """

    def __init__(self, path, config, fingerprint, overwrite=False, writer=True):
        self.path = pathlib.Path(path)
        self.config = config
        self.fingerprint = fingerprint
        if writer:
            self._check_writable()
        if overwrite and writer:
            self._clear()
        elif not overwrite:
            self._check_owner()
        if writer:
            contents = {**config.flat(), "data_fingerprint": fingerprint}
            write_json(self.path / CONFIG_FILE, contents)
            (self.path / FLAGS_FILE).write_text(flag_lines(config))

    @property
    def results(self):
        """The results of a finished run, or None."""
        path = self.path / RESULTS_FILE
        if not path.exists():
            return None
        results = json.loads(path.read_text())
        return results if results["complete"] else None

    def write_results(self, results):
        write_json(self.path / RESULTS_FILE, results)

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
        path = self.path / CONFIG_FILE
        if not path.exists():
            return
        contents = json.loads(path.read_text())
        changes = [
            f"--{name}={_text(then)} there, {_text(now)} now"
            for name, (now, then) in self.config.differences(RunConfig.from_flat(contents)).items()
        ]
        if not changes and contents["data_fingerprint"] != self.fingerprint:
            then = contents["data_fingerprint"]
            changes = [f"--data_dir: data with fingerprint {then} there, {self.fingerprint} now"]
        if changes:
            raise RunDirectoryError(
                f"The run in {os.fspath(self.path)!r} belongs to another configuration: "
                f"{'; '.join(changes)}. Pass another --workdir, or --overwrite to start anew."
            )

    def _clear(self):
        """Deletes what a run writes, and nothing else that may lie in the folder."""
        for name in ("checkpoints", "tensorboard", "saved_model", "figures"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (RESULTS_FILE, CONFIG_FILE, FLAGS_FILE, "history.jsonl"):
            (self.path / name).unlink(missing_ok=True)


def write_json(path, contents):
    """Writes `contents` so that a reader sees the old file or the new one, never half of it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(contents, indent=2) + "\n")
    os.replace(temporary, path)


def flag_lines(config):
    """Returns the lines of the flagfile that repeats a run."""
    flat = config.flat()
    names = [name for name, value in flat.items() if value is not None]
    # What follows from other flags and has none of its own.
    derived = ("network", "outlier_dataset", "annealing_start_epoch", "annealing_epochs")
    return "".join(f"--{name}={_text(flat[name])}\n" for name in names if name not in derived)


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
