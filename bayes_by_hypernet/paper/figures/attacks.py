"""What attacks leave of accuracy and certainty, against epsilon (Fig. 3 and 4)."""

from matplotlib.ticker import FixedLocator

from bayes_by_hypernet.paper import attacks
from bayes_by_hypernet.paper.figures import style

_MAX_TICKS = 10
_MEASURES = {"accuracy": "accuracy", "relative_entropy": "mean predictive entropy / log C"}


def attack_curves(runs, records, path):
    """Draws accuracy and relative entropy of runs under the same attack, one panel each.

    A good posterior loses its accuracy late, and its certainty with it.

    Args:
        runs: List of `Run`s.
        records: What `launch/adversarial.py` recorded of each.
        path: Where to write, without suffix.

    Returns:
        Path of the PNG.
    """
    figure, panels = style.new_figure(style.NARROW, 6.8, rows=2, sharex=True)
    for axes, (measure, title) in zip(panels, _MEASURES.items(), strict=True):
        for run, record in zip(runs, records, strict=True):
            axes.plot(
                [point["epsilon"] for point in record["points"]],
                [point[measure] for point in record["points"]],
                color=run.colour,
                linestyle=run.line,
                marker=".",
                label=run.label,
            )
        axes.set(ylabel=title, ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
    panels[-1].set(xlabel="epsilon, in units of the inputs")
    epsilons = sorted({point["epsilon"] for record in records for point in record["points"]})
    panels[-1].xaxis.set_major_locator(FixedLocator(epsilons, nbins=_MAX_TICKS))
    panels[-1].xaxis.set_major_formatter("{x:g}")
    datasets = sorted({run.results["dataset"].replace("_", " ") for run in runs})
    figure.suptitle(
        f"{attacks.title(records[0])}\n"
        f"{records[0]['num_images']:,} images of {', '.join(datasets)}",
        fontsize="medium",
    )
    style.legend_below(figure, panels[0])
    return style.save(figure, path)
