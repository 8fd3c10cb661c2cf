"""Times the kernel KL and its gradient against the plain formula, in one process.

    python benchmarks/kernel_kl.py --num_weights=431080 --json=kernel_kl.json

The peer is Eq. 2 written out with all differences in one tensor `(n, m, num_weights)` and autodiff,
as in the authors' code. Prior samples are drawn beforehand. Medians over repetitions that take
turns; numbers of a machine that does other work are worth their ratio only.
"""

import json
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from absl import app, flags

import bayes_by_hypernet as bbh
from bayes_by_hypernet.experiment import hardware
from bayes_by_hypernet.tables import format_table

NUM_SAMPLES = flags.DEFINE_integer("num_samples", 5, "n = m.", 2)
NUM_WEIGHTS = flags.DEFINE_integer("num_weights", 431_080, "LeNet's by default.", 1)
REPETITIONS = flags.DEFINE_integer("repetitions", 15, "Of each, after a warm-up.", 1)
JSON = flags.DEFINE_string("json", None, "Also writes the numbers to this file.")


def plain_formula(q, p):
    """Eq. 2 with d = 1, as one would write it down."""
    n, m = q.shape[0], p.shape[0]

    def distances(others):
        return tf.sqrt(tf.square(q[:, tf.newaxis] - others[tf.newaxis]) + 1e-8)

    itself = tf.linalg.diag(tf.fill([n], 1e10))[:, :, tf.newaxis]
    to_prior = tf.reduce_min(distances(p), axis=1)
    to_self = tf.reduce_min(distances(q) + itself, axis=1)
    log_ratio = tf.math.log(to_prior / to_self) + tf.math.log(m / (n - 1))
    return tf.reduce_sum(tf.reduce_mean(log_ratio, axis=0))


def value_and_gradient(function, **options):
    """Returns `function` compiled, with its gradient for the posterior samples."""

    def both(q, p):
        with tf.GradientTape() as tape:
            tape.watch(q)
            value = function(q, p)
        return value, tape.gradient(value, q)

    return tf.function(both, **options)


def main(argv):
    del argv
    shape = (NUM_SAMPLES.value, NUM_WEIGHTS.value)
    q = tf.random.stateless_normal(shape, [1, 2], stddev=0.1)
    p = tf.random.stateless_normal(shape, [3, 4])
    variants = {
        "plain formula": value_and_gradient(plain_formula),
        "plain formula, XLA": value_and_gradient(plain_formula, jit_compile=True),
        "kernel_kl": value_and_gradient(bbh.kernel_kl),
        "kernel_kl, XLA": value_and_gradient(bbh.kernel_kl, jit_compile=True),
    }
    seconds = {name: [] for name in variants}
    for repetition in range(REPETITIONS.value + 1):
        for name, variant in variants.items():
            started = time.perf_counter()
            variant(q, p)[1].numpy()
            if repetition:  # the first one compiles
                seconds[name].append(time.perf_counter() - started)
    reference = statistics.median(seconds["plain formula"])
    rows = []
    for name, values in seconds.items():
        median = statistics.median(values)
        cells = [1000 * min(values), 1000 * median, 1000 * max(values)]
        rows.append([name, *(f"{cell:.1f}" for cell in cells), f"{median / reference:.2f}"])
    print(f"n = m = {shape[0]}, {shape[1]:,} weights, value and gradient, {hardware()}")
    print(format_table(["", "min [ms]", "median [ms]", "max [ms]", "ratio"], rows))
    if JSON.value:
        contents = {"num_samples": shape[0], "num_weights": shape[1], "hardware": hardware()}
        contents |= {"seconds": seconds, "tensorflow": tf.__version__}
        pathlib.Path(JSON.value).write_text(json.dumps(contents, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main, argv=sys.argv)
