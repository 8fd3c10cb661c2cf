"""The workers of a job: what they tell each other beside TensorFlow's collectives.

If a worker dies, those that wait for it in a collective of TensorFlow wait for ever, and one that
is started again in its place joins them as if nothing had happened. So every worker keeps a
connection to the chief. Over it the workers compare what must be equal, agree on what only one of
them knows, and hear at once when another one ends.
"""

import contextlib
import json
import logging
import os
import queue
import selectors
import sys
import threading
import weakref

import tensorflow as tf

from bayes_by_hypernet import files
from bayes_by_hypernet.training.channels import ClosedError
from bayes_by_hypernet.training.checkpoints import CheckpointError
from bayes_by_hypernet.training.objective import NonFiniteLossError
from bayes_by_hypernet.training.roll_call import WorkersError, meet

logger = logging.getLogger(__name__)

WAIT_SECONDS = 600
# A worker that hears of another's end raises it where it next talks to the others. One that is in
# a collective never comes there: its process ends after so long.
GRACE_SECONDS = 10
_SAME_ERRORS = {
    error.__name__: error for error in (CheckpointError, NonFiniteLossError, files.StorageError)
}
_of_strategy = weakref.WeakKeyDictionary()


class Workers:
    """This worker's connection with the others; without others every method is trivial.

    Every worker has to call the methods in the same order, like collectives.

    Args:
        cluster: `tf_config.Cluster`, or None: there are no others.
        wait_seconds: How long to wait for the others at the start.

    Raises:
        WorkersError: See `roll_call.meet`.
    """

    def __init__(self, cluster=None, wait_seconds=WAIT_SECONDS):
        self.cluster = cluster
        several = cluster is not None and len(cluster.addresses) > 1
        self._channels = meet(cluster, wait_seconds) if several else {}
        self._inbox = queue.Queue()
        self._round = 0
        self._at_rest = False
        self._lock = threading.Lock()
        self._failure = None
        self._failed, self._told = threading.Event(), threading.Event()
        if several:
            threading.Thread(target=self._watch, daemon=True).start()

    @property
    def is_chief(self):
        """Whether this process writes checkpoints, logs and results."""
        return self.cluster is None or self.cluster.index == 0

    def gather(self, value=None):
        """Returns the list of all workers' values, the chief's first.

        Args:
            value: What JSON can say; tuples come back as lists.

        Raises:
            WorkersError: If another worker has ended.
        """
        return self._exchange(json.loads(json.dumps(value)))

    def from_chief(self, function):
        """Returns `function()` of the chief, the only one that calls it.

        Args:
            function: Returns what JSON can say.

        Raises:
            WorkersError: If another worker has ended.
            Exception: What the function raises, raised by all.
        """
        if not self.is_chief:
            verdict = self.gather()[0]
            if "error" not in verdict:
                return verdict["value"]
            name, text = verdict["error"]
            error = _SAME_ERRORS.get(name)
            raise error(text) if error else WorkersError(f"{self.name(0)} failed: {name}: {text}")
        try:
            value = function()
        except Exception as error:
            self.gather({"error": [type(error).__name__, str(error)]})
            raise
        return self.gather({"value": value})[0]["value"]

    def compare(self, values):
        """Checks what must be equal.

        Args:
            values: Dict, from what it is called to the value of this worker.

        Raises:
            WorkersError: On all workers, if one has something else than the chief.
        """
        first, *others = self.gather(values)
        differences = [
            f"{name} is {_text(mine.get(name))} on {self.cluster.name(index)} and "
            f"{_text(first.get(name))} on {self.cluster.name(0)}"
            for index, mine in enumerate(others, start=1)
            for name in dict.fromkeys([*first, *mine])
            if mine.get(name) != first.get(name)
        ]
        if differences:
            raise WorkersError(
                f"The workers differ: {'; '.join(differences)}. Start all of them with the same "
                "flags, data, code and versions."
            )

    def wait(self):
        """Returns when every worker has called it; one that ends after that has not failed."""
        self._exchange(None, rest=True)

    @contextlib.contextmanager
    def telling(self):
        """Tells the others why this worker ends where the block raises something.

        Raises:
            WorkersError: In place of TensorFlow's error, where another worker's end caused it.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self._channels and not self._at_rest and self._failed.wait(5):
                self._told.set()
                raise WorkersError(self._failure) from error
            self._say_end(error)
            raise
        except BaseException as error:
            self._say_end(error)
            raise

    def _say_end(self, error):
        if not self._channels or self._at_rest or isinstance(error, WorkersError):
            return
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        self._send_all({"ended": f"{self.name(self.cluster.index)} ended: {reason}"})

    def _exchange(self, value, rest=False):
        if not self._channels:
            return [value]
        self._round += 1
        self._at_rest = False
        message = {"round": self._round, "value": value}
        if not self.is_chief:
            self._send_all(message)
            return self._next()[1]["values"]
        values = {0: value}
        while len(values) <= len(self._channels):
            index, message = self._next()
            values[index] = message["value"]
        values = [values[index] for index in range(len(values))]
        self._at_rest = rest
        self._send_all({"round": self._round, "values": values, "rest": rest})
        return values

    def _next(self):
        """Returns a worker's index and its message of this round."""
        if not self._failed.is_set():
            index, message = self._inbox.get()
            if message is not None:
                if message["round"] != self._round:
                    raise WorkersError(
                        f"{self.name(index)} is at exchange {message['round']} and this one at "
                        f"{self._round}: do both run the same code?"
                    )
                return index, message
        self._told.set()
        raise WorkersError(self._failure or "Another worker has ended.")

    def _send_all(self, message):
        for channel in self._channels.values():
            with contextlib.suppress(ClosedError):  # the other thread notices
                channel.send(message)

    def _watch(self):
        """Receives what the others send; in a thread of its own, for as long as they are there."""
        with selectors.DefaultSelector() as selector:
            for index, channel in self._channels.items():
                selector.register(channel, selectors.EVENT_READ, index)
            while selector.get_map():
                for key, _ in selector.select():
                    try:
                        for message in key.fileobj.receive():
                            self._take(key.data, message)
                    except ClosedError as error:
                        selector.unregister(key.fileobj)
                        self._lose(key.data, error)

    def _take(self, index, message):
        if "ended" in message:
            self._fail(message["ended"])
        else:
            self._at_rest = message.get("rest", self._at_rest)
            self._inbox.put((index, message))

    def _lose(self, index, error):
        if not self._at_rest:
            how = "" if str(error) == "closed" else f" ({error})"
            self._fail(
                f"{self.name(index)} ended without a word{how}: it was killed, it crashed, or its "
                "host or the network failed."
            )
        self._inbox.put((index, None))

    def _fail(self, sentence):
        """Makes a worker's end known here, and to the others where this is the chief."""
        with self._lock:
            if self._failure:
                return
            self._failure = f"{sentence} Rerun the command on every worker to resume."
        if self.is_chief:
            self._send_all({"ended": sentence})
        self._failed.set()
        self._inbox.put((None, None))
        threading.Thread(target=self._end_if_stuck, daemon=True).start()

    def _end_if_stuck(self):
        if not self._told.wait(GRACE_SECONDS):
            logger.error("%s", self._failure)
            sys.stderr.flush()
            os._exit(1)

    def name(self, index):
        """Returns what a sentence about a worker begins with: `Worker 1 (host2:2222)`."""
        name = self.cluster.name(index)
        return name[0].upper() + name[1:]


def register(strategy, workers):
    """Makes `workers_of(strategy)` find them."""
    _of_strategy[strategy] = workers


def workers_of(strategy: tf.distribute.Strategy) -> Workers:
    """Returns the `Workers` of a strategy; of one in a single process, one without others.

    Raises:
        ValueError: If it is for several workers and was not made by `make_strategy`.
    """
    if strategy not in _of_strategy:
        resolver = strategy.cluster_resolver
        if resolver is not None and len(resolver.cluster_spec().as_dict()) > 0:
            raise ValueError(
                "Argument `strategy` must come from `training.make_strategy`, which connects the "
                f"workers, if it is for several. Received: strategy={strategy!r}"
            )
        return Workers()
    return _of_strategy[strategy]


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
