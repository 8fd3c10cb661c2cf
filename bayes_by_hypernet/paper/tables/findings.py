"""What else was found out about runs: measures, attacks, posteriors, the toy regression.

The numbers of what the paper shows as figures, and of runs that are none of its rows.
"""

import collections
import json
from typing import NamedTuple

from bayes_by_hypernet.paper import attacks
from bayes_by_hypernet.paper.tables.formats import DASH, format_markdown, markdown_escape
from bayes_by_hypernet.paper.tables.runs import in_paper_order, label_of

ATTACKS = "adversarial_*.json"  # in a run's folder, from launch/adversarial.py
POSTERIOR = "posterior.json"  # from launch/posterior.py
_EPSILONS = (0.0, 0.1, 0.2, 0.3, 0.4)  # of the attacks' table, where there are such
# Heading of a column to the name of its number and its format.
_POSTERIOR = {
    "Varying weights": ("num_varying_weights", "{}"),
    "Median stddev": ("median_stddev", "{:.4f}"),
    "Not normal": ("non_normal_share", "{:.1%}"),
    "Several modes": ("multi_modal_share", "{:.1%}"),
    "Mean |r|": ("mean_absolute_correlation", "{:.3f}"),
    "If independent": ("independent_absolute_correlation", "{:.3f}"),
}
_MEASURES = {
    "Error [%]": ("error_percent", "{:.2f}"),
    "in-AUC": ("in_auc", "{:.3f}"),
    "Outlier AUC": ("outlier_auc", "{:.3f}"),
    "NLL": ("nll", "{:.3f}"),
    "Brier": ("brier", "{:.3f}"),
    "ECE": ("ece", "{:.3f}"),
    "AUROC of entropy": ("auroc", "{:.3f}"),
    "Training [s], shared machine": ("train_seconds", "{:.0f}"),
}
_TOY = {
    "Log likelihood inside": ("log_likelihood_inside", "{:.2f}"),
    "outside [nats per point]": ("log_likelihood_outside", "{:.2f}"),
    "Band inside": ("band_inside", "{:.2f}"),
    "outside [standard deviation]": ("band_outside", "{:.2f}"),
    "Training NLL [nats]": ("train_nll", "{:.2f}"),
    "Seconds": ("train_seconds", "{:.0f}"),
}


class Attacked(NamedTuple):
    """Runs on one data set, of one protocol, under one attack with one choice of settings.

    Attributes:
        dataset, protocol: Names.
        name: Of the records' files, without suffix.
        title: The attack in words.
        records: Dict, folder of a run to its record.
    """

    dataset: str
    protocol: str
    name: str
    title: str
    records: dict


def find_attacks(found: dict) -> list[Attacked]:
    """Returns the attacks that were recorded of runs, those of different settings apart.

    They stand by data set, in the order of the paper's rows on them.

    Args:
        found: What `find_runs` found.
    """
    alike, found = collections.defaultdict(dict), in_paper_order(found)
    datasets = list(dict.fromkeys(results["dataset"] for results in found.values()))
    for path, results in found.items():
        for file in sorted(path.parent.glob(ATTACKS)):
            record = json.loads(file.read_text())
            settings = {name: v for name, v in record.items() if name not in ("run", "points")}
            where = (results["dataset"], results["protocol"], file.stem)
            alike[(*where, json.dumps(settings, sort_keys=True))][path.parent] = record
    return [
        Attacked(*where, attacks.title(next(iter(records.values()))), records)
        for (*where, _), records in sorted(
            alike.items(), key=lambda item: (datasets.index(item[0][0]), item[0])
        )
    ]


def attack_table(labels, records) -> tuple[list, list]:
    """Returns header and rows: accuracy and relative entropy at some of the epsilons.

    Args:
        labels: Of the runs.
        records: What `launch/adversarial.py` recorded of each.
    """
    attacked = records[0]["epsilons"]
    shown = [e for e in attacked if e in _EPSILONS] or attacked
    header = [f"{what}, epsilon {e:g}" for what in ("accuracy", "entropy") for e in shown]
    rows = []
    for label, record in zip(labels, records, strict=True):
        points = {point["epsilon"]: point for point in record["points"]}
        measures = ("accuracy", "relative_entropy")
        rows.append([label, *(f"{points[e][name]:.3f}" for name in measures for e in shown)])
    return ["Run", *header], rows


def measures_table(runs) -> tuple[list, list]:
    """Returns header and rows of runs' measures, whatever their settings.

    Args:
        runs: Pairs of a label and `results.json` contents.
    """
    return _table("Run", _MEASURES, runs)


def posterior_table(summaries) -> tuple[list, list]:
    """Returns header and rows of posterior statistics; a run lacks those that it cannot have.

    Args:
        summaries: Pairs of a run's label and its `WeightStatistics.summary()`.
    """
    return _table("Run", _POSTERIOR, summaries)


def toy_table(numbers) -> tuple[list, list]:
    """Returns header and rows of the toy regression.

    Args:
        numbers: Pairs of a method's label and what `toy_regression.run` says of it.
    """
    return _table("Method", _TOY, numbers)


def attacks_markdown(found: dict) -> str:
    """Returns a table in Markdown for each of `find_attacks`."""
    parts = []
    for attacked in find_attacks(found):
        labels = [label_of(record["run"], folder) for folder, record in attacked.records.items()]
        records = list(attacked.records.values())
        about = (
            f"{attacked.dataset}, {attacked.protocol} protocol. {attacked.title}: "
            f"{records[0]['num_images']:,} images, {records[0]['num_samples']} posterior samples."
        )
        table = format_markdown(*attack_table(labels, records))
        parts.append(f"{markdown_escape(about)}\n\n{table}")
    return "\n\n".join(parts)


def posterior_markdown(found: dict) -> str:
    """Returns the statistics of all posteriors that were examined as one table in Markdown."""
    summaries = [
        (label_of(results, path.parent), json.loads((path.parent / POSTERIOR).read_text()))
        for path, results in in_paper_order(found).items()
        if (path.parent / POSTERIOR).exists()
    ]
    return format_markdown(*posterior_table(summaries))


def _table(first, columns, records):
    rows = []
    for label, record in records:
        cells = [(record[name], template) for name, template in columns.values()]
        rows.append([label, *(DASH if n is None else template.format(n) for n, template in cells)])
    return [first, *columns], rows
