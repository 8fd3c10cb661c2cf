"""What launchers share: what they show, and how they end."""

import contextlib
import logging
import signal
import sys

import quiet_tensorflow  # noqa: F401
from absl import flags
from absl import logging as absl_logging

from bayes_by_hypernet import training

GRACE_SECONDS = flags.DEFINE_float(
    "grace_seconds", None, "Seconds from the signal that asks the command to stop to the kill, as "
    "Slurm's KillWait or Kubernetes' terminationGracePeriodSeconds. A checkpoint that would take "
    "longer than what is left is not begun, and the command ends just before. Default: no limit, "
    "since a checkpoint that is killed costs nothing: the one before it stays.", 0.0
)  # fmt: skip
STOP_ON_SIGUSR1 = flags.DEFINE_bool(
    "stop_on_sigusr1", False, "Take SIGUSR1 for a request to stop too, as of Slurm's "
    "--signal=USR1@120."
)  # fmt: skip


def start_logging():
    """Shows what the package says, and of TensorFlow's and TFDS's own messages only warnings."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    logger = logging.getLogger("bayes_by_hypernet")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


@contextlib.contextmanager
def ending(resume="Rerun the command to resume."):
    """Ends the process as docs/interruptions.md says, where its block is stopped or fails.

    A signal: a sentence, and exit status 128 + its number. What a user can do something about: the
    error's sentence, and 1.

    Args:
        resume: Sentence that says how to go on after a signal.

    Yields:
        `StopRequests`.
    """
    signals = list(training.SIGNALS)
    if STOP_ON_SIGUSR1.value:
        signals.append(signal.SIGUSR1)
    with training.StopRequests(signals, GRACE_SECONDS.value) as stop:
        try:
            yield stop
        except training.Stopped as request:
            with contextlib.suppress(OSError):  # a closed terminal takes no text
                print(f"{request}. {resume}", file=sys.stderr, flush=True)
            sys.exit(request.exit_status)
        except (ValueError, OSError, *training.ERRORS) as error:
            sys.exit(f"{type(error).__name__}: {error}")
