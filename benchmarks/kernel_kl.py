"""Times the kernel KL and its gradient against the plain formula, in one process.

    python benchmarks/kernel_kl.py --num_weights=431080 --json=kernel_kl.json

The peer is Eq. 2 written out with all differences in one tensor `(n, m, num_weights)` and autodiff,
as in the authors' code. Prior samples are drawn beforehand. Medians over repetitions that take
turns; numbers of a machine that does other work are worth their ratio only.
"""

import argparse
import json
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

import bayes_by_hypernet as bbh
from bayes_by_hypernet.experiment import hardware
from bayes_by_hypernet.tables import format_table


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_samples", type=int, default=5, help="n = m")
    parser.add_argument("--num_weights", type=int, default=431_080, help="default: LeNet's")
    parser.add_argument("--repetitions", type=int, default=15, help="of each, after a warm-up")
    parser.add_argument("--json", type=pathlib.Path, help="also write the numbers to this file")
    return parser.parse_args()


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


def main():
    arguments = parse_arguments()
    shape = (arguments.num_samples, arguments.num_weights)
    q = tf.random.stateless_normal(shape, [1, 2], stddev=0.1)
    p = tf.random.stateless_normal(shape, [3, 4])
    variants = {
        "plain formula": value_and_gradient(plain_formula),
        "plain formula, XLA": value_and_gradient(plain_formula, jit_compile=True),
        "kernel_kl": value_and_gradient(bbh.kernel_kl),
        "kernel_kl, XLA": value_and_gradient(bbh.kernel_kl, jit_compile=True),
    }
    seconds = {name: [] for name in variants}
    for repetition in range(arguments.repetitions + 1):
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
    if arguments.json:
        contents = {"num_samples": shape[0], "num_weights": shape[1], "hardware": hardware()}
        contents |= {"seconds": seconds, "tensorflow": tf.__version__}
        arguments.json.write_text(json.dumps(contents, indent=2) + "\n")


if __name__ == "__main__":
    main()
