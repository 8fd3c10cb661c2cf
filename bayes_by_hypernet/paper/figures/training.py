"""Training curves: the terms of the loss and the validation error, epoch by epoch."""

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from bayes_by_hypernet.paper.figures import style

# Name in a run's history to the axis' label.
PANELS = {
    "nll": "NLL of training\n[nats per example]",
    "kl_per_example": "KL / N\n[nats per example]",
    "validation_error_percent": "validation error [%]",
}


def training_curves(runs, path):
    """Draws each term against the epoch, a line for each run; of an ensemble, its members' mean.

    A term that no run has, such as the error where there is no validation set, is left out.

    Args:
        runs: List of `Run`s that have histories.
        path: Where to write, without suffix.

    Returns:
        Path of the PNG.
    """
    values = {name: [_mean_over_members(run, name) for run in runs] for name in PANELS}
    shown = [name for name in PANELS if any(np.any(of_run) for of_run in values[name])]
    figure, panels = style.new_figure(
        style.NARROW, 6.4, rows=len(shown), squeeze=False, sharex=True
    )
    for axes, name in zip(panels[:, 0], shown, strict=True):
        for run, of_run in zip(runs, values[name], strict=True):
            positive = np.where(of_run > 0, of_run, np.nan)  # a log axis has no place for 0
            epochs = np.arange(1, len(of_run) + 1)
            axes.plot(
                epochs, positive, color=run.colour, linestyle=run.line, marker=".", label=run.label
            )
        axes.set(ylabel=PANELS[name], yscale="log")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    axes.set(xlabel="epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    style.legend_below(figure, axes)
    return style.save(figure, path)


def _mean_over_members(run, name):
    """Returns a term's mean over a run's members, `(epochs,)`; 0 where they have no such term."""
    members = [[epoch.get(name) or 0.0 for epoch in history] for history in run.histories]
    shortest = min(map(len, members))  # a member that failed stopped early
    return np.mean([values[:shortest] for values in members], axis=0)
