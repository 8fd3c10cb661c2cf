"""Measures what temperature scaling, conformal prediction and abstention do to finished runs.

    python benchmarks/decisions.py --runs runs/map runs/bbh --json=benchmarks/decisions.json
    python benchmarks/update_readme.py

For each run on MNIST, with its own pipeline and seed:

- NLL and ECE of the test set before and after temperature scaling. The temperature is fitted on the
  validation set, once to the mean prediction and once to every posterior sample;
- error that is left when uncertain predictions are rejected;
- coverage and size of conformal sets (`lac`, `aps`, `raps`) of the predictions as they are, without
  a temperature. Once random halves of the test set calibrate and measure, once the validation set
  calibrates and the test set measures. The runs train for a fixed number of epochs, so the
  validation set chose nothing. It is a part of MNIST's training set, though, and the test set has
  other writers: the second coverage shows how much that matters.

The last table is of the toy regression, y = x^3 + N(0, 3^2): each method is fitted to 20 points as
launch/toy.py does, and its intervals are calibrated on 1,000 further points.

The standard error of a coverage is that of its exact distribution, beta-binomial: calibration and
test set are both drawn.
"""

import argparse
import functools
import json
import math
import pathlib
import tempfile

import keras
import measure
import numpy as np
from scipy import stats

import bayes_by_hypernet as bbh
from bayes_by_hypernet import data, metrics
from bayes_by_hypernet.data import toy
from bayes_by_hypernet.paper import methods, protocols, toy_regression
from bayes_by_hypernet.paper.figures.toy import METHODS as TOY_METHODS
from bayes_by_hypernet.paper.networks import TOY

ALPHAS = (0.1, 0.05)
SET_METHODS = ("lac", "aps", "raps")
NUM_SPLITS = 20
NUM_SAMPLES = 100
RISK = 0.001  # for coverage at this risk
TOY_ALPHA = 0.1
NUM_TOY_CALIBRATION, NUM_TOY_TEST, NUM_TOY_DRAWS = 1000, 2000, 20
# The first two are the model's own: Gaussian, and between quantiles of the predictive, which is a
# mixture over samples. Both know the noise of observations.
TOY_KINDS = {
    "gaussian": "Gaussian",
    "quantiles": "quantiles",
    "absolute": "conformal, absolute",
    "normalized": "conformal, normalised",
    "cqr": "conformal, CQR",
}
OWN_KINDS = ("gaussian", "quantiles")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--runs", nargs="*", default=[], help="directories of finished runs; commas separate too"
    )
    parser.add_argument("--data_dir", help="of TFDS; as the launchers' flag")
    parser.add_argument("--notmnist_dir", help="of notMNIST; as the launchers' flag")
    parser.add_argument("--num_samples", type=int, default=NUM_SAMPLES)
    parser.add_argument("--num_images", type=int, help="of each set; default: all")
    parser.add_argument("--toy_methods", nargs="*", choices=TOY_METHODS, default=TOY_METHODS)
    parser.add_argument("--toy_steps", type=int, help="default: as launch/toy.py")
    parser.add_argument("--json", help="also write the numbers to this file")
    arguments = parser.parse_args()
    arguments.runs = [run for runs in arguments.runs for run in runs.split(",") if run]
    for run in arguments.runs:
        if not is_finished(run):
            parser.error(f"Argument `--runs` must name finished runs. Received: {run!r}")
    return arguments


def is_finished(run):
    path = pathlib.Path(run) / "results.json"
    return path.exists() and bool(json.loads(path.read_text()).get("complete"))


def coverage_error(num_calibration, num_test, alpha):
    """Returns the standard deviation of the coverage over calibration and test sets.

    Coverage given the calibration set follows Beta(k, n + 1 - k), k = ceil((n + 1)(1 - alpha)).

    Random parts of one fixed set have the same distribution if no two scores are equal, since only
    the order of the scores counts. They are independent of each other: the error of the mean over s
    splits is smaller by sqrt(s).
    """
    n, mean = num_calibration, expected_coverage(num_calibration, alpha)
    of_calibration = mean * (1 - mean) / (n + 2)
    return math.sqrt(of_calibration + (mean * (1 - mean) - of_calibration) / num_test)


def expected_coverage(num_calibration, alpha):
    """Returns k / (n + 1), the mean coverage over calibration sets; 1 if they are too small."""
    k = math.ceil((num_calibration + 1) * (1 - alpha) - 1e-9)  # as `conformal_quantile` rounds
    return k / (num_calibration + 1)


def covered(coverage, num_calibration, num_test, alpha, num_splits=1):
    """Returns a coverage with its standard error, and how many of them it is off by."""
    error = coverage_error(num_calibration, num_test, alpha) / math.sqrt(num_splits)
    deviation = (coverage - expected_coverage(num_calibration, alpha)) / error if error else 0.0
    return {"coverage": coverage, "standard_error": error, "deviation": deviation}


def scaled(name, scaling, predictions, labels):
    """Returns the measures of the test set under a fitted temperature."""
    probs = scaling(predictions)
    return {
        f"{name}_temperature": scaling.temperature,
        f"{name}_nll": metrics.negative_log_likelihood(probs, labels),
        f"{name}_ece": metrics.expected_calibration_error(probs, labels),
    }


def set_measures(calibration, test, alpha, method, seed):
    """Returns coverage, mean size and the share with one class of sets, an array `(3,)`.

    Args:
        calibration, test: Pairs of probabilities `(N, classes)` and labels `(N,)`.
    """
    sets = bbh.decisions.fit_conformal_sets(*calibration, alpha, method, seed=seed)
    held = sets(test[0], seed=seed)
    singletons = np.mean(held.sum(axis=-1) == 1)
    return np.array([metrics.set_coverage(held, test[1]), metrics.mean_set_size(held), singletons])


def conformal(validation, test, method, alpha):
    """Returns what the JSON file says of conformal sets, of two ways to calibrate them.

    Args:
        validation, test: Pairs of probabilities `(N, classes)` and labels `(N,)`.
    """
    num_test = len(test[1])
    num_fit, measured = num_test // 2, []
    for split in range(NUM_SPLITS):
        order = np.random.default_rng(split).permutation(num_test)
        fit, rest = ([a[part] for a in test] for part in (order[:num_fit], order[num_fit:]))
        measured.append(set_measures(fit, rest, alpha, method, seed=split))
    of_halves = np.mean(measured, axis=0)
    of_validation = set_measures(validation, test, alpha, method, seed=0)
    sizes = (num_fit, num_test - num_fit, alpha, NUM_SPLITS), (len(validation[1]), num_test, alpha)
    entry = {"method": method, "alpha": alpha}
    found = (of_halves, of_validation)
    for name, values, size in zip(("halves", "validation"), found, sizes, strict=True):
        coverage, set_size, singletons = map(float, values)
        entry[name] = {**covered(coverage, *size), "size": set_size, "singletons": singletons}
    return entry


def evaluate(validation, validation_labels, test, labels):
    """Returns the measures of a run by name.

    Args:
        validation, test: `Prediction`s with samples.
        validation_labels, labels: Of these sets, `(N,)`.
    """
    of_mean = bbh.calibration.fit_temperature(validation.mean, validation_labels)
    of_samples = bbh.calibration.fit_temperature(validation.samples, validation_labels)
    wrong = test.mean.argmax(axis=1) != labels
    pairs = (validation.mean, validation_labels), (test.mean, labels)
    return {
        "error_percent": metrics.error_percent(test.mean, labels),
        "nll": metrics.negative_log_likelihood(test.mean, labels),
        "ece": metrics.expected_calibration_error(test.mean, labels),
        "validation_error_percent": metrics.error_percent(validation.mean, validation_labels),
        **scaled("mean", of_mean, test.mean, labels),
        **scaled("samples", of_samples, test.samples, labels),
        "coverage_at_risk": metrics.coverage_at_risk(test.entropy, wrong, RISK),
        "aurc": metrics.aurc(test.entropy, wrong),
        "e_aurc": metrics.excess_aurc(test.entropy, wrong),
        "conformal": [conformal(*pairs, name, a) for name in SET_METHODS for a in ALPHAS],
    }


load_data = functools.cache(data.load)


def measure_run(directory, arguments):
    """Returns what the JSON file says of one run."""
    posterior = bbh.load(directory)
    config = posterior.config
    dataset = load_data(config.dataset, arguments.data_dir, arguments.notmnist_dir)
    if dataset.validation is None:
        raise ValueError(
            "Argument `--runs` must name runs on data with a validation set. Received: "
            f"{directory!r}, on {config.dataset}"
        )
    num_samples = min(arguments.num_samples, posterior.num_distinct_samples or math.inf)
    found = []
    for examples in (dataset.validation, dataset.test):
        images = config.pipeline.inputs(examples.images[: arguments.num_images])
        found += [
            posterior.predict(
                images, num_samples=num_samples, seed=config.seed, return_samples=True
            ),
            examples.labels[: arguments.num_images].astype(int),
        ]
    return {
        "run": pathlib.Path(directory).resolve().name,
        "method": config.method,
        "protocol": config.protocol,
        "epochs": config.epochs,
        "seed": config.seed,
        "num_samples": num_samples,
        **evaluate(*found),
    }


def toy_points(count, seed):
    """Returns x `(count, 1)` and y `(count,)` of the distribution of the toy regression's data."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-toy.TRAIN_LIMIT, toy.TRAIN_LIMIT, (count, 1)).astype(np.float32)
    return x, toy.true_function(x[:, 0]) + rng.normal(0, toy.NOISE_STDDEV, count)


def fit_toy(name, num_steps=None):
    """Returns a method, fitted to the toy regression's 20 points as launch/toy.py does."""
    settings = toy_regression.make_settings(name, num_steps, protocols.SEED, NUM_SAMPLES)
    keras.utils.set_random_seed(settings["seed"])
    cls = methods.get(name)
    method = cls(TOY, cls.Options(**settings["options"]), settings["seed"])
    with tempfile.TemporaryDirectory() as folder:
        toy_regression.fit(name, method, settings, toy.load(protocols.SEED).train, folder)
    return method


def measure_toy(method, num_samples=NUM_SAMPLES, alpha=TOY_ALPHA, num_draws=NUM_TOY_DRAWS):
    """Returns what the JSON file says of intervals, by kind: means over draws of the data.

    Those of `OWN_KINDS` are the model's and promise nothing, hence have no `standard_error`.
    """
    measured = [toy_intervals(method, num_samples, alpha, draw) for draw in range(num_draws)]
    entry = {}
    for kind in TOY_KINDS:
        coverage, width = np.mean([found[kind] for found in measured], axis=0)
        sizes = (NUM_TOY_CALIBRATION, NUM_TOY_TEST, alpha, num_draws)
        entry[kind] = {"coverage": coverage} if kind in OWN_KINDS else covered(coverage, *sizes)
        entry[kind]["width"] = width
    return entry


def toy_intervals(method, num_samples, alpha, draw):
    """Returns coverage and mean width of intervals, by kind, on one draw of the data."""
    x, y = toy_points(NUM_TOY_CALIBRATION, seed=2 * draw + 1)
    x_test, y_test = toy_points(NUM_TOY_TEST, seed=2 * draw + 2)
    fit, test = (
        bbh.predict(
            method.sampler,
            points,
            num_samples,
            seed=protocols.SEED,
            return_samples=True,
            likelihood=method.likelihood,
        )
        for points in (x, x_test)
    )
    levels = [alpha / 2, 1 - alpha / 2]
    quantiles, test_quantiles = (p.quantile(levels)[..., 0] for p in (fit, test))  # (2, N)
    mean, std = fit.mean[:, 0], np.sqrt(fit.total[:, 0])
    test_mean, test_std = test.mean[:, 0], np.sqrt(test.total[:, 0])
    half = stats.norm.ppf(levels[1]) * test_std
    decisions = bbh.decisions
    intervals = {
        "gaussian": np.stack([test_mean - half, test_mean + half], axis=1),
        "quantiles": test_quantiles.T,
        "absolute": decisions.fit_conformal_intervals(mean, y, alpha=alpha)(test_mean),
        "normalized": decisions.fit_conformal_intervals(mean, y, std, alpha)(test_mean, test_std),
        "cqr": decisions.fit_conformal_quantiles(*quantiles, y, alpha)(*test_quantiles),
    }
    return {
        kind: (metrics.interval_coverage(found, y_test), metrics.mean_interval_width(found))
        for kind, found in intervals.items()
    }


def label(entry):
    return methods.get(entry["method"]).label


SCALING_TITLE = (
    "Temperature scaling: MNIST's test set as predicted, with the temperature T of the mean "
    "prediction, and with that of the posterior samples"
)
SCALING_HEADER = "Method;error [%];NLL;ECE;T of mean;NLL;ECE;T of samples;NLL;ECE".split(";")


def scaling_cells(entry):
    cells = [label(entry), f"{entry['error_percent']:.2f}"]
    cells += [f"{entry[key]:.4f}" for key in ("nll", "ece")]
    for name in ("mean", "samples"):
        cells.append(f"{entry[f'{name}_temperature']:.3f}")
        cells += [f"{entry[f'{name}_{key}']:.4f}" for key in ("nll", "ece")]
    return cells


SELECTIVE_TITLE = "Selective prediction: MNIST's test set, uncertain by entropy"
SELECTIVE_HEADER = (
    f"Method;error [%];coverage at {100 * RISK:g} % error;AURC [1e-3];E-AURC [1e-3]".split(";")
)


def selective_cells(entry):
    areas = [f"{1000 * entry[key]:.3f}" for key in ("aurc", "e_aurc")]
    coverage = f"{entry['coverage_at_risk']:.3f}"
    return [label(entry), f"{entry['error_percent']:.2f}", coverage, *areas]


SETS_TITLE = (
    f"Conformal sets: MNIST's test set; halves are means over {NUM_SPLITS} random splits of it. In "
    "brackets: how far the coverage is from the expected one, in standard errors. RAPS is shown "
    "where it differs from APS"
)
SETS_HEADER = "Method;sets;calibrated on;target;coverage;mean size;one class [%]".split(";")


def sets_rows(entry):
    """Returns the rows of a run, without those of `raps` that show what `aps` does."""
    rows = {}
    for sets in entry["conformal"]:
        target = f"{1 - sets['alpha']:.2f}"
        for calibrated in ("halves", "validation"):
            found = sets[calibrated]
            rows[sets["method"], calibrated, target] = [
                f"{found['coverage']:.4f} ({found['deviation']:+.1f})",
                f"{found['size']:.3f}",
                f"{100 * found['singletons']:.1f}",
            ]
    return [
        [label(entry), method.upper(), calibrated, target, *cells]
        for (method, calibrated, target), cells in rows.items()
        if method != "raps" or cells != rows["aps", calibrated, target]
    ]


TOY_TITLE = (
    f"Intervals of the toy regression at {1 - TOY_ALPHA:.2f}: coverage and mean width, over "
    f"{NUM_TOY_DRAWS} draws of {NUM_TOY_CALIBRATION:,} points that calibrate and {NUM_TOY_TEST:,} "
    "that measure. In brackets: how far the coverage is from the expected one, in standard errors"
)
TOY_HEADER = ["Method", *(c for kind in TOY_KINDS.values() for c in (kind, "width"))]


def toy_cells(entry):
    cells = [label(entry)]
    for kind in TOY_KINDS:
        found = entry["intervals"][kind]
        off = "" if kind in OWN_KINDS else f" ({found['deviation']:+.1f})"
        cells += [f"{found['coverage']:.4f}{off}", f"{found['width']:.1f}"]
    return cells


def main():
    arguments = parse_arguments()
    runs, intervals = [], []
    for directory in arguments.runs:
        runs.append(measure_run(directory, arguments))
        print(f"Measured {runs[-1]['run']}", flush=True)
    for name in arguments.toy_methods:
        found = measure_toy(fit_toy(name, arguments.toy_steps), arguments.num_samples)
        intervals.append({"method": name, "alpha": TOY_ALPHA, "intervals": found})
    tables = []
    if runs:
        tables.append(measure.show(SCALING_TITLE, SCALING_HEADER, map(scaling_cells, runs)))
        tables.append(measure.show(SELECTIVE_TITLE, SELECTIVE_HEADER, map(selective_cells, runs)))
        rows = [row for entry in runs for row in sets_rows(entry)]
        tables.append(measure.show(SETS_TITLE, SETS_HEADER, rows))
    if intervals:
        tables.append(measure.show(TOY_TITLE, TOY_HEADER, map(toy_cells, intervals)))
    measure.write(arguments.json, tables, runs=runs, intervals=intervals)


if __name__ == "__main__":
    main()
