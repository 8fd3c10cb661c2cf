"""The empirical CDF of the predictive entropy, whose area is the tables' AUC."""

from typing import NamedTuple

import numpy as np

from bayes_by_hypernet.paper.figures import style
from bayes_by_hypernet.paper.figures.runs import Run
from bayes_by_hypernet.paper.run_directory import CURVES_FILE


class _Set(NamedTuple):
    """A set of images: its names in a run's files, and how figures of one run show it."""

    dataset: str
    auc: str
    cdf: str
    words: str
    colour: str
    line: str

    def title(self, runs):
        names = sorted({run.results[self.dataset].replace("_", " ") for run in runs})
        return f"{', '.join(names)} ({self.words})"


_SETS = (
    _Set("dataset", "in_auc", "test_entropy_cdf", "test", style.IN_COLOUR, "-"),
    _Set(
        "outlier_dataset",
        "outlier_auc",
        "outlier_entropy_cdf",
        "outliers",
        style.OUTLIER_COLOUR,
        "--",
    ),
)
_X_LABEL = "predictive entropy / log C"
_Y_LABEL = "share with at most this entropy"


def entropy_cdf(run_directory):
    """Draws the CDF of the entropy on the test set and on the outliers (paper, Section 3).

    A good posterior is certain where it is right, so that the test set's curve rises at once, and
    uncertain about outliers, whose curve rises late.

    Args:
        run_directory: Folder of a finished run.

    Returns:
        Path of the PNG, `figures/entropy_cdf.png` in the folder.

    Raises:
        FileNotFoundError: If the folder holds no curves.
    """
    run = Run(run_directory)
    results = run.results
    if run.curves is None:
        raise FileNotFoundError(f"{run.directory} holds no {CURVES_FILE} that can be read.")
    figure, axes = style.new_figure()
    for kind in _SETS:
        label = f"{kind.title([run])}: AUC {results[kind.auc]:.3f}"
        line = {"color": kind.colour, "linestyle": kind.line, "label": label}
        _draw_cdf(axes, run.curves[kind.cdf], **line)
    axes.set(
        xlabel=_X_LABEL,
        ylabel=_Y_LABEL,
        title=f"{run.label}, {results['protocol']} protocol, "
        f"error {results['error_percent']:.2f} %",
    )
    figure.legend(loc="outside lower center", frameon=False)
    return style.save(figure, run.directory / "figures" / "entropy_cdf")


def entropy_cdfs(runs, path):
    """Draws the CDFs of several runs, on the test set above and on the outliers below.

    Args:
        runs: List of `Run`s that have curves.
        path: Where to write, without suffix.

    Returns:
        Path of the PNG.
    """
    figure, panels = style.new_figure(style.NARROW, 6.4, rows=2, sharex=True)
    for axes, kind in zip(panels, _SETS, strict=True):
        for run in runs:
            line = {"color": run.colour, "linestyle": run.line, "label": run.label}
            _draw_cdf(axes, run.curves[kind.cdf], **line)
        axes.set(title=kind.title(runs), ylabel=_Y_LABEL)
    panels[-1].set(xlabel=_X_LABEL)
    style.legend_below(figure, panels[0])
    return style.save(figure, path)


def _draw_cdf(axes, values, **line):
    axes.plot(np.linspace(0, 1, len(values)), values, **line)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
