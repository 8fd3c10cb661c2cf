"""Checkpoints of a run: saved now and then, restored past any that is damaged."""

import logging
import pathlib
import time

import tensorflow as tf

logger = logging.getLogger(__name__)

FAILURE_FILE = "failed.txt"


class CheckpointError(RuntimeError):
    """A run directory has checkpoints and none of them can be read."""


def checkpoint_directory(run_directory, name=""):
    """Returns where the checkpoints of a run, or of the member `name` of an ensemble, lie."""
    return pathlib.Path(run_directory) / "checkpoints" / name


def mark_failed(run_directory, name, reason):
    """Notes that the training of a member failed: it is neither tried again nor loaded."""
    directory = checkpoint_directory(run_directory, name)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FAILURE_FILE).write_text(f"{reason}\n")


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


class Checkpoints:
    """The two newest checkpoints of a run.

    Args:
        directory: Where they lie.
        minutes: At most one in this many minutes, besides the last.
        **objects: What is saved, as in `tf.train.Checkpoint`.
    """

    def __init__(self, directory, minutes, **objects):
        self._checkpoint = tf.train.Checkpoint(**objects)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), max_to_keep=2, step_counter=objects["step"]
        )
        self._seconds = 60 * minutes
        self._last_save = time.monotonic()

    def save(self):
        path = self._manager.save()
        self._last_save = time.monotonic()
        return path

    def is_due(self):
        return time.monotonic() - self._last_save >= self._seconds

    def restore(self):
        """Restores the newest readable checkpoint; returns its path, or None if there is none."""
        paths = self._manager.checkpoints
        for path in reversed(paths):
            if restore(self._checkpoint, path):
                return path
        if paths:
            raise CheckpointError(
                f"None of the checkpoints can be read: {', '.join(paths)}. Pass --overwrite to "
                "start the run again."
            )
        return None


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
