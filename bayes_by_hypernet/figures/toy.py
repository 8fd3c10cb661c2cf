"""Figure 1: what each method makes of the toy regression, panel by panel."""

import numpy as np
from matplotlib.colors import to_rgb

from bayes_by_hypernet import protocols
from bayes_by_hypernet.data import toy
from bayes_by_hypernet.figures import style
from bayes_by_hypernet.toy_regression import GRID, Results

METHODS = ("map", "ensemble", "dropout", "mnf", "bbb", "bbh")  # panel by panel
Y_LIMIT = 250  # x^3 at the edge of the figure is 216
SHADES = (0.65, 0.4, 0.18)  # strength of the colour within one, two and three standard deviations


def toy_regression(directory):
    """Draws true function, data and predictions of all methods side by side (Figure 1).

    Bands are standard deviations of the predicted mean over posterior samples; dashed, three
    standard deviations with the noise of an observation added.

    Args:
        directory: Folder of the `Results`. A method that has none there gets an empty panel.

    Returns:
        Path of the PNG, `toy.png` in the folder.
    """
    results, data = Results(directory), toy.load(protocols.SEED)
    figure, axes = style.new_figure(7.6, 4.8, rows=2, columns=3, sharex=True, sharey=True)
    x = GRID[:, 0]
    for axis, method in zip(axes.flat, METHODS, strict=True):
        axis.plot(x, toy.true_function(x), "k:", label="true function $x^3$")
        axis.plot(data.train.images, data.train.labels, "k.", markersize=4, label="training data")
        if f"{method}_mean" in results.curves:
            _draw_prediction(
                axis, x, results.curves[f"{method}_mean"], results.curves[f"{method}_std"]
            )
        axis.set_title(style.METHODS[method][0])
        axis.grid(alpha=0.3)
    axes[0, 0].set(xlim=x[[0, -1]], ylim=(-Y_LIMIT, Y_LIMIT), xticks=np.arange(-6, 7, 2))
    for axis in axes[-1]:
        axis.set_xlabel("input x")
    for axis in axes[:, 0]:
        axis.set_ylabel("output y")
    legends = [axis.get_legend_handles_labels() for axis in axes.flat]
    fullest = max(legends, key=lambda legend: len(legend[0]))
    figure.legend(*fullest, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return style.save(figure, results.path / "toy")


def _draw_prediction(axis, x, mean, std):
    colour = np.array(to_rgb(style.IN_COLOUR))
    axis.plot(x, mean, color=colour, label="predictive mean")
    for count, shade in enumerate(SHADES, start=1):
        axis.fill_between(
            x,
            mean - count * std,
            mean + count * std,
            # Opaque, so that the legend has the figure's colours; the narrower above the wider.
            color=1 - shade * (1 - colour),
            linewidth=0,
            zorder=1 - count / 10,
            label=f"± {count} standard deviation" + "s" * (count > 1),
        )
    total = 3 * np.hypot(std, toy.NOISE_STDDEV)
    dashes = {"color": colour, "linestyle": "--", "linewidth": 0.8}
    axis.plot(x, mean - total, **dashes, label="± 3, noise added")
    axis.plot(x, mean + total, **dashes)
