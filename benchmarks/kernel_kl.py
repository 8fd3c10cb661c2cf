"""Times the kernel KL and its gradient against the plain formula, and measures their memory.

    python benchmarks/kernel_kl.py --json=benchmarks/kernel_kl.json
    python benchmarks/kernel_kl.py --num_samples 5 --num_weights 431080

Every call of Eq. 2 draws its prior samples, as many as there are posterior samples:

- plain: Eq. 2 with all differences in one tensor `(n, n, num_weights)`, autodiff and
  `tf.random.normal`, in a `tf.function`: the peer;
- plain, XLA: the same with `jit_compile=True`;
- TensorFlow: `implementation="tensorflow"`;
- op, given prior: the C++ operation, on prior samples that TensorFlow draws;
- op: the C++ operation, which draws them itself, as training does;
- entropy, TensorFlow and entropy, op: `bbh.entropy_kl`, which needs no prior samples.

Medians; what stands in a line takes turns in one process. A dash: left out, since it would take
gigabytes or some ten seconds. Memory is what a process of its own grows by during a call, at most,
beyond the posterior samples. The largest line of the default needs 12 GB. Idle machines only.
"""

import argparse
import functools
import json
from collections.abc import Callable
from typing import NamedTuple

import measure
import tensorflow as tf

import bayes_by_hypernet as bbh
from bayes_by_hypernet.divergences import nearest_neighbor_kl_to_prior
from bayes_by_hypernet.kernels import library
from bayes_by_hypernet.paper.tables.formats import DASH
from bayes_by_hypernet.priors import NormalPrior

LENET = 431_080
MAX_SECONDS = 2  # after which a line begins no other repetition
KEY = (3, 4)


def plain(q, key):
    del key
    return measure.plain_formula(q, tf.random.normal(tf.shape(q)))


def tensorflow_form(q, key):
    prior = tf.random.stateless_normal(tf.shape(q), key)
    return bbh.nearest_neighbor_kl(q, prior, implementation="tensorflow")


def op_given_prior(q, key):
    prior = tf.random.stateless_normal(tf.shape(q), key)
    return bbh.nearest_neighbor_kl(q, prior, implementation="custom_op")


def op(q, key):
    return nearest_neighbor_kl_to_prior([q], NormalPrior(), key, implementation="custom_op")


def entropy_in_tensorflow(q, key):
    del key
    return bbh.entropy_kl(q, implementation="tensorflow")


def entropy_op(q, key):
    del key
    return bbh.entropy_kl(q, implementation="custom_op")


class Variant(NamedTuple):
    """A way to compute the estimate, up to so many differences: n * n * num_weights."""

    function: Callable
    max_differences: float = float("inf")
    jit_compile: bool = False

    def compiled(self, num_samples):
        """Returns the function of q `(num_samples, num_weights)` and a key that gives both."""

        def value_and_gradient(q, key):
            with tf.GradientTape() as tape:
                tape.watch(q)
                value = self.function(q, key)
            return value, tape.gradient(value, q)

        signature = [tf.TensorSpec((num_samples, None)), tf.TensorSpec((2,), tf.int32)]
        return tf.function(value_and_gradient, signature, jit_compile=self.jit_compile)


VARIANTS = {
    "plain": Variant(plain, 1.1e8),
    "plain, XLA": Variant(plain, 1.1e8, jit_compile=True),
    "TensorFlow": Variant(tensorflow_form, 2e8),
    "op, given prior": Variant(op_given_prior, 1.1e10),
    "op": Variant(op),
    "entropy, TensorFlow": Variant(entropy_in_tensorflow, 2e8),
    "entropy, op": Variant(entropy_op),
}
OPS = ("op, given prior", "op", "entropy, op")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = {"type": int, "metavar": "N"}
    sizes = [10**3, 10**4, 10**5, LENET, 10**6, 10**7]
    counts = [2, 5, 10, 20, 50, 100]
    parser.add_argument("--num_samples", nargs="+", default=counts, help="n = m", **numbers)
    parser.add_argument("--num_weights", nargs="+", default=sizes, **numbers)
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        metavar="NAME",
        help=f"of: {'; '.join(VARIANTS)}",
    )
    parser.add_argument(
        "--memory", nargs="*", default=[5, 20], help="n = m where memory is measured", **numbers
    )
    parser.add_argument("--repetitions", type=int, default=15, help="at most, after a warm-up")
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--memory_of", choices=VARIANTS, help=argparse.SUPPRESS)  # in a child
    return parser.parse_args()


def posterior_samples(num_samples, num_weights):
    return tf.random.stateless_normal((num_samples, num_weights), [1, 2], stddev=0.1)


def time_line(functions, num_samples, num_weights, repetitions):
    """Returns what the JSON file says of one line of the table; `functions` is by variant."""
    q, key = posterior_samples(num_samples, num_weights), tf.constant(KEY)
    runs = {
        name: lambda function=function: function(q, key)[1][0, 0].numpy()
        for name, function in functions.items()
        if num_samples**2 * num_weights <= VARIANTS[name].max_differences
    }
    seconds = measure.in_turns(runs, repetitions, MAX_SECONDS)
    return {"num_samples": num_samples, "num_weights": num_weights, "seconds": seconds}


def cells(line, names):
    """Returns the line as text."""
    medians = {name: measure.milliseconds(s)[0] for name, s in line["seconds"].items()}
    times = [f"{medians[name]:.3g}" if name in medians else DASH for name in names]
    ratio = per_weight = DASH
    if "op" in medians:
        per_weight = f"{1e6 * medians['op'] / line['num_weights']:.3g}"
        if "plain" in medians:
            ratio = f"{medians['plain'] / medians['op']:.1f}"
    return [line["num_samples"], f"{line['num_weights']:,}", *times, ratio, per_weight]


def targets(lines):
    """Returns what is asked of the operation: rows of what, measured, limit."""
    medians = {
        (name, line["num_samples"], line["num_weights"]): measure.milliseconds(s)[0]
        for line in lines
        for name, s in line["seconds"].items()
    }
    peer, ours, large, many = (
        medians.get(key)
        for key in (("plain", 5, LENET), ("op", 5, LENET), ("op", 5, 10**7), ("op", 100, LENET))
    )
    rows = []
    if peer and ours:
        rows.append(["n = m = 5, plain / op", f"{peer / ours:.1f}", "at least 12"])
    if large and ours:
        growth = large / ours / (10**7 / LENET)
        rows.append(["n = m = 5, time per weight of 10^7", f"{growth:.2f}", "near 1"])
    if many:
        rows.append(["n = m = 100 [ms]", f"{many:.0f}", "at most 1000"])
    return rows


def peak_memory(name, counts):
    """Returns the peaks of a variant for each of `counts` = n = m, bytes; in a child."""
    peaks = []
    for num_samples in counts:
        function = VARIANTS[name].compiled(num_samples)
        arguments = posterior_samples(num_samples, LENET), tf.constant(KEY)
        function(*arguments)  # traces and compiles
        peaks.append(measure.peak_memory(functools.partial(function, *arguments)))
    return peaks


def show_memory(names, counts):
    """Prints the table of memory; returns it, and what the JSON file says besides."""
    memory = {}
    for name in names:
        flags = [f"--memory_of={name}", "--memory", *counts]
        memory[name] = measure.in_child(__file__, *flags, environment=measure.FREE_AT_ONCE)
    table = measure.show(
        f"Kernel KL of {LENET:,} weights, value and gradient: peak memory [MB]",
        ["", *(f"n = m = {count}" for count in counts)],
        [
            [name, *(DASH if peak is None else f"{peak / 1e6:.0f}" for peak in peaks)]
            for name, peaks in memory.items()
        ],
    )
    return table, [
        {"variant": name, "num_samples": count, "num_weights": LENET, "peak_bytes": peak}
        for name, peaks in memory.items()
        for count, peak in zip(counts, peaks, strict=True)
    ]


def show_times(names, arguments):
    """Prints the tables of times; returns them, and what the JSON file says besides."""
    lines = []
    for num_samples in arguments.num_samples:
        functions = {name: VARIANTS[name].compiled(num_samples) for name in names}
        for num_weights in arguments.num_weights:
            lines.append(time_line(functions, num_samples, num_weights, arguments.repetitions))
    header = ["n = m", "weights", *(f"{name} [ms]" for name in names)]
    times = measure.show(
        "Kernel KL, value and gradient, prior sampling included: medians",
        [*header, "plain / op", "op [ns per weight]"],
        [cells(line, names) for line in lines],
    )
    header = ["", "measured", "asked for"]
    return [times, measure.show("Targets of the kernel KL", header, targets(lines))], lines


def main():
    arguments = parse_arguments()
    if arguments.memory_of:
        print(json.dumps(peak_memory(arguments.memory_of, arguments.memory)))
        return
    status = library.status()
    names = [name for name in arguments.variants if status.active or name not in OPS]
    if not status.active:
        print(f"Without the C++ operation. {status.reason}")
    tables, lines = show_times(names, arguments)
    memory = []
    if arguments.memory:
        table, memory = show_memory(names, arguments.memory)
        tables.append(table)
    measure.write(arguments.json, tables, timings=lines, memory=memory)


if __name__ == "__main__":
    main()
