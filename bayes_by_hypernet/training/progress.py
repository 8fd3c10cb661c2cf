"""What a person watching a run sees, and the history that stays of it."""

import json
import logging
import pathlib
import sys

import numpy as np
import tensorflow as tf
import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


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
    """One JSON line for each finished epoch; a resumed run drops the lines it trains again."""

    def __init__(self, path, first_epoch):
        self._path = pathlib.Path(path)
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self.epochs = [epoch for epoch in map(_parse, lines) if epoch][:first_epoch]
        self._write()

    def append(self, **values):
        self.epochs.append(values)
        self._write()

    def _write(self):
        self._path.write_text("".join(json.dumps(epoch) + "\n" for epoch in self.epochs))


def _parse(line):
    try:
        return json.loads(line)
    except json.JSONDecodeError:  # The run was stopped while it wrote.
        return None


class Scalars:
    """TensorBoard scalars of the terms of the loss."""

    def __init__(self, directory):
        self._writer = tf.summary.create_file_writer(str(directory))

    def write(self, step, **scalars):
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(name, np.float32(value))

    def close(self):
        self._writer.close()
