"""What launch/shift.py recorded of runs, as tables: over strengths, by family, and all of it."""

import collections
import csv
import io
import json
from typing import NamedTuple

from bayes_by_hypernet.data.corruptions import NUM_STRENGTHS
from bayes_by_hypernet.paper import schema
from bayes_by_hypernet.paper.shift import MEASURES, RECORD_FILE, curve
from bayes_by_hypernet.paper.tables.formats import format_markdown, markdown_escape
from bayes_by_hypernet.paper.tables.runs import in_paper_order, label_of

_FORMATS = {
    "error_percent": "{:.2f}",
    "nll": "{:.3f}",
    "ece": "{:.3f}",
    "relative_entropy": "{:.3f}",
}
BY_FAMILY = ("error_percent", "nll")  # the measures that are shown for each family


class Shifted(NamedTuple):
    """Runs on one data set, of one protocol, that were measured on the same corruptions.

    Attributes:
        dataset, protocol: Names.
        records: Dict, folder of a run to its record.
    """

    dataset: str
    protocol: str
    records: dict

    @property
    def labels(self):
        """Of the runs, a list."""
        return [label_of(record["run"], folder) for folder, record in self.records.items()]

    @property
    def about(self):
        """A sentence: data, corruptions, images and samples."""
        record = next(iter(self.records.values()))
        return (
            f"{self.dataset.replace('_', ' ')}, {self.protocol} protocol. Families of "
            f"corruptions: {len(record['families'])}; {record['num_images']:,} images, "
            f"{record['num_samples']} posterior samples."
        )


def find_shifts(found: dict) -> list[Shifted]:
    """Returns what was recorded of runs on corrupted images, different settings apart.

    They are in the order of the paper's rows.

    Args:
        found: What `find_runs` found.
    """
    alike = collections.defaultdict(dict)
    for path, results in in_paper_order(found).items():
        file = path.parent / RECORD_FILE
        if file.exists():
            record = schema.read(file)
            settings = [record[name] for name in ("num_images", "num_samples", "seed")]
            values = {name: family["values"] for name, family in record["families"].items()}
            key = json.dumps([*settings, values], sort_keys=True)
            alike[results["dataset"], results["protocol"], key][path.parent] = record
    return [Shifted(*where, records) for (*where, _), records in alike.items()]


def shift_table(labels, records) -> tuple[list, list]:
    """Returns header and rows: every measure of every run against strength, mean over families.

    Args:
        labels: Of the runs.
        records: What `launch/shift.py` recorded of each.
    """
    header = ["Measure", "Run", "clean", *map(str, range(1, NUM_STRENGTHS + 1))]
    rows = [
        [title, label, *map(_FORMATS[measure].format, curve(record, measure))]
        for measure, title in MEASURES.items()
        for label, record in zip(labels, records, strict=True)
    ]
    return header, rows


def shift_families_table(labels, records, measure) -> tuple[list, list]:
    """Returns header and rows: a measure of every run by family, mean over strengths 1 to 5.

    Args:
        labels, records: As for `shift_table`.
        measure: Name of one of `shift.MEASURES`.
    """
    rows = [
        [family.replace("_", " "), *(_mean(record, measure, family) for record in records)]
        for family in records[0]["families"]
    ]
    rows.append(["mean", *(_mean(record, measure) for record in records)])
    return [f"{MEASURES[measure]}, mean of strengths 1 to 5", *labels], rows


def shift_csv(labels, records) -> str:
    """Returns all measures unrounded: a line for each run, family and strength."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "method", "family", "strength", *MEASURES])
    for label, record in zip(labels, records, strict=True):
        points = [("clean", record["clean"])]
        for name, family in record["families"].items():
            points += [(name, point) for point in family["points"]]
        for name, point in points:
            measures = [point[measure] for measure in MEASURES]
            writer.writerow([label, record["run"]["method"], name, point["strength"], *measures])
    return text.getvalue()


def shift_markdown(found: dict) -> str:
    """Returns the tables in Markdown of each of `find_shifts`, or that there is none."""
    parts = []
    for shifted in find_shifts(found):
        shown = shifted.labels, list(shifted.records.values())
        parts += [
            markdown_escape(shifted.about),
            format_markdown(*shift_table(*shown), num_labels=2),
        ]
        parts += [format_markdown(*shift_families_table(*shown, name)) for name in BY_FAMILY]
    return "\n\n".join(parts) or "No run has been measured on corrupted images."


def _mean(record, measure, family=None):
    return _FORMATS[measure].format(curve(record, measure, family)[1:].mean())
