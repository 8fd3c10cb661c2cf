"""What the benchmarks share: peers, timing in turns, the machine's limits, tables and JSON."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from bayes_by_hypernet.environment import hardware, num_cores, versions
from bayes_by_hypernet.paper.tables import format_table

tf.get_logger().setLevel("ERROR")  # it counts functions that are meant to be traced anew


def plain_formula(q, p):
    """Eq. 2 with d = 1, as one would write it down: all differences in one tensor, and autodiff."""
    n, m = q.shape[0], p.shape[0]

    def distances(others):
        return tf.sqrt(tf.square(q[:, tf.newaxis] - others[tf.newaxis]) + 1e-8)

    itself = tf.linalg.diag(tf.fill([n], 1e10))[:, :, tf.newaxis]
    to_prior = tf.reduce_min(distances(p), axis=1)
    to_self = tf.reduce_min(distances(q) + itself, axis=1)
    log_ratio = tf.math.log(to_prior / to_self) + tf.math.log(m / (n - 1))
    return tf.reduce_sum(tf.reduce_mean(log_ratio, axis=0))


def in_turns(variants, repetitions, max_seconds=float("inf"), warm_up=True):
    """Times functions without arguments in turns, so that a busy moment meets all of them.

    Args:
        variants: Dict, name to function; it returns when its work is done.
        repetitions: Integer, of each.
        max_seconds: After so many no other round begins; there is one at least.
        warm_up: Whether a round that is not counted comes first, which traces and compiles.

    Returns:
        Dict, name to the list of seconds.
    """
    if warm_up:
        for variant in variants.values():
            variant()
    seconds = {name: [] for name in variants}
    for _ in range(repetitions):
        for name, variant in variants.items():
            started = time.perf_counter()
            variant()
            seconds[name].append(time.perf_counter() - started)
        if sum(map(sum, seconds.values())) > max_seconds:
            break
    return seconds


class MemoryPass:
    """A pass over two arrays that do not fit in a cache, one of which is written; `num_bytes` move.

    NumPy's loop, on a slice of the arrays per core: what memory gives, timed like a variant.
    """

    _SIZE = 64 * 2**20
    num_bytes = 3 * 4 * _SIZE

    def __init__(self):
        self._total, self._other = np.ones((2, self._SIZE), np.float32)
        bounds = np.linspace(0, self._SIZE, num_cores() + 1).astype(int)
        self._slices = [slice(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]

    def __call__(self):
        threads = [threading.Thread(target=self._add, args=(part,)) for part in self._slices]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _add(self, part):
        np.add(self._total[part], self._other[part], out=self._total[part])


def bandwidth(seconds):
    """Returns what memory gives, bytes per second, from the times of `MemoryPass`: the median."""
    return MemoryPass.num_bytes / statistics.median(seconds)


# Environment of a process that gives freed memory back, so that growing again is seen: with oneDNN
# TensorFlow keeps it, and glibc keeps small blocks.
FREE_AT_ONCE = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}


def peak_memory(function):
    """Returns by how many bytes this process grows at most while `function` runs.

    None where the system does not say; Linux does. Exact with `FREE_AT_ONCE` only.
    """
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what there is now
    except OSError:
        return None
    before = _status_bytes("VmRSS")
    function()
    return _status_bytes("VmHWM") - before


def _status_bytes(name):
    with open("/proc/self/status") as lines:
        line = next(line for line in lines if line.startswith(name))
    return 1024 * int(line.split()[1])


def in_child(script, *arguments, environment=None):
    """Runs a script in a process of its own; returns the JSON of the last line that it prints."""
    process = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    return json.loads(process.stdout.splitlines()[-1])


def milliseconds(seconds):
    """Returns the median, and the quartiles as text, in milliseconds."""
    median = 1000 * statistics.median(seconds)
    if len(seconds) < 2:
        return median, ""
    low, _, high = statistics.quantiles(seconds, n=4)
    return median, f"{1000 * low:.1f} - {1000 * high:.1f}"


def make_table(title, header, rows):
    """Returns a table as files hold it."""
    return {"title": title, "header": list(header), "rows": [list(map(str, row)) for row in rows]}


def show(title, header, rows):
    """Prints a table; returns it as files hold it."""
    table = make_table(title, header, rows)
    print(f"\n{title}\n{hardware()}, TensorFlow {tf.__version__}\n")
    print(format_table(table["header"], table["rows"]), flush=True)
    return table


def write(path, tables, **contents):
    """Writes a JSON file of `tables` and `contents`, with the machine and the versions.

    `update_readme.py` shows the tables of such files in README.md. Nothing without a path.
    """
    if path:
        about = {"hardware": hardware(), "versions": versions()}
        contents = {"tables": tables, **about, **contents}
        pathlib.Path(path).write_text(json.dumps(contents, indent=1) + "\n")
        print(f"Written to {path}")


def report(title, header, rows, path=None, **contents):
    """Shows a table and writes a file that has no other."""
    write(path, [show(title, header, rows)], **contents)
