"""Figure 1: what each method makes of the toy regression, panel by panel."""

import numpy as np
from matplotlib.colors import to_rgb

from bayes_by_hypernet.data import toy
from bayes_by_hypernet.paper import methods, protocols
from bayes_by_hypernet.paper.figures import style
from bayes_by_hypernet.paper.toy_regression import GRID, Results

METHODS = ("map", "ensemble", "dropout", "mnf", "bbb", "bbh")  # panel by panel
Y_LIMIT = 250  # x^3 at the edge of the figure is 216
SHADES = (0.55, 0.33, 0.15)  # strength of the colour within one, two and three standard deviations
LEGEND_COLOUR = "0.35"  # of no method
TRUTH_STYLE = {"color": "0.45", "linestyle": ":", "linewidth": 1.8, "zorder": 3}
DATA_STYLE = {"color": "black", "marker": "o", "markersize": 4, "linestyle": "", "zorder": 4}
# Seen on the black line of MAP.
DATA_STYLE |= {"markeredgecolor": "white", "markeredgewidth": 0.6}


def toy_regression(directory):
    """Draws true function, data and predictions of all methods side by side (Figure 1).

    Bands are standard deviations of the predicted mean over posterior samples; dashed, three
    standard deviations with the noise of an observation added. A method has its colour.

    Args:
        directory: Folder of the `Results`. A method that has none there gets an empty panel.

    Returns:
        Path of the PNG, `toy.png` in the folder.
    """
    results, data = Results(directory), toy.load(protocols.SEED)
    # No wider, so that a phone shows the text in a readable size.
    figure, axes = style.new_figure(5.2, 7.4, rows=3, columns=2, sharex=True, sharey=True)
    x = GRID[:, 0]
    for axis, method in zip(axes.flat, METHODS, strict=True):
        name, colour = methods.get(method).label, methods.get(method).colour
        given = [
            *axis.plot(x, toy.true_function(x), label="true function $x^3$", **TRUTH_STYLE),
            *axis.plot(data.train.images, data.train.labels, label="training data", **DATA_STYLE),
        ]
        if f"{method}_mean" in results.curves:
            mean, std = (results.curves[f"{method}_{curve}"] for curve in ("mean", "std"))
            _draw_prediction(axis, x, mean, std, colour)
        axis.set_title(name)
        axis.grid(alpha=0.3)
    axes[0, 0].set(xlim=x[[0, -1]], ylim=(-Y_LIMIT, Y_LIMIT), xticks=np.arange(-4, 5, 2))
    for axis in axes[-1]:
        axis.set_xlabel("input x")
    for axis in axes[:, 0]:
        axis.set_ylabel("output y")
    nothing = np.empty((3, 0))
    explained = [*given, *_draw_prediction(axes[0, 0], *nothing, LEGEND_COLOUR)]
    figure.legend(handles=explained, loc="outside lower center", ncols=2, frameon=False)
    return style.save(figure, results.path / "toy")


def _draw_prediction(axis, x, mean, std, colour):
    """Draws a method's curves and returns the artists that a legend explains."""
    [line] = axis.plot(x, mean, color=colour, linewidth=2, label="predictive mean")
    bands = [
        axis.fill_between(
            x,
            mean - count * std,
            mean + count * std,
            # Opaque, so that the legend has the figure's shades; the narrower above the wider.
            color=1 - shade * (1 - np.array(to_rgb(colour))),
            linewidth=0,
            zorder=1 - count / 10,
            label=f"± {count} standard deviation" + "s" * (count > 1),
        )
        for count, shade in enumerate(SHADES, start=1)
    ]
    total = 3 * np.hypot(std, toy.NOISE_STDDEV)
    dashes = {"color": colour, "linestyle": "--", "linewidth": 1}
    axis.plot(x, mean - total, **dashes)
    [edge] = axis.plot(x, mean + total, **dashes, label="± 3, noise added")
    return line, edge, *bands
