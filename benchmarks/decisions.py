"""Measures what temperature scaling and conformal prediction do to finished runs of MNIST.

    python benchmarks/decisions.py --runs runs/map runs/bbh --json=benchmarks/decisions.json
    python benchmarks/update_readme.py

For each run: NLL and ECE of the test set before and after temperature scaling, fitted on the
validation set to the mean prediction and to every posterior sample; coverage and size of conformal
sets (`lac`, `aps`, `raps`), means over random halves of the test set, of which one calibrates and
one measures. The test set has other writers than the training set, of which the validation set is a
part: sets that the validation set calibrates are therefore measured too, and need not cover.

The last table is of the toy regression, y = x^3 + N(0, 3^2): a network with Gaussian weights,
fitted by `bayesify`, and conformal intervals of three kinds, calibrated on 1,000 points.

The standard error of a coverage is that of the exact distribution, beta-binomial: calibration and
test set are both drawn.
"""

import argparse
import math

import keras
import measure
import numpy as np

import bayes_by_hypernet as bbh
from bayes_by_hypernet import data, metrics
from bayes_by_hypernet.data import toy
from bayes_by_hypernet.likelihoods import Gaussian

ALPHAS = (0.1, 0.05)
NUM_SPLITS = 20
NUM_SAMPLES = 100


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", nargs="*", default=[], help="directories of finished runs")
    parser.add_argument("--data_dir", help="of TFDS; as the launchers' flag")
    parser.add_argument("--notmnist_dir", help="of notMNIST; as the launchers' flag")
    parser.add_argument("--num_samples", type=int, default=NUM_SAMPLES)
    parser.add_argument("--num_images", type=int, help="of each set; default: all")
    parser.add_argument("--epochs", type=int, default=300, help="of the toy regression")
    parser.add_argument("--json", help="also write the numbers to this file")
    return parser.parse_args()


def coverage_error(num_calibration, num_test, alpha):
    """Returns the standard deviation of the coverage over calibration and test sets.

    Coverage given the calibration set follows Beta(k, n + 1 - k), k = ceil((n + 1)(1 - alpha)).
    """
    n = num_calibration
    k = math.ceil((n + 1) * (1 - alpha))
    mean = k / (n + 1)
    of_calibration = mean * (1 - mean) / (n + 2)
    return math.sqrt(of_calibration + (mean * (1 - mean) - of_calibration) / num_test)


def scaled(name, scaling, predictions, labels):
    """Returns the measures of the test set under a fitted temperature."""
    probs = scaling(predictions)
    return {
        f"{name}_temperature": scaling.temperature,
        f"{name}_nll": metrics.negative_log_likelihood(probs, labels),
        f"{name}_ece": metrics.expected_calibration_error(probs, labels),
    }


def conformal(probs, labels, validation_probs, validation_labels):
    """Returns coverage and size of conformal sets, a list with one entry for method and alpha."""
    entries = []
    for method in ("lac", "aps", "raps"):
        for alpha in ALPHAS:
            halves = []
            for split in range(NUM_SPLITS):
                order = np.random.default_rng(split).permutation(len(labels))
                fit, rest = order[: len(order) // 2], order[len(order) // 2 :]
                sets = bbh.decisions.fit_conformal_sets(
                    probs[fit], labels[fit], alpha, method, seed=split
                )(probs[rest], seed=split)
                halves.append(
                    (metrics.set_coverage(sets, labels[rest]), metrics.mean_set_size(sets))
                )
            coverage, size = np.mean(halves, axis=0)
            of_validation = bbh.decisions.fit_conformal_sets(
                validation_probs, validation_labels, alpha, method, seed=0
            )(probs, seed=0)
            entries.append(
                {
                    "method": method,
                    "alpha": alpha,
                    "coverage": coverage,
                    "standard_error": coverage_error(len(fit), len(rest), alpha),
                    "size": size,
                    "coverage_by_validation": metrics.set_coverage(of_validation, labels),
                }
            )
    return entries


def measure_run(directory, arguments):
    """Returns what the JSON file says of one run."""
    posterior = bbh.load(directory)
    config = posterior.config
    dataset = data.load(config.dataset, arguments.data_dir, arguments.notmnist_dir)
    predictions, labels = {}, {}
    for part in ("validation", "test"):
        examples = getattr(dataset, part)
        images = config.pipeline.inputs(examples.images[: arguments.num_images])
        labels[part] = examples.labels[: arguments.num_images].astype(int)
        predictions[part] = posterior.predict(
            images, num_samples=arguments.num_samples, seed=config.seed, return_samples=True
        )
    test, of_test = predictions["test"], labels["test"]
    calibrated = bbh.calibration.fit_temperature(
        predictions["validation"].mean, labels["validation"]
    )
    of_samples = bbh.calibration.fit_temperature(
        predictions["validation"].samples, labels["validation"]
    )
    wrong = test.mean.argmax(axis=1) != of_test
    return {
        "method": config.method,
        "error_percent": metrics.error_percent(test.mean, of_test),
        "nll": metrics.negative_log_likelihood(test.mean, of_test),
        "ece": metrics.expected_calibration_error(test.mean, of_test),
        **scaled("mean", calibrated, test.mean, of_test),
        **scaled("samples", of_samples, test.samples, of_test),
        "coverage_at_risk": metrics.coverage_at_risk(test.entropy, wrong, 0.001),
        "aurc": metrics.aurc(test.entropy, wrong),
        "conformal": conformal(
            test.mean, of_test, predictions["validation"].mean, labels["validation"]
        ),
    }


def toy_points(count, seed):
    """Returns x and y of the toy regression inside its training range, `(count, 1)`."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-toy.TRAIN_LIMIT, toy.TRAIN_LIMIT, (count, 1)).astype(np.float32)
    return x, (toy.true_function(x) + rng.normal(0, toy.NOISE_STDDEV, x.shape)).astype(np.float32)


def fit_toy(epochs, seed=0):
    """Returns a network with a posterior, fitted to 200 points of the toy regression."""
    keras.utils.set_random_seed(seed)
    x, y = toy_points(200, seed)
    layers = [keras.Input((1,)), keras.layers.Dense(50, "relu"), keras.layers.Dense(1)]
    model = bbh.bayesify(
        keras.Sequential(layers), "mean_field", num_train_examples=len(x), verbose=False
    )
    model.compile(keras.optimizers.Adam(0.03), Gaussian(toy.NOISE_STDDEV))
    model.fit(x, y, batch_size=50, epochs=epochs, verbose=0)
    return model


def measure_toy(model, num_samples=NUM_SAMPLES, alpha=0.1, num_calibration=1000, num_test=2000):
    """Returns coverage and width of intervals, a list with one entry for each kind."""
    (x, y), (x_test, y_test) = toy_points(num_calibration, 1), toy_points(num_test, 2)
    fit, test = (
        bbh.predict(model, points, num_samples, seed=0, return_samples=True)
        for points in (x, x_test)
    )
    levels = [alpha / 2, 1 - alpha / 2]
    (low, high), (test_low, test_high) = (p.quantile(levels)[..., 0] for p in (fit, test))
    mean, std, targets = fit.mean[:, 0], np.sqrt(fit.total[:, 0]), y[:, 0]
    test_mean, test_std = test.mean[:, 0], np.sqrt(test.total[:, 0])
    intervals = {
        "quantiles of the predictive": np.stack([test_low, test_high], axis=1),
        "conformal, absolute residual": bbh.decisions.fit_conformal_intervals(
            mean, targets, alpha=alpha
        )(test_mean),
        "conformal, normalised by the predictive std": bbh.decisions.fit_conformal_intervals(
            mean, targets, std, alpha
        )(test_mean, test_std),
        "conformal, quantiles (CQR)": bbh.decisions.fit_conformal_quantiles(
            low, high, targets, alpha
        )(test_low, test_high),
    }
    return [
        {
            "kind": kind,
            "alpha": alpha,
            "coverage": metrics.interval_coverage(found, y_test[:, 0]),
            "width": metrics.mean_interval_width(found),
            "standard_error": coverage_error(num_calibration, num_test, alpha),
        }
        for kind, found in intervals.items()
    ]


SCALING_HEADER = (
    "Method;error [%];NLL;ECE;temperature;NLL, scaled;ECE, scaled;temperature of samples;"
    "NLL, samples scaled;ECE, samples scaled;coverage at 0.1 % risk"
).split(";")


def scaling_cells(entry):
    of = [entry["method"], f"{entry['error_percent']:.2f}", f"{entry['nll']:.4f}"]
    of.append(f"{entry['ece']:.4f}")
    for name in ("mean", "samples"):
        of.append(f"{entry[f'{name}_temperature']:.2f}")
        of += [f"{entry[f'{name}_{key}']:.4f}" for key in ("nll", "ece")]
    return [*of, f"{entry['coverage_at_risk']:.3f}"]


SETS_HEADER = ["Method", "sets", "target", "coverage", "± of one split", "size", "by validation"]


def sets_cells(entry):
    return [
        [
            entry["method"],
            sets["method"],
            f"{1 - sets['alpha']:.2f}",
            f"{sets['coverage']:.4f}",
            f"{sets['standard_error']:.4f}",
            f"{sets['size']:.3f}",
            f"{sets['coverage_by_validation']:.4f}",
        ]
        for sets in entry["conformal"]
    ]


TOY_HEADER = ["Intervals", "target", "coverage", "±", "mean width"]


def toy_cells(entry):
    return [
        entry["kind"],
        f"{1 - entry['alpha']:.2f}",
        f"{entry['coverage']:.4f}",
        f"{entry['standard_error']:.4f}",
        f"{entry['width']:.2f}",
    ]


def main():
    arguments = parse_arguments()
    entries = [measure_run(directory, arguments) for directory in arguments.runs]
    intervals = measure_toy(fit_toy(arguments.epochs), arguments.num_samples)
    tables = []
    if entries:
        title = "Temperature scaling of MNIST's test set, fitted on the validation set"
        tables.append(measure.show(title, SCALING_HEADER, map(scaling_cells, entries)))
        title = "Conformal sets on MNIST's test set, means over 20 random halves"
        rows = [row for entry in entries for row in sets_cells(entry)]
        tables.append(measure.show(title, SETS_HEADER, rows))
    title = "Intervals of the toy regression"
    tables.append(measure.show(title, TOY_HEADER, map(toy_cells, intervals)))
    measure.write(arguments.json, tables, runs=entries, intervals=intervals)


if __name__ == "__main__":
    main()
