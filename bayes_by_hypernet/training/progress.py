"""What a person watching a run sees, and the history that stays of it."""

import json
import logging
import pathlib
import sys
import time

import numpy as np
import tensorflow as tf
import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bayes_by_hypernet import files

logger = logging.getLogger(__name__)

_LINE = {"epoch", "nll", "kl_per_example"}  # what each line holds at least


class ProgressBar:
    """Bar over all steps of a run with loss, NLL, KL per example, accuracy and the time left."""

    def __init__(self, first_step, total_steps, num_train_examples, name="", enabled=True):
        self._num_train_examples = num_train_examples
        self._name = f"{name}, ".replace("_", " ") if name else ""
        # In a log file a line every half minute is enough.
        interval = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm.tqdm(
            total=total_steps,
            initial=first_step,
            unit="step",
            mininterval=interval,
            maxinterval=interval,
            dynamic_ncols=True,
            disable=not enabled,
        )
        # Log messages appear above the bar, not behind it.
        self._redirect = logging_redirect_tqdm([logging.getLogger("bayes_by_hypernet")])
        self._redirect.__enter__()

    def update(self, num_steps, epoch, terms):
        loss, nll, kl, accuracy = terms
        self._bar.set_description(f"{self._name}epoch {epoch + 1}", refresh=False)
        self._bar.set_postfix_str(
            f"loss {loss:.3f}, NLL {nll:.3f}, KL/N {kl / self._num_train_examples:.2f}, "
            f"accuracy {accuracy:.3f}",
            refresh=False,
        )
        self._bar.update(num_steps)

    def write(self, line):
        self._bar.write(line, file=sys.stderr)

    def close(self):
        self._redirect.__exit__(None, None, None)
        self._bar.close()


class History:
    """One JSON line for each finished epoch; a resumed run drops the lines it trains again.

    Args:
        path: Of the file.
        last_epoch: How many epochs are finished.

    Attributes:
        epochs: List of the lines' dicts, by epoch.
    """

    def __init__(self, path, last_epoch):
        self._path = pathlib.Path(path)
        self.epochs = [
            line for line in read_history(path, last_epoch) if line["epoch"] <= last_epoch
        ]
        self._write()

    @property
    def numbers(self):
        """Set of the epochs that have a line, counted from 1."""
        return {line["epoch"] for line in self.epochs}

    def append(self, **values):
        self.epochs = sorted([*self.epochs, values], key=lambda line: line["epoch"])
        self._write()

    def _write(self):
        files.write_text(self._path, "".join(json.dumps(epoch) + "\n" for epoch in self.epochs))


def read_history(path, last_epoch=None):
    """Reads the lines of a history, and warns of what is missing, doubled or damaged.

    Args:
        path: Of the file, which may be absent.
        last_epoch: The epoch up to which there should be lines; None: the last one that has one.

    Returns:
        List of dicts, one for each epoch that has a line, sorted; the first line counts.

    Raises:
        StorageError: If a folder lies in its place.
    """
    path = pathlib.Path(path)
    files.require_file(path)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    epochs, foreign, doubled = {}, [], []
    for number, line in enumerate(text.splitlines(), start=1):
        values = _parse(line)
        if values is None:
            foreign.append(number)
        elif epochs.setdefault(values["epoch"], values) is not values:
            doubled.append(values["epoch"])
    last_epoch = max(epochs, default=0) if last_epoch is None else last_epoch
    missing = [epoch for epoch in range(1, last_epoch + 1) if epoch not in epochs]
    wrong = {"lines that are no epoch's: lines": foreign, "epochs with two lines:": doubled}
    # The last epoch's can be made again.
    wrong["epochs without a line:"] = missing
    said = "; ".join(f"{what} {_ranges(numbers)}" for what, numbers in wrong.items() if numbers)
    if said:
        logger.warning(
            "The history %s was damaged: %s. The first line of an epoch counts; a line that is "
            "lost can only be made again by training anew (--overwrite). Weights and measures do "
            "not depend on it.",
            path,
            said,
        )
    return [epochs[epoch] for epoch in sorted(epochs)]


def _parse(line):
    """Returns the dict of an epoch's line, or None where it is none."""
    try:
        values = json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, dict) or not values.keys() >= _LINE:
        return None
    numbers = all(type(values[name]) in (int, float) for name in _LINE)
    return values if numbers and type(values["epoch"]) is int and values["epoch"] >= 1 else None


def _ranges(numbers):
    """Returns numbers as text, runs of them joined: `2, 5-7`."""
    texts, numbers = [], sorted(set(numbers))
    for number in numbers:
        if number - 1 in numbers and texts:
            texts[-1] = f"{texts[-1].split('-')[0]}-{number}"
        else:
            texts.append(str(number))
    return ", ".join(texts)


class Scalars:
    """TensorBoard scalars of the terms of the loss."""

    def __init__(self, directory):
        self._directory = directory
        with files.writing(directory):
            self._writer = tf.summary.create_file_writer(str(directory))

    def write(self, step, **scalars):
        with files.writing(self._directory), self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(name, np.float32(value))

    def close(self):
        with files.writing(self._directory):
            self._writer.close()


class Timer:
    """Seconds of training, summed over resumes, and milliseconds per step of each epoch."""

    def __init__(self, train_seconds):
        self._train_seconds = train_seconds
        self._per_step = []
        self._num_calls = 0
        self.step_seconds = 0.0

    def start(self):
        self._started = time.perf_counter()

    def stop(self, num_steps):
        seconds = time.perf_counter() - self._started
        self._train_seconds.assign_add(seconds)
        self.step_seconds = seconds / num_steps
        self._num_calls += 1
        if self._num_calls > 1:  # The first call traces.
            self._per_step.append(self.step_seconds)

    def end_epoch(self):
        """Returns the epoch's median milliseconds per step, None where no call was warm."""
        median = 1000 * float(np.median(self._per_step)) if self._per_step else None
        self._per_step = []
        return median


def epoch_line(values):
    """Returns the line that a person reads after an epoch."""
    names = {
        "loss": "loss {:.4f}",
        "nll": "NLL {:.4f}",
        "kl_per_example": "KL/N {:.3f}",
        "accuracy": "accuracy {:.4f}",
        "validation_error_percent": "validation error {:.2f} %",
        "validation_nll": "validation NLL {:.4f}",
    }
    texts = [text.format(values[name]) for name, text in names.items() if name in values]
    return f"epoch {values['epoch']}: " + ", ".join(texts)
