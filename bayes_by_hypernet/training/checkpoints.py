"""Checkpoints of a run: saved now and then, restored past any that is damaged."""

import logging
import math
import os
import pathlib
import time

import tensorflow as tf

from bayes_by_hypernet import files

logger = logging.getLogger(__name__)

FAILURE_FILE = "failed.txt"
_NAME = "ckpt-"  # begins the name of a checkpoint, before its number
_NUM_KEPT = 2
_BYTES_PER_SECOND = 50e6  # of a slow disk, before the first checkpoint was timed


class CheckpointError(RuntimeError):
    """A run directory has checkpoints and none of them can be read."""


def checkpoint_directory(run_directory, name=""):
    """Returns where the checkpoints of a run, or of the member `name` of an ensemble, lie."""
    return pathlib.Path(run_directory) / "checkpoints" / name


def mark_failed(run_directory, name, reason):
    """Notes that the training of a member failed: it is neither tried again nor loaded."""
    directory = checkpoint_directory(run_directory, name)
    directory.mkdir(parents=True, exist_ok=True)
    files.write_text(directory / FAILURE_FILE, f"{reason}\n")


def has_failed(run_directory, name):
    """Whether `mark_failed` was called for the member `name` of a run."""
    return (checkpoint_directory(run_directory, name) / FAILURE_FILE).exists()


def trackable(model):
    """Returns what `tf.train.Checkpoint` saves and restores of a model: its variables by path.

    By path and one by one, since TensorFlow does not see layers in a layer's list. As Keras
    variables, so that those the optimiser holds too are saved once. States of seed generators and
    values that a posterior stands for are left out: nothing depends on them.

    Args:
        model: `BayesianModel`.
    """
    variables = {
        # A posterior's variable by its path within it, whatever wraps the model.
        variable.path.rpartition("/posterior/")[2]: variable
        for variable in [*model.fitted_variables, *model.moving_variables]
    }
    return tf.train.Checkpoint(variables=variables)


def find_checkpoints(directory):
    """Returns the paths of a folder's checkpoints without suffix, as texts, the newest last.

    The files decide, and not TensorFlow's list of them, the file `checkpoint`: it may be damaged.
    """
    found = [path.with_suffix("") for path in pathlib.Path(directory).glob(f"{_NAME}*.index")]
    found = [path for path in found if path.name.removeprefix(_NAME).isdecimal()]
    return [os.fspath(path) for path in sorted(found, key=_number)]


def newest_checkpoint(directory):
    """Returns the path of the newest checkpoint without suffix, or None."""
    return next(reversed(find_checkpoints(directory)), None)


def num_bytes(variables):
    """Returns how many bytes TensorFlow or Keras variables take."""
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)


class Checkpoints:
    """The two newest checkpoints of a run.

    Args:
        directory: Where they lie.
        minutes: At most one in this many minutes, besides the last.
        num_bytes: Size of a checkpoint; so much must be free before one is begun.
        optional: Names of objects that older checkpoints lack.
        **objects: What is saved, as in `tf.train.Checkpoint`.
    """

    def __init__(self, directory, minutes, num_bytes=0, optional=(), **objects):
        self._directory = pathlib.Path(directory)
        files.require_folder(directory)
        files.require_file(self._directory / "checkpoint")
        self._objects, self._optional = objects, optional
        self._checkpoint = tf.train.Checkpoint(**objects)
        self._num_bytes = num_bytes
        self._seconds = 60 * minutes
        self._last_save = time.monotonic()
        self._kept = find_checkpoints(directory)
        self._has_saved = False
        self.expected_seconds = 0.5 + num_bytes / _BYTES_PER_SECOND

    def save(self):
        """Writes a checkpoint, and then deletes all but the two newest; returns its path.

        Raises:
            StorageError: If there is no room, or it can't be written; those before it stay.
        """
        number = _number(self._kept[-1]) + 1 if self._kept else 1
        path = self._directory / f"{_NAME}{number}"
        started = time.monotonic()
        with files.writing(path, self._num_bytes):
            if not self._has_saved:
                self._directory.mkdir(parents=True, exist_ok=True)
            self._delete_others()  # what is left of one that was not finished takes room
            self._checkpoint.save_counter.assign(number)  # as in those of `CheckpointManager`
            self._checkpoint.write(os.fspath(path))
            self._kept = [*self._kept, os.fspath(path)][-_NUM_KEPT:]
            self._write_state()
            self._delete_others()
        self._has_saved = True
        self._last_save = time.monotonic()
        self.expected_seconds = self._last_save - started
        return os.fspath(path)

    def is_due(self):
        return time.monotonic() - self._last_save >= self._seconds

    def restore(self, workers):
        """Restores the newest checkpoint that the chief can read; returns its path, or None.

        Args:
            workers: `Workers`; all restore the one that the chief has chosen.

        Raises:
            CheckpointError: If there are checkpoints and the chief can read none of them, or
                another worker can't read the one that it has read.
        """
        path = workers.from_chief(self._restore_newest)
        if path is None:
            return None
        own_path = os.fspath(self._directory / pathlib.PurePath(path).name)
        can_read = workers.gather(workers.is_chief or self._restore_one(own_path))
        if not all(can_read):
            raise CheckpointError(
                f"{workers.name(can_read.index(False))} can't read the checkpoint {path}, which "
                "the chief has read. Is the run directory on a disk that all share?"
            )
        return path

    def _restore_newest(self):
        paths = find_checkpoints(self._directory)
        for number, path in reversed(list(enumerate(paths, start=1))):
            if self._restore_one(path):
                self._kept = paths[:number]
                return path
        if paths:
            raise CheckpointError(
                f"None of the checkpoints can be read: {', '.join(paths)}. Pass --overwrite to "
                "start the run again."
            )
        return None

    def _restore_one(self, path):
        return restore(tf.train.Checkpoint(**self._objects_in(path)), path)

    def _objects_in(self, path):
        """Returns the objects that a checkpoint holds, if it is readable."""
        try:
            names = {name.split("/")[0] for name, _ in tf.train.list_variables(path)}
        except Exception:  # `restore` says so
            return self._objects
        missing = set(self._optional) - names
        return {name: value for name, value in self._objects.items() if name not in missing}

    def _delete_others(self):
        names = {pathlib.Path(path).name for path in self._kept}
        for path in self._directory.glob(f"{_NAME}*"):
            if path.name.partition(".")[0] not in names:
                files.remove(path)

    def _write_state(self):
        """Writes the list of the checkpoints that TensorFlow's own functions read."""
        names = [pathlib.Path(path).name for path in self._kept]
        lines = [f'model_checkpoint_path: "{names[-1]}"']
        lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
        files.write_text(self._directory / "checkpoint", "\n".join(lines) + "\n")


def _number(path):
    return int(pathlib.Path(path).name.removeprefix(_NAME))


def restore(checkpoint, path):
    """Restores every object of `checkpoint` from `path`; False, and a warning, if damaged.

    What a damaged file had already given is overwritten by the next one's.
    """
    try:
        status = checkpoint.restore(path)
        status.assert_existing_objects_matched()
        status.expect_partial()
    except Exception as error:  # TensorFlow's reader raises IndexError and others as well.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        logger.warning("Checkpoint %s is damaged (%s); trying the one before it.", path, reason)
        return False
    return True
