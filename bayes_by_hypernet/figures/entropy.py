"""The empirical CDF of the predictive entropy, whose area is the tables' AUC."""

import json
import pathlib

import numpy as np

from bayes_by_hypernet.figures import style
from bayes_by_hypernet.metrics import entropy_auc, predictive_entropy
from bayes_by_hypernet.run_directory import PREDICTIONS_FILE, RESULTS_FILE


def entropy_cdf(run_directory):
    """Draws the CDF of the entropy on the test set and on the outliers (paper, Section 3).

    A good posterior is certain where it is right, so that the test set's curve rises at once, and
    uncertain about outliers, whose curve rises late.

    Args:
        run_directory: Folder of a finished run.

    Returns:
        Path of the PNG, `figures/entropy_cdf.png` in the folder.
    """
    directory = pathlib.Path(run_directory)
    results = json.loads((directory / RESULTS_FILE).read_text())
    with np.load(directory / PREDICTIONS_FILE) as arrays:
        test, outliers = arrays["test_mean"], arrays["outlier_mean"]
    curves = [
        (results["dataset"], "test", test, style.IN_COLOUR, "-"),
        (results["outlier_dataset"], "outliers", outliers, style.OUTLIER_COLOUR, "--"),
    ]
    figure, axes = style.new_figure()
    for name, kind, probs, colour, line in curves:
        relative = np.sort(predictive_entropy(probs)) / np.log(probs.shape[1])
        share = np.arange(1, len(relative) + 1) / len(relative)
        label = f"{name.replace('_', ' ')} ({kind}): AUC {entropy_auc(probs):.3f}"
        axes.step(
            np.concatenate([[0], relative, [1]]),
            np.concatenate([[0], share, [1]]),
            where="post",
            color=colour,
            linestyle=line,
            label=label,
        )
    method, _ = style.METHODS[results["method"]]
    axes.set(
        xlabel="predictive entropy / log C",
        ylabel="share of images with at most this entropy",
        xlim=(0, 1),
        ylim=(0, 1.02),
        title=f"{method}, {results['protocol']} protocol, error {results['error_percent']:.2f} %",
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    return style.save(figure, directory / "figures" / "entropy_cdf")
