"""Reliability diagrams: how often predictions are right, by how sure they are (Guo et al. 2017)."""

from bayes_by_hypernet.paper.figures import style

MIN_EXAMPLES = 10  # a bin with fewer says nothing about an accuracy


def reliability(runs, path):
    """Draws accuracy against confidence on the test set, a line for each run.

    On the diagonal a prediction of 80 % is right in 80 % of the cases; below it, too sure.

    Args:
        runs: List of `Run`s that have curves.
        path: Where to write, without suffix.

    Returns:
        Path of the PNG.
    """
    figure, axes = style.new_figure(style.NARROW, 6.4)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="calibrated")
    for run in runs:
        names = ("counts", "confidence", "accuracy")
        bins = zip(*(run.curves[f"calibration_{name}"] for name in names), strict=True)
        shown = [bin_ for bin_ in bins if bin_[0] >= MIN_EXAMPLES]
        _, confidence, accuracy = zip(*shown, strict=True)
        axes.plot(
            confidence,
            accuracy,
            color=run.colour,
            linestyle=run.line,
            marker="o",
            markersize=3,
            label=f"{run.label}: ECE {run.results['ece']:.3f}",
        )
    axes.set(
        xlabel="confidence (largest probability)",
        ylabel=f"accuracy (bins of at least {MIN_EXAMPLES} images)",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    axes.grid(alpha=0.3)
    style.legend_below(figure, axes)
    return style.save(figure, path)
