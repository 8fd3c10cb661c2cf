"""Measures of runs on corrupted test images, against the strength of the corruption."""

import math

from bayes_by_hypernet.data.corruptions import NUM_STRENGTHS
from bayes_by_hypernet.paper import shift
from bayes_by_hypernet.paper.figures import style

_STRENGTHS = range(NUM_STRENGTHS + 1)
_X_LABEL = "strength of the corruption"
_COLUMNS = 5  # of the figure of the families


def shift_curves(runs, records, path):
    """Draws every measure, the mean over the families of corruptions, a panel each.

    A good posterior becomes uncertain as its error grows, so that its NLL and its calibration error
    grow slowly.

    Args:
        runs: List of `Run`s.
        records: What `launch/shift.py` recorded of each, with the same settings.
        path: Where to write, without suffix.

    Returns:
        Path of the PNG.
    """
    figure, panels = style.new_figure(7.6, 6.4, rows=2, columns=2, sharex=True)
    for axes, (measure, title) in zip(panels.flat, shift.MEASURES.items(), strict=True):
        _draw(axes, runs, records, measure)
        axes.set(ylabel=title)
    for axes in panels[-1]:
        axes.set(xlabel=_X_LABEL)
    count = len(records[0]["families"])
    families = "one family" if count == 1 else f"mean over {count} families"
    figure.suptitle(f"Corrupted test images, {families}\n{_about(runs, records)}", fontsize=10)
    style.legend_below(figure, panels.flat[0])
    return style.save(figure, path)


def shift_families(runs, records, path, measure="error_percent"):
    """Draws one measure, a panel for each family of corruptions and one of their mean.

    Every panel has its own scale, since it compares runs, and families differ widely.

    Args:
        runs, records, path: As for `shift_curves`.
        measure: Name of one of `shift.MEASURES`.

    Returns:
        Path of the PNG.
    """
    titles = {family: family.replace("_", " ") for family in records[0]["families"]}
    titles[None] = "mean over families"
    columns = min(_COLUMNS, len(titles))
    rows = math.ceil(len(titles) / columns)
    size = (max(style.NARROW, 2.1 * columns), 1.5 + 1.8 * rows)
    figure, panels = style.new_figure(*size, rows=rows, columns=columns, sharex=True, squeeze=False)
    for axes, (family, title) in zip(panels.flat, titles.items(), strict=False):
        _draw(axes, runs, records, measure, family)
        axes.set_title(title, fontsize="medium")
    for axes in panels.flat[len(titles) :]:
        axes.set_axis_off()
    for axes in panels.flat[max(0, len(titles) - columns) : len(titles)]:  # lowest of their columns
        axes.tick_params(labelbottom=True)
        axes.set(xlabel="strength")
    for axes in panels[:, 0]:
        axes.set(ylabel=shift.MEASURES[measure])
    figure.suptitle(
        f"Corrupted test images by family, each on its own scale\n{_about(runs, records)}",
        fontsize=10,
    )
    style.legend_below(figure, panels.flat[0])
    return style.save(figure, path)


def _draw(axes, runs, records, measure, family=None):
    for run, record in zip(runs, records, strict=True):
        axes.plot(
            _STRENGTHS,
            shift.curve(record, measure, family),
            color=run.colour,
            linestyle=run.line,
            marker=".",
            label=run.label,
        )
    axes.set(xticks=_STRENGTHS)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _about(runs, records):
    datasets = sorted({run.results["dataset"].replace("_", " ") for run in runs})
    return f"{records[0]['num_images']:,} images of {', '.join(datasets)}"
