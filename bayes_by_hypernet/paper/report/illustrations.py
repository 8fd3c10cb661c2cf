"""The figures of the page, made from runs or found in their folders, with what is said of them."""

import base64
import pathlib
import re
import shutil
from typing import NamedTuple

from bayes_by_hypernet.paper import figures, tables
from bayes_by_hypernet.paper.shift import MEASURES

# What launch/posterior.py draws, in a run's figures/.
POSTERIOR_FIGURES = {
    "posterior_histograms": "Weights of the first convolution: histograms of posterior samples, "
    "the Gaussian of the same moments, p-value of a test of normality and number of modes "
    "(Figures 5, 6 and 8).",
    "posterior_correlations": "Correlations of all weights of the first convolution (Figures 7 "
    "and 9).",
    "posterior_stddevs": "Standard deviations of weights of the first convolution.",
}


class Illustration(NamedTuple):
    """A figure of the page.

    Attributes:
        path: `pathlib.Path` of the PNG, beside which lies the PDF.
        caption: Sentences below it.
        wide: Whether it needs the whole width, and scrolls on a phone.
    """

    path: pathlib.Path
    caption: str
    wide: bool = False

    @property
    def data_uri(self):
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()


def place(folder, name):
    """Returns a path in a folder, and never outside: names are made of what runs say."""
    return folder / re.sub(r"[^\w.-]", "_", name)


def of_runs(runs, name, folder):
    """Draws the entropies, the reliability and the training of runs.

    Args:
        runs: List of `figures.Run`s, on one data set.
        name: Begins the names of the figures.
        folder: Of the figures.

    Returns:
        List of `Illustration`s.
    """
    evaluated = [run for run in runs if run.curves]
    trained = [run for run in runs if run.histories]
    seeds = sorted({run.results["seed"] for run in runs})
    seed = f"Seed {', '.join(map(str, seeds))}."
    made = []
    if evaluated:
        path = figures.entropy_cdfs(evaluated, place(folder, f"{name}_entropy"))
        made.append(Illustration(path, "Empirical CDF of the predictive entropy, whose area is "
            "the AUC: on the test set high is good (certain), on the outliers low. "
            + seed))  # fmt: skip
        path = figures.reliability(evaluated, place(folder, f"{name}_reliability"))
        made.append(Illustration(path, "Reliability: below the diagonal predictions are more "
            "certain than right. ECE is the mean gap to it. " + seed))  # fmt: skip
    if trained:
        path = figures.training_curves(trained, place(folder, f"{name}_training"))
        made.append(Illustration(path, "Training: the terms of the loss, mean over each epoch and "
            "over an ensemble's members, and the validation error where there is such a set. "
            + seed))  # fmt: skip
    return made


def of_attacks(found, folder):
    """Draws the runs under each attack that was recorded of them.

    Args:
        found: What `tables.find_runs` found.
        folder: Of the figures.

    Returns:
        List of `Illustration`s.
    """
    made = []
    for number, attacked in enumerate(tables.find_attacks(found), start=1):
        records = list(attacked.records.values())
        labels = [tables.label_of(record["run"], run) for run, record in attacked.records.items()]
        runs = figures.make_runs(attacked.records, labels)
        path = place(folder, f"{attacked.dataset}_{attacked.protocol}_{attacked.name}_{number}")
        caption = (
            f"{attacked.dataset.replace('_', ' ')}, {attacked.protocol} protocol: accuracy and "
            "relative entropy of the predictions against the size of the attack (Figures 3 and "
            f"4), {records[0]['num_samples']} posterior samples of the attack."
        )
        made.append(Illustration(figures.attack_curves(runs, records, path), caption))
    return made


def of_shift(shifted, number, folder):
    """Draws runs on corrupted test images: the mean over families, and some measures by family.

    Args:
        shifted: One of `tables.find_shifts`.
        number: Tells its figures from those of others.
        folder: Of the figures.

    Returns:
        List of `Illustration`s.
    """
    records = list(shifted.records.values())
    runs = figures.make_runs(shifted.records, shifted.labels)
    name = f"{shifted.dataset}_{shifted.protocol}_shift_{number}"
    path = figures.shift_curves(runs, records, place(folder, name))
    made = [Illustration(path, "The measures against the strength of the corruption, mean over "
        "its families.")]  # fmt: skip
    for measure in tables.BY_FAMILY:
        path = figures.shift_families(runs, records, place(folder, f"{name}_{measure}"), measure)
        caption = f"{MEASURES[measure]} against the strength of each family of corruptions."
        made.append(Illustration(path, caption[0].upper() + caption[1:], wide=True))
    return made


def of_posteriors(runs, folder):
    """Collects what `launch/posterior.py` drew: of runs side by side where there is that."""
    pairs = [(run, name, caption) for run in runs for name, caption in POSTERIOR_FIGURES.items()]
    compared = [
        _collect(run, f"{name}_compared", caption, folder, wide=name != "posterior_stddevs")
        for run, name, caption in pairs
    ]
    if any(compared):
        return [*filter(None, compared)]
    alone = [_collect(run, name, f"{run.label}: {caption}", folder) for run, name, caption in pairs]
    return [*filter(None, alone)]


def of_examples(runs, folder):
    """Collects the images of highest and lowest entropy that launchers drew."""
    caption = "the images of lowest and of highest entropy."
    collected = [_collect(run, "examples", f"{run.label}: {caption}", folder) for run in runs]
    return [*filter(None, collected)]


def of_toy(directory, number, folder):
    """Collects the figure of the toy regression in a folder; `number` tells it from others."""
    caption = (
        "Toy regression (Figure 1): true function, training data, predictive mean and one, two "
        "and three standard deviations of each method."
    )
    return _copy(directory / "toy.png", f"toy_{number}", caption, folder)


def _collect(run, name, caption, folder, wide=False):
    """Returns a figure of a run's folder, its data set and protocol before the caption, or None."""
    source = run.directory / "figures" / f"{name}.png"
    if not source.exists():
        return None
    parts = "_".join(part for part in run.directory.parts if part.strip("./"))
    where = f"{run.results['dataset'].replace('_', ' ')}, {run.results['protocol']} protocol"
    # Two runs may have folders of one name, in other folders.
    return _copy(source, f"{parts}_{name}", f"{where}. {caption}", folder, wide)


def _copy(source, name, caption, folder, wide=False):
    for suffix in (".png", ".pdf"):
        if source.with_suffix(suffix).exists():
            shutil.copyfile(source.with_suffix(suffix), place(folder, f"{name}{suffix}"))
    return Illustration(place(folder, f"{name}.png"), caption, wide)
