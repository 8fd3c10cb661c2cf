"""What the benchmarks share: peers, timing in turns, the machine's limits, tables and JSON."""

import json
import os
import pathlib
import statistics
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from bayes_by_hypernet.experiment import hardware, versions
from bayes_by_hypernet.tables import format_table


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


def in_turns(variants, repetitions):
    """Times functions without arguments in turns, so that a busy moment meets all of them.

    Args:
        variants: Dict, name to function; it returns when its work is done.
        repetitions: Integer, of each, after one that is not counted (it traces and compiles).

    Returns:
        Dict, name to the list of seconds.
    """
    seconds = {name: [] for name in variants}
    for repetition in range(repetitions + 1):
        for name, variant in variants.items():
            started = time.perf_counter()
            variant()
            if repetition:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def bandwidth(megabytes=800, repetitions=5):
    """Returns what memory gives, bytes per second: two arrays are read, one is written.

    NumPy's loop on a slice of the arrays per core; the best of the repetitions.
    """
    size = megabytes * 2**20 // 4
    total, other = np.ones(size, np.float32), np.ones(size, np.float32)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    bounds = np.linspace(0, size, cores + 1).astype(int)
    slices = [slice(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]

    def add(part):
        np.add(total[part], other[part], out=total[part])

    def once():
        threads = [threading.Thread(target=add, args=(part,)) for part in slices]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    seconds = in_turns({"add": once}, repetitions)["add"]
    return 3 * total.nbytes / min(seconds)


def milliseconds(seconds):
    """Returns the median, and the quartiles as text, in milliseconds."""
    median = 1000 * statistics.median(seconds)
    if len(seconds) < 2:
        return median, ""
    low, _, high = statistics.quantiles(seconds, n=4)
    return median, f"{1000 * low:.1f} - {1000 * high:.1f}"


def report(title, header, rows, path=None, **contents):
    """Prints a table, and writes `contents` to a JSON file with the machine and the versions."""
    print(f"\n{title}\n{hardware()}, TensorFlow {tf.__version__}\n")
    print(format_table(header, rows))
    if path:
        contents = {"hardware": hardware(), "versions": versions(), **contents}
        pathlib.Path(path).write_text(json.dumps(contents, indent=2) + "\n")
        print(f"Written to {path}")
