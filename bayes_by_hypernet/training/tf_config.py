"""TF_CONFIG: the workers of a job, and which of them this process is."""

import json
import re
from typing import NamedTuple

_ADDRESS = re.compile(r"(?P<host>[^\s:/\[\]]+|\[[0-9A-Fa-f:.%\w]+\]):(?P<port>\d{1,5})")
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """The workers of a job, the chief first.

    Attributes:
        addresses: Of every worker, `"host:port"`.
        index: This process's place among them.
    """

    addresses: tuple[str, ...]
    index: int

    def name(self, index):
        """Returns how messages call a worker: `worker 1 (host2:2222)`."""
        chief = ", the chief" if index == 0 else ""
        return f"worker {index}{chief} ({self.addresses[index]})"

    def names(self, indices):
        return ", ".join(self.name(index) for index in indices)


def read(text: str) -> Cluster:
    """Returns what TF_CONFIG says, checked before TensorFlow reads it.

    The cluster may have the jobs `worker` and, with one task, `chief`: that is then worker 0, and
    the others are counted from 1.

    Args:
        text: The value of the environment variable.

    Raises:
        ValueError: If it is no JSON, lacks something, has another job, an address that is not
            `host:port` or is there twice, or a task that is not in the cluster.
    """
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise _error(f"be JSON ({error})", text) from None
    if not isinstance(config, dict) or not {"cluster", "task"} <= config.keys():
        raise _error("have the entries 'cluster' and 'task'", text)
    cluster, task = config["cluster"], config["task"]
    if not isinstance(cluster, dict) or not {"worker", "chief"} & cluster.keys():
        raise _error("list the addresses of the workers in cluster.worker", text)
    others = sorted(cluster.keys() - {"worker", "chief"})
    if others:
        raise _error(f"have the jobs 'worker' and 'chief' only, not {', '.join(others)}", text)
    jobs = {job: _addresses(job, cluster.get(job, []), text) for job in ("chief", "worker")}
    if len(jobs["chief"]) > 1:
        raise _error("have one chief", text)
    addresses = jobs["chief"] + jobs["worker"]
    if not addresses:
        raise _error("list at least one worker", text)
    for address in addresses:
        if addresses.count(address) > 1:
            raise _error(f"list every address once, and {address!r} is there twice", text)
    return Cluster(tuple(addresses), _index(jobs, task, text))


def split(address):
    """Returns `(host, port)` of `"host:port"`; an IPv6 host loses its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _addresses(job, addresses, text):
    if not isinstance(addresses, list):
        raise _error(f"hold a list of addresses in cluster.{job}", text)
    for address in addresses:
        match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if not match or not 1 <= int(match["port"]) <= 65535:
            raise _error(
                f"hold addresses 'host:port' with a port from 1 to 65535, not {address!r}", text
            )
    return addresses


def _index(jobs, task, text):
    job, index = (
        (task.get(name) for name in ("type", "index")) if isinstance(task, dict) else (0, 0)
    )
    if not isinstance(job, str) or not jobs.get(job):
        there = " or ".join(repr(job) for job, addresses in jobs.items() if addresses)
        raise _error(f"have {there} as task.type, a job of its cluster", text)
    if type(index) is not int or not 0 <= index < len(jobs[job]):
        raise _error(f"have an integer from 0 to {len(jobs[job]) - 1} as task.index", text)
    return index + (len(jobs["chief"]) if job == "worker" else 0)


def _error(what, text):
    return ValueError(
        f"The environment variable TF_CONFIG must {what}. An example: {_EXAMPLE}. "
        f"Received: TF_CONFIG={text}"
    )
