"""The start of a job: every worker connects to the chief, before TensorFlow sees any of them.

The chief listens at its address of TF_CONFIG until all are there, and then leaves the port to
TensorFlow. The connections stay, see `workers.Workers`.
"""

import contextlib
import logging
import socket
import time

from bayes_by_hypernet.training import tf_config
from bayes_by_hypernet.training.channels import Channel, ClosedError

logger = logging.getLogger(__name__)

SAY_SECONDS = 10  # between two lines that say for whom is waited
_HELLO_SECONDS = 5  # for which a connection may be silent before it says who it is


class WorkersError(RuntimeError):
    """A worker is missing, has ended, or differs from the others; the message says which."""


def meet(cluster, wait_seconds):
    """Returns the channels to the other workers by index: the chief's to all, others' to it.

    Args:
        cluster: `tf_config.Cluster` with at least two workers.
        wait_seconds: How long to wait for the others.

    Raises:
        WorkersError: If one does not come in time, has another cluster in TF_CONFIG, or a place
            that is taken; or if this worker's port is.
    """
    with contextlib.closing(_listen(cluster)) as listener:
        if cluster.index == 0:
            return _gather(cluster, listener, wait_seconds)
    return {0: _join(cluster, wait_seconds)}


def _listen(cluster):
    _, port = tf_config.split(cluster.addresses[cluster.index])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256
            )
        return socket.create_server(("", port), backlog=256)
    except OSError as error:
        raise WorkersError(
            f"{cluster.name(cluster.index).capitalize()} cannot listen at port {port} "
            f"({error.strerror}). Does another process use it, one of an earlier run or one with "
            "the same task.index in TF_CONFIG?"
        ) from error


def _gather(cluster, listener, wait_seconds):
    """The chief's part: returns the channels to all others."""
    channels, clock = {}, _Clock(wait_seconds)
    while missing := [i for i in range(1, len(cluster.addresses)) if i not in channels]:
        if clock.is_over:
            text = f"Waited {_duration(wait_seconds)} for {cluster.names(missing)}: not there."
            _refuse(channels.values(), text)
            raise WorkersError(f"{text} {_HINT}")
        if clock.says():
            logger.info("Waiting for %s.", cluster.names(missing))
            for index, channel in list(channels.items()):
                try:
                    channel.send({"waiting": missing})
                except ClosedError:
                    del channels[index]
        listener.settimeout(0.5)
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        channel = Channel(connection)
        if (index := _hello(channel, cluster, channels)) is not None:
            channels[index] = channel
    for channel in channels.values():
        with contextlib.suppress(ClosedError):  # it will be noticed
            channel.send({"all_here": True})
    return channels


def _hello(channel, cluster, channels):
    """Returns the index of the worker that connects; None if it is none, or may not."""
    try:
        [message] = channel.receive(_HELLO_SECONDS)
        index, addresses = message["worker"], tuple(message["addresses"])
    except (OSError, KeyError, TypeError, ValueError):  # a port scanner
        channel.close()
        return None
    if addresses != cluster.addresses:
        text = (
            f"TF_CONFIG names other workers at {channel.peer()}, {', '.join(map(str, addresses))}, "
            f"than at the chief, {', '.join(cluster.addresses)}. Give all the same cluster."
        )
        _refuse([channel, *channels.values()], text)
        raise WorkersError(text)
    if index not in range(1, len(addresses)):
        channel.close()
        return None
    if index in channels and channels[index].is_open():
        text = (
            f"Another process is {cluster.name(index)} already, at {channels[index].peer()}. Give "
            "every worker another task.index in TF_CONFIG."
        )
        _refuse([channel], text)
        return None
    return index


def _join(cluster, wait_seconds):
    """The others' part: returns the channel to the chief."""
    clock, reason = _Clock(wait_seconds), ""
    while not clock.is_over:
        if clock.says():
            logger.info("Waiting for %s%s.", cluster.name(0), reason and f" ({reason})")
        try:
            address = tf_config.split(cluster.addresses[0])
            channel = Channel(socket.create_connection(address, timeout=5))
        except OSError as error:
            reason = error.strerror or str(error)
            time.sleep(0.5)
            continue
        try:
            channel.send({"worker": cluster.index, "addresses": cluster.addresses})
            if _admitted(channel, cluster):
                return channel
        except OSError:
            reason = "what answers there is not waiting for workers: a run that has begun?"
        channel.close()
        time.sleep(1)
    raise WorkersError(
        f"Waited {_duration(wait_seconds)} for {cluster.name(0)}: not there"
        f"{reason and f' ({reason})'}. {_HINT}"
    )


def _admitted(channel, cluster):
    """Whether the chief says that all are here; waits as long as it says for whom it waits."""
    while True:
        for message in channel.receive(3 * SAY_SECONDS):
            if "refused" in message:
                raise WorkersError(message["refused"])
            if "waiting" in message:
                logger.info("Waiting for %s.", cluster.names(message["waiting"]))
            if "all_here" in message:
                return True


def _refuse(channels, text):
    for channel in channels:
        with contextlib.suppress(ClosedError):
            channel.send({"refused": text})
        channel.close()


_HINT = (
    "Start every worker that TF_CONFIG names, and check that its address can be reached from the "
    "others; --worker_minutes waits longer."
)


class _Clock:
    def __init__(self, seconds):
        now = time.monotonic()
        self._end, self._next = now + seconds, now + 1

    @property
    def is_over(self):
        return time.monotonic() > self._end

    def says(self):
        """Whether it is time to say again for whom is waited."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + SAY_SECONDS
        return True


def _duration(seconds):
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"
