"""What attacks leave of accuracy and certainty, against epsilon (Fig. 3 and 4)."""

import collections
import itertools

from bayes_by_hypernet.figures import style

_ATTACKS = {
    "fast_sign": "Fast sign method, average of {average}",
    "projected_gradient": "Projected gradient descent, {num_steps} steps",
}
_MEASURES = {"accuracy": "accuracy", "relative_entropy": "mean predictive entropy / log C"}


def attack_curves(records, path):
    """Draws accuracy and relative entropy of runs under the same attack, one panel each.

    A good posterior loses its accuracy late, and its certainty with it. A method has its colour;
    several runs of it differ in line and label.

    Args:
        records: Dict, a run's name to what `launch/adversarial.py` recorded of it.
        path: Path of the figure, see `style.save`.

    Returns:
        Path of the PNG.
    """
    num_runs = collections.Counter(record["run"]["method"] for record in records.values())
    lines = {method: itertools.cycle(style.LINES) for method in num_runs}
    figure, panels = style.new_figure(width=8.4, height=4.2, columns=2)
    for name, record in records.items():
        method = record["run"]["method"]
        label, colour = style.METHODS[method]
        line = next(lines[method])
        for axes, measure in zip(panels, _MEASURES, strict=True):
            axes.plot(
                [point["epsilon"] for point in record["points"]],
                [point[measure] for point in record["points"]],
                color=colour,
                linestyle=line,
                marker=".",
                label=label if num_runs[method] == 1 else f"{label}, {name}",
            )
    for axes, title in zip(panels, _MEASURES.values(), strict=True):
        axes.set(xlabel="epsilon, in units of the inputs", ylabel=title, ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
    attack = _ATTACKS[record["attack"]].format_map(record)
    datasets = sorted({record["run"]["dataset"].replace("_", " ") for record in records.values()})
    figure.suptitle(f"{attack}: {record['num_images']:,} images of {', '.join(datasets)}")
    figure.legend(handles=panels[0].get_lines(), loc="outside lower center", ncols=2, frameon=False)
    return style.save(figure, path)
