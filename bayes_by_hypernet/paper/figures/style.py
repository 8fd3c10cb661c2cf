"""One style for every figure: colours that colour-blind readers tell apart, sizes, files."""

import io
import pathlib

from matplotlib.figure import Figure

from bayes_by_hypernet import files

# Colours are from Wong (2011); a method carries its name and its own.
IN_COLOUR, OUTLIER_COLOUR = "#0072B2", "#7F7F7F"  # of the test set and of the outliers
LINES = ("-", "--", ":", "-.")  # of several runs of one method
NARROW = 4.6  # inches: of figures that stand beside others, or fill a phone
DPI = 150


def new_figure(width=5.2, height=3.8, rows=1, columns=1, **subplots):
    """Returns a figure of `width` by `height` inches, and its axes or array of axes.

    Without pyplot, so that nothing stays in memory and no display is needed.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **subplots)


def legend_below(figure, axes):
    """Puts one legend of the lines in `axes` below the panels of a figure."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if len(labels) > 1 and max(map(len, labels)) < 30 else 1
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize="small"
    )


def save(figure, path):
    """Writes a figure as PNG and, beside it, as PDF.

    Args:
        figure: The figure.
        path: Path without suffix; its folder is made if absent.

    Returns:
        Path of the PNG.
    """
    path = pathlib.Path(path)
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".pdf", ".png"):
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=DPI, format=suffix[1:])
        files.write_bytes(path.with_suffix(suffix), buffer.getvalue())
    return path.with_suffix(suffix)
