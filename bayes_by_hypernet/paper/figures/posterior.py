"""The fitted posterior of single weights, run beside run: Figures 5 to 9."""

import itertools
import math
from typing import NamedTuple

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from bayes_by_hypernet import randomness
from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.figures import style
from bayes_by_hypernet.paper.posterior import load
from bayes_by_hypernet.paper.posterior_statistics import WeightStatistics, weight_statistics
from bayes_by_hypernet.prediction import samples_per_chunk, sufficient_samples

KERNEL = "conv_1/kernel"  # the first convolution's, in LeNet as in ResNet-32
# Diverging, and told apart by colour-blind readers; grey where a weight does not vary.
CORRELATION_COLOURS = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.8")
MARKERS = "osD^vP*"


class KernelPosterior(NamedTuple):
    """What figures show of a run: posterior samples of the first convolution's kernel.

    Attributes:
        label: What titles and legends call the run.
        colour: Its method's.
        samples: Array `(num_samples, *kernel_shape)`, of a shape that ends with the filters.
        statistics: `WeightStatistics` of the flattened kernel.
    """

    label: str
    colour: str
    samples: np.ndarray
    statistics: WeightStatistics

    @classmethod
    def of_run(cls, directory, num_samples=1000, seed=42):
        """Draws from the posterior of the run in a folder.

        Args:
            directory: The folder.
            num_samples: Integer; fewer are drawn where fewer differ, as of an ensemble.
            seed: Integer.

        Raises:
            ValueError: If posterior samples are not weights, as with MC-dropout.
            FileNotFoundError, CheckpointError: As `bbh.load`.
        """
        run = load(directory)
        if KERNEL not in run.sample_shapes:
            raise ValueError(
                f"A posterior sample holds {list(run.sample_shapes)} and no {KERNEL}: as in "
                "MC-dropout, where it is the key of masks over weights that do not vary."
            )
        # Compiled, since a graph leaves out what makes the other weights.
        draw = tf.function(lambda count, key: run.draw(count, key)[KERNEL])
        total, most = sufficient_samples(run, num_samples), samples_per_chunk(run)
        key = randomness.seed_key(seed)
        chunks = [
            draw(tf.constant(min(most, total - first)), randomness.fold_in(key, first))
            for first in range(0, total, most)
        ]
        samples = np.concatenate(chunks)
        method = methods.get(run.config.method)
        name, colour = method.label, method.colour
        statistics = weight_statistics(samples.reshape(len(samples), -1))
        return cls(name, colour, samples, statistics)


def posterior_figures(runs, folder, suffix="", num_weights=25):
    """Draws histograms, correlations and standard deviations, `folder/posterior_*`.

    Args:
        runs: List of `KernelPosterior`s.
        folder: `pathlib.Path`.
        suffix: Of the files' names.
        num_weights: Integer, how many weights are shown one by one.
    """
    weight_histograms(runs, folder / f"posterior_histograms{suffix}", num_weights)
    weight_correlations(runs, folder / f"posterior_correlations{suffix}")
    weight_stddevs(runs, folder / f"posterior_stddevs{suffix}", num_weights)


def weight_histograms(runs, path, num_weights=25):
    """Draws the first weights' histograms and the Gaussians of their moments (Fig. 5, 6 and 8).

    Each panel's title has the p-value of the test of normality and the number of modes.

    Args:
        runs: List of `KernelPosterior`s; each has a part of the figure, two beside each other.
        path: Where to write, without suffix.
        num_weights: Integer; weights count in the order of the flattened kernel.

    Returns:
        Path of the PNG.
    """
    across = math.ceil(math.sqrt(num_weights))
    down = math.ceil(num_weights / across)
    width, height = 1.25 * across + 0.4, 1.0 * down + 0.8  # of a run's part, in inches
    margins = {"left": 0.35 / width, "right": 1 - 0.2 / width}
    margins |= {"bottom": 0.55 / height, "top": 1 - 0.5 / height}
    rows, columns = math.ceil(len(runs) / 2), min(2, len(runs))
    # Not in a constrained layout, which sets panels apart by the lengths of their numbers.
    figure = Figure(figsize=(columns * width, rows * height))
    parts = figure.subfigures(rows, columns, squeeze=False).ravel()
    for run, part in zip(runs, parts, strict=False):
        weights = run.samples.reshape(len(run.samples), -1)[:, :num_weights].T
        panels = part.subplots(down, across, squeeze=False).ravel()
        part.subplots_adjust(**margins, wspace=0.3, hspace=0.5)
        for index, (axis, values) in enumerate(itertools.zip_longest(panels, weights)):
            if values is None:
                axis.set_axis_off()
            else:
                _draw_weight(axis, values, index, run)
        part.suptitle(run.label, fontsize="medium")
        part.supxlabel(
            f"value of weights 0 to {len(weights) - 1} of the kernel; "
            "line: Gaussian of the same moments",
            fontsize="small",
        )
        part.supylabel(f"density ({len(run.samples):,} samples)", fontsize="small")
    return style.save(figure, path)


def _draw_weight(axis, values, index, run):
    mean, stddev = run.statistics.mean[index], run.statistics.stddev[index]
    axis.hist(values, bins=30, density=True, color=run.colour)
    if stddev > 0:
        x = np.linspace(values.min(), values.max(), 200)
        axis.plot(x, stats.norm.pdf(x, mean, stddev), color="black", linewidth=1)
    axis.set_title(_caption(run.statistics, index), fontsize=6, pad=2)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=3, prune="both"))
    axis.tick_params(axis="x", labelsize=6, length=2, pad=1)
    axis.set_yticks([])


def _caption(statistics, index):
    if statistics.stddev[index] == 0:
        return "does not vary"
    p_value, modes = statistics.p_values[index], statistics.num_modes[index]
    if np.isnan(p_value):
        return ""
    p_text = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    return f"{p_text}, {modes:.0f} mode{'s' if modes > 1 else ''}"


def weight_correlations(runs, path):
    """Draws the correlations of all weights of the kernel (Fig. 7 and 9).

    Weights are ordered filter by filter, since a filter's share a factor in MNF.

    Args:
        runs: List of `KernelPosterior`s, a matrix each.
        path: Where to write, without suffix.

    Returns:
        Path of the PNG.
    """
    # A weight is more than a pixel, and no pixel mixes a positive with a negative correlation.
    figure, axes = style.new_figure(4.6 * len(runs) + 0.8, 4.6, columns=len(runs), squeeze=False)
    for run, axis in zip(runs, axes[0], strict=True):
        num_filters = run.samples.shape[-1]
        order = np.arange(len(run.statistics.mean)).reshape(-1, num_filters).T.ravel()
        image = axis.imshow(
            run.statistics.correlations[np.ix_(order, order)],
            cmap=CORRELATION_COLOURS,
            vmin=-1,
            vmax=1,
            interpolation="nearest",
        )
        axis.set(title=run.label, xlabel=f"weight, by its filter ({num_filters} filters)")
    axes[0, 0].set_ylabel("weight, by its filter")
    figure.colorbar(image, ax=axes, label="correlation", shrink=0.8)
    return style.save(figure, path)


def weight_stddevs(runs, path, num_weights=25):
    """Draws the standard deviations of the first weights, runs over each other.

    Args:
        runs: List of `KernelPosterior`s.
        path: Where to write, without suffix.
        num_weights: Integer; weights count in the order of the flattened kernel.

    Returns:
        Path of the PNG.
    """
    figure, axes = style.new_figure(6.4, 3.8)
    for run, marker in zip(runs, itertools.cycle(MARKERS)):
        stddev = run.statistics.stddev
        varying = np.flatnonzero(stddev[:num_weights])  # a log axis has no place for 0
        said = f"median of the kernel {np.median(stddev):.2g}" if stddev.any() else "none varies"
        label = f"{run.label}: {said}"
        axes.plot(varying, stddev[varying], marker, color=run.colour, markersize=4, label=label)
    axes.set(
        xlabel="weight (index in the flattened kernel)",
        ylabel="standard deviation",
        xlim=(-1, num_weights),
        yscale="log",
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False, fontsize="small")
    return style.save(figure, path)
