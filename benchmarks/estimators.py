r"""Minimises each estimate of the KL alone, and measures the KL of what comes out.

    python benchmarks/estimators.py --json=benchmarks/estimators.json
    python benchmarks/estimators.py --json=benchmarks/estimators.json --noise_dim 8 --seeds 1 2
    python benchmarks/estimators.py --json=benchmarks/estimators.json --num_samples \
        --figure=docs/figures/estimators.png
    python benchmarks/update_readme.py

A cell is a setting of the hypernetworks with an estimate and its number of samples n (of the
posterior, and for Eq. 2 of the prior). There is no data: five weight tensors with 1,000 weights
together are trained by Adam to minimise the estimate, whose true minimum is the prior, N(0, 1) for
each weight, at a KL of 0. The learning rate is 1e-3 for 60 % of the steps, then a tenth and a
hundredth of that. 20,000 samples of each weight then measure the KL, by the spacings of the sorted
samples (`posterior_statistics.marginal_kl`), and 1,000 samples the other columns.

The file keeps every cell: those that it has are not run again, and the tables are of all. A cell
takes half a minute with n = 5, and some minutes with n = 100, on two cores; stopping the script
loses the one that runs. Without a number behind `--num_samples` none is run, and the tables and the
figure are made anew.

Two more tables are of Gaussians with a known KL: the bias of both estimates, and a joint form of
the entropy over all weights, which the package does not have.
"""

import argparse
import itertools
import json
import math
import pathlib
import time

import keras
import measure
import numpy as np
import tensorflow as tf
from scipy import special, stats

import bayes_by_hypernet as bbh
from bayes_by_hypernet import randomness
from bayes_by_hypernet.divergences import gaussian_kl, sampled_estimator
from bayes_by_hypernet.paper.figures import style
from bayes_by_hypernet.paper.posterior_statistics import (
    effective_rank,
    marginal_kl,
    weight_statistics,
)
from bayes_by_hypernet.posteriors import HypernetPosterior

UNTRAINED = "untrained"
LABELS = {"independent": "Eq. 2", "entropy": "entropy", UNTRAINED: "untrained"}
COLOURS = {"independent": "#D55E00", "entropy": "#0072B2"}
# What tells cells apart, and is in the file.
SETTINGS = (
    *("estimator", "architecture", "noise", "noise_dim", "num_samples", "seed"),
    *("num_steps", "num_weights", "hidden_units"),
)
NUM_TENSORS = 5
NUM_SLICES = 4  # of each tensor, where it is sliced
NUM_DRAWS, NUM_STATISTICS_DRAWS = 20_000, 1000
STEPS_PER_CALL = 500
RATES = ((0.6, 1e-3), (0.85, 1e-4), (1.0, 1e-5))  # up to this share of the steps
BIAS_COUNTS = (2, 5, 10, 20, 50, 100)
POSTERIORS = ((0.0, 1.0), (0.0, 0.1), (2.0, 0.1))  # mean and standard deviation
JOINT_DIMENSIONS = (1, 10, 1000, 431_080)
NARROW = 0.01  # standard deviation of half of the weights, in the joint form


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = {"type": int, "metavar": "N"}
    parser.add_argument("--estimators", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument(
        "--num_samples", nargs="*", default=[5, 10, 20, 50, 100], help="none: no cells", **numbers
    )
    parser.add_argument("--noise_dim", nargs="+", default=[1, 8, 32], **numbers)
    architectures = ["layerwise", "sliced"]
    parser.add_argument("--architecture", nargs="+", choices=architectures, default=architectures)
    noises = ["independent", "shared"]
    parser.add_argument("--noise", nargs="+", choices=noises, default=noises)
    parser.add_argument("--seeds", nargs="+", default=[0], **numbers)
    parser.add_argument("--num_steps", type=int, default=6000)
    parser.add_argument("--num_weights", type=int, default=1000, help="a multiple of 100")
    parser.add_argument("--hidden_units", nargs="+", default=[64, 256, 512], **numbers)
    parser.add_argument("--num_gaussians", type=int, default=2_000_000, help="draws, for the bias")
    parser.add_argument("--json", help="also write the numbers to this file, and begin with its")
    parser.add_argument("--figure", help="also draw this PNG")
    return parser.parse_args()


def wanted_cells(arguments):
    """Returns the settings of the cells that were asked for, the cheap ones first."""
    names = ("seeds", "num_samples", "noise_dim", "noise", "architecture", "estimators")
    shared = {
        "num_steps": arguments.num_steps,
        "num_weights": arguments.num_weights,
        "hidden_units": arguments.hidden_units,
    }
    cells = []
    for values in itertools.product(*(getattr(arguments, name) for name in names)):
        seed, num_samples, noise_dim, noise, architecture, estimator = values
        cell = {"estimator": estimator, "architecture": architecture, "noise": noise}
        cell |= {"noise_dim": noise_dim, "num_samples": num_samples, "seed": seed, **shared}
        if estimator == UNTRAINED:  # the number of samples makes no difference
            cell |= {"num_samples": None, "num_steps": 0}
        if cell not in cells:
            cells.append(cell)
    return cells


def make_posterior(cell):
    """Returns the built posterior of a cell."""
    keras.utils.set_random_seed(cell["seed"])
    name = "independent" if cell["estimator"] == UNTRAINED else cell["estimator"]
    posterior = HypernetPosterior(
        [f"tensor_{i}" for i in range(NUM_TENSORS)],
        [(cell["num_weights"] // (20 * NUM_TENSORS), 20)] * NUM_TENSORS,
        sampled_estimator(name, bbh.NormalPrior()),
        cell["architecture"],
        cell["noise"],
        cell["noise_dim"],
        tuple(cell["hidden_units"]),
        NUM_SLICES,
    )
    posterior.build()
    return posterior


def minimise(posterior, cell):
    """Trains the posterior; returns the mean estimate of the last steps, in nats per weight."""
    variables = posterior.trainable_variables
    optimizer = keras.optimizers.Adam(RATES[0][1], epsilon=1e-5)
    optimizer.build(variables)
    root = randomness.seed_key(cell["seed"])

    @tf.function
    def train(first, count):
        total = tf.zeros(())
        for step in tf.range(first, first + count):
            key = randomness.fold_in(root, step)
            with tf.GradientTape() as tape:
                kl = posterior.kl(posterior.sample(cell["num_samples"], key), key)
                loss = kl / cell["num_weights"]
            gradients = tape.gradient(loss, [v.value for v in variables])
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            total += loss
        return total / tf.cast(count, tf.float32)

    estimate, num_steps = None, cell["num_steps"]
    for first in range(0, num_steps, STEPS_PER_CALL):
        rate = next(rate for share, rate in RATES if first < share * num_steps)
        optimizer.learning_rate.assign(rate)
        count = min(STEPS_PER_CALL, num_steps - first)
        estimate = float(train(tf.constant(first), tf.constant(count)))
    return estimate


def draw(posterior, num_draws=NUM_DRAWS, batch=1000):
    """Returns samples of all weights, `(num_draws, num_weights)`."""
    parts = []
    for i in range(num_draws // batch):
        samples = posterior.sample(batch, tf.constant([7, i]))
        parts.append(np.concatenate([s.numpy().reshape(batch, -1) for s in samples], axis=1))
    return np.concatenate(parts)


def measure_cell(cell):
    """Returns what the JSON file says of a cell."""
    started = time.perf_counter()
    posterior = make_posterior(cell)
    estimate = minimise(posterior, cell)
    samples = draw(posterior)
    kl = np.concatenate([marginal_kl(part) for part in np.array_split(samples, 20, axis=1)])
    few = samples[:NUM_STATISTICS_DRAWS]
    found = weight_statistics(few).summary()
    names = ("non_normal_share", "multi_modal_share", "mean_absolute_correlation")
    return {
        **cell,
        "estimate": estimate,
        "kl": float(kl.mean()),
        "kl_quantiles": np.quantile(kl, [0.05, 0.5, 0.95]).tolist(),
        "stddev": float(samples.std(axis=0).mean()),
        "excess_kurtosis": float(np.median(stats.kurtosis(samples, axis=0))),
        **{name: found[name] for name in names},
        "effective_rank": effective_rank(few),
        "seconds": time.perf_counter() - started,
    }


def bias_of_gaussians(num_draws):
    """Returns the mean error of each estimate on Gaussians, in nats per weight."""
    rng, found = np.random.default_rng(0), []
    for (mean, stddev), n in itertools.product(POSTERIORS, BIAS_COUNTS):
        shape = (n, max(num_draws // n, 1))
        q = rng.normal(mean, stddev, shape).astype(np.float32)
        p = rng.normal(size=shape).astype(np.float32)
        exact = float(gaussian_kl(mean, stddev))
        estimates = {"independent": bbh.nearest_neighbor_kl(q, p), "entropy": bbh.entropy_kl(q)}
        biases = {name: float(kl) / shape[1] - exact for name, kl in estimates.items()}
        found.append({"mean": mean, "stddev": stddev, "num_samples": n, "kl": exact, **biases})
    return found


def joint_of_gaussians(num_samples=5, repetitions=5):
    """Returns a joint entropy estimate of the KL on Gaussians, and the exact KL, per weight.

    Kozachenko and Leonenko's in d dimensions, with the exact cross-entropy: nearest neighbours
    among whole weight vectors. All weights are N(0, 1), or half of them N(0, NARROW^2).
    """
    rng, n, found = np.random.default_rng(0), num_samples, []
    for d, narrow in itertools.product(JOINT_DIMENSIONS, (False, True)):
        if d == 1 and narrow:
            continue
        stddev = np.where(np.arange(d) < d // 2, NARROW, 1.0) if narrow else np.ones(d)
        estimates = []
        for _ in range(repetitions if d >= 1000 else 100 * repetitions):
            q = stddev * rng.normal(size=(n, d))
            distances = [
                min(np.linalg.norm(q[i] - q[j]) for j in range(n) if j != i) for i in range(n)
            ]
            ball = 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d + 1)
            entropy = special.digamma(n) - special.digamma(1) + ball + d * np.log(distances).mean()
            cross_entropy = 0.5 * (q**2).sum() / n + 0.5 * d * math.log(2 * math.pi)
            estimates.append((cross_entropy - entropy) / d)
        exact = float(gaussian_kl(np.zeros(d), stddev)) / d
        estimate = float(np.mean(estimates))
        found.append({"num_weights": d, "narrow": narrow, "kl": exact, "estimate": estimate})
    return found


CELLS_TITLE = (
    "Estimates of the KL minimised alone, without data: what the estimate says and what is "
    "measured, in nats per weight. The prior has KL 0, standard deviation 1, excess kurtosis 0. "
    "Means over seeds"
)
CELLS_HEADER = (
    "minimised;architecture;noise;d;n;estimate;KL;standard deviation;excess kurtosis;"
    "several modes [%];mean abs. r;effective rank;seeds".split(";")
)
MEASURED = {  # name in the file, and how the table shows it
    "estimate": "{:.3f}",
    "kl": "{:.3f}",
    "stddev": "{:.2f}",
    "excess_kurtosis": "{:.1f}",
    "multi_modal_share": "{:.0%}",
    "mean_absolute_correlation": "{:.2f}",
    "effective_rank": "{:.1f}",
}


def cell_rows(cells):
    """Returns the rows of the table of cells, one for all seeds."""
    columns = ("estimator", "architecture", "noise", "noise_dim", "num_samples")

    def order(cell):
        ranks = [list(LABELS).index(cell["estimator"]), cell["architecture"], cell["noise"]]
        return [*ranks, cell["noise_dim"], cell["num_samples"] or 0]

    rows = []
    for _, group in itertools.groupby(sorted(cells, key=order), order):
        group = list(group)
        row = ["-" if group[0][name] is None else group[0][name] for name in columns]
        row[0] = LABELS[row[0]]
        for name, form in MEASURED.items():
            values = [cell[name] for cell in group]
            row.append("-" if None in values else form.format(np.mean(values)).replace("%", ""))
        rows.append([*row, len(group)])
    return rows


BIAS_TITLE = (
    "Bias of the estimates on Gaussian posteriors against N(0, 1), in nats per weight: mean "
    "estimate less exact KL"
)


def bias_rows(bias):
    rows = []
    for (mean, stddev), name in itertools.product(POSTERIORS, ("independent", "entropy")):
        found = [b for b in bias if (b["mean"], b["stddev"]) == (mean, stddev)]
        cells = [f"{entry[name]:+.3f}" for entry in found]
        rows.append([f"N({mean:g}, {stddev:g}^2)", f"{found[0]['kl']:.3f}", LABELS[name], *cells])
    return rows


JOINT_TITLE = (
    "A joint form of the entropy estimate with n = 5, in nats per weight: all weights N(0, 1), and "
    f"half of them N(0, {NARROW:g}^2)"
)


def joint_rows(joint):
    return [
        [
            f"{entry['num_weights']:,}",
            f"half are N(0, {NARROW:g}^2)" if entry["narrow"] else "all N(0, 1)",
            f"{entry['kl']:.3f}",
            f"{entry['estimate']:.3f}",
        ]
        for entry in joint
    ]


def tables_of(contents):
    """Returns the arguments of `measure.show` for each table of the file."""
    counts = [f"n = {n}" for n in BIAS_COUNTS]
    return [
        (CELLS_TITLE, CELLS_HEADER, cell_rows(contents["cells"])),
        (BIAS_TITLE, ["posterior", "KL", "estimate", *counts], bias_rows(contents["bias"])),
        (JOINT_TITLE, ["weights", "posterior", "KL", "estimate"], joint_rows(contents["joint"])),
    ]


def draw_figure(cells, path):
    """Draws estimates against measured KLs, and these against the number of samples."""
    figure, (left, right) = style.new_figure(9.5, 4.2, columns=2)
    cells = [cell for cell in cells if cell["estimator"] in COLOURS]
    markers = {1: "o", 8: "s", 32: "^"}
    for name, colour in COLOURS.items():
        for dim, marker in markers.items():
            group = [c for c in cells if (c["estimator"], c["noise_dim"]) == (name, dim)]
            if not group:
                continue
            label = f"{LABELS[name]}, d = {dim}"
            points = {"color": colour, "marker": marker, "linestyle": "none", "alpha": 0.7}
            left.plot([c["kl"] for c in group], [c["estimate"] for c in group], **points)
            counts = sorted({c["num_samples"] for c in group})
            means = [np.mean([c["kl"] for c in group if c["num_samples"] == n]) for n in counts]
            right.plot(counts, means, color=colour, marker=marker, label=label)
    ends = [min((c["kl"] for c in cells), default=0.01), max((c["kl"] for c in cells), default=1)]
    left.plot(ends, ends, color="black", linewidth=0.8)
    left.set_xscale("log")
    left.set_yscale("symlog", linthresh=0.1)
    left.set_xlabel("KL, measured [nats per weight]")
    left.set_ylabel("KL, estimated")
    left.set_title("What the estimate says; the line: the truth", fontsize="medium")
    left.set_ylim(bottom=min([0.0, *(c["estimate"] for c in cells)]) - 0.02)
    counts = sorted({c["num_samples"] for c in cells})
    right.set_xscale("log")
    right.set_xticks(counts, counts, minor=False)
    right.set_xticks([], minor=True)
    right.set_yscale("log")
    right.set_xlabel("samples n")
    right.set_ylabel("KL, measured [nats per weight]")
    right.set_title("What its minimum is", fontsize="medium")
    style.legend_below(figure, right)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=style.DPI)


def main():
    arguments = parse_arguments()
    path = pathlib.Path(arguments.json) if arguments.json else None
    contents = {"cells": [], "bias": [], "joint": []}
    if path and path.exists():
        read = json.loads(path.read_text())
        contents = {name: read[name] for name in contents}
    contents["bias"] = contents["bias"] or bias_of_gaussians(arguments.num_gaussians)
    contents["joint"] = contents["joint"] or joint_of_gaussians()
    known = [{name: cell[name] for name in SETTINGS} for cell in contents["cells"]]
    for cell in wanted_cells(arguments):
        if cell in known:
            continue
        contents["cells"].append(measure_cell(cell))
        tables = [measure.make_table(*table) for table in tables_of(contents)]
        measure.write(arguments.json, tables, **contents)
    tables = [measure.show(*table) for table in tables_of(contents)]
    measure.write(arguments.json, tables, **contents)
    if arguments.figure:
        draw_figure(contents["cells"], arguments.figure)


if __name__ == "__main__":
    main()
