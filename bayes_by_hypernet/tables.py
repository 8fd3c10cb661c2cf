"""The paper's tables, and ours beside them, from the `results.json` of runs."""

import dataclasses
import json
import pathlib

from bayes_by_hypernet import methods, protocols
from bayes_by_hypernet.configuration import METHOD_OPTIONS


@dataclasses.dataclass(frozen=True)
class PaperRow:
    """A row of a table of the paper, and the configuration that reproduces it.

    Attributes:
        tables: Numbers of the tables that hold it.
        label: As the paper says it.
        network, method: Names.
        options: The method's settings; those not named are its defaults.
        error_percent, in_auc, outlier_auc, train_seconds: The paper's numbers.
    """

    tables: tuple
    label: str
    network: str
    method: str
    options: dict
    error_percent: float
    in_auc: float
    outlier_auc: float
    train_seconds: int

    def settings(self):
        """Returns every setting of the method, by name."""
        return dataclasses.asdict(methods.get(self.method).Options(**self.options))


def _bbh(tables, label, architecture, noise, noise_dim, *numbers):
    options = {"architecture": architecture, "noise": noise, "noise_dim": noise_dim}
    return PaperRow(tables, label, "lenet", "bbh", options, *numbers)


# Error in percent, AUC on MNIST, AUC on the outliers (notMNIST), seconds on the authors' GPU.
_MAP = (0.80, 0.99, 0.71, 710)
_SINGLE = (1.1, 0.89, 0.48, 2961)
_SLICED = (1.7, 0.93, 0.55, 7119)
_SHARED = (0.73, 0.98, 0.54, 11361)
_INDEPENDENT = (0.56, 0.97, 0.48, 11504)
_SHARED_8 = (0.56, 0.98, 0.49, 11314)
_INDEPENDENT_8 = (0.64, 0.97, 0.44, 11268)

PAPER_ROWS = (
    PaperRow((3,), "MAP", "lenet", "map", {}, *_MAP),
    _bbh((1,), "BbH, single G", "single", "shared", 1, *_SINGLE),
    _bbh((1,), "BbH, sliced layer-wise G_l", "sliced", "shared", 1, *_SLICED),
    _bbh((1, 2), "BbH, layer-wise, shared noise, d = 1", "layerwise", "shared", 1, *_SHARED),
    _bbh((2, 3), "BbH, independent noise, d = 1", "layerwise", "independent", 1, *_INDEPENDENT),
    _bbh((2,), "BbH, shared noise, d = 8", "layerwise", "shared", 8, *_SHARED_8),
    _bbh((2,), "BbH, independent noise, d = 8", "layerwise", "independent", 8, *_INDEPENDENT_8),
)
COLUMNS = ("Error [%]", "MNIST AUC", "Outlier AUC", "Runtime [s]")
DASH = "–"


def paper_row(results: dict) -> PaperRow | None:
    """Returns the row whose architecture, noise and estimator a run has, or None."""
    for row in PAPER_ROWS:
        settings = row.settings()
        names = ("architecture", "noise", "noise_dim", "kl_estimator")
        same = all(settings.get(name) == results[name] for name in names)
        if same and (row.network, row.method) == (results["network"], results["method"]):
            return row
    return None


def deviations(row: PaperRow, results: dict) -> dict:
    """Returns the settings in which a run differs from a row under the run's protocol and seed."""
    expected = {
        **dict.fromkeys(METHOD_OPTIONS),
        **row.settings(),
        "epochs": protocols.get(row.network, results["protocol"]).epochs,
        "batch_size": protocols.BATCH_SIZE,
        "learning_rate": methods.get(row.method).learning_rate,
        "num_predictive_samples": protocols.NUM_PREDICTIVE_SAMPLES,
        "temperature": 1.0,
        "max_train_examples": None,
    }
    expected = json.loads(json.dumps(expected))
    return {name: results[name] for name in expected if results[name] != expected[name]}


def format_table(header, rows) -> str:
    """Returns an aligned plain-text table; the first column is a label."""
    rows = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def format_markdown(header, rows, num_labels=1) -> str:
    """Returns the table in Markdown: columns of labels, then columns of numbers."""
    rule = ["---"] * num_labels + ["---:"] * (len(header) - num_labels)
    rows = [header, rule, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def run_summary(results: dict) -> str:
    """Returns what a launcher prints at the end: our row beside the paper's, and what they are."""
    row = paper_row(results)
    where = f"{results['dataset']}, outliers {results['outlier_dataset']}"
    header = ["", "Error [%]", "in-AUC", *COLUMNS[2:]]
    lines = [[f"ours ({where}, {results['protocol']} protocol)", *_our_cells(results)]]
    notes = []
    if row:
        tables = " and ".join(str(table) for table in row.tables)
        lines.append([f"paper, Table {tables}, {row.label!r} (MNIST)", *_paper_cells(row, results)])
        changed = deviations(row, results)
        if changed:
            changed = ", ".join(f"{name}={value}" for name, value in changed.items())
            notes.append(f"Settings that are not the row's: {changed}.")
    else:
        notes.append("No row of the paper has these settings.")
    notes.append(
        "NLL {nll:.4f}, Brier {brier:.4f}, ECE {ece:.4f}, AUROC of entropy {auroc:.3f}, mutual "
        "information {mutual_information_in:.4f} in and {mutual_information_out:.4f} nats "
        "out.".format(**results)
    )
    if results["protocol"] != "paper":
        notes.append(
            f"The {results['protocol']} protocol trains {results['epochs']} epochs: these are not "
            "results to compare with the paper's. --protocol=paper gives those."
        )
    if results["fallback_reason"]:
        notes.append("\n".join(["=" * 80, results["fallback_reason"], "=" * 80]))
    return "\n".join([format_table(header, lines), "", *notes])


def _our_cells(results):
    return [
        f"{results['error_percent']:.2f}",
        f"{results['in_auc']:.3f}",
        f"{results['outlier_auc']:.3f}",
        f"{results['train_seconds']:.0f}",
    ]


def _paper_cells(row, results):
    # The paper's outliers are notMNIST: beside others its number would mislead.
    outlier_auc = f"{row.outlier_auc:.2f}" if results["outlier_dataset"] == "notmnist" else DASH
    return [f"{row.error_percent:.2f}", f"{row.in_auc:.2f}", outlier_auc, str(row.train_seconds)]


def find_runs(directory) -> dict[pathlib.Path, dict]:
    """Returns the results of every complete run below a folder, by path."""
    found = {}
    for path in sorted(pathlib.Path(directory).rglob("*.json")):
        results = json.loads(path.read_text())
        if isinstance(results, dict) and results.get("complete"):
            found[path] = results
    return found


def rows_markdown(runs, protocol: str) -> str:
    """Returns the table of the paper's rows with our numbers under a protocol beside them.

    Args:
        runs: `results.json` contents, any number and order.
        protocol: Name of the protocol whose runs are shown.
    """
    header = ["Table", "Row", *(f"{c}, ours (paper)" for c in COLUMNS[:3]), "NLL", "ms per step"]
    lines = []
    for row in PAPER_ROWS:
        tables = ", ".join(str(table) for table in row.tables)
        matching = [
            run
            for run in runs
            if run["protocol"] == protocol
            and (run["dataset"], run["outlier_dataset"]) == ("mnist", "notmnist")
            and paper_row(run) is row
            and not deviations(row, run)
        ]
        if not matching:
            lines.append([tables, row.label, *["no run"] * 3, "", ""])
        for run in matching:
            lines.append(
                [
                    tables,
                    row.label,
                    f"{run['error_percent']:.2f} ({row.error_percent:.2f})",
                    f"{run['in_auc']:.3f} ({row.in_auc:.2f})",
                    f"{run['outlier_auc']:.3f} ({row.outlier_auc:.2f})",
                    f"{run['nll']:.3f}",
                    f"{run['ms_per_step']:.0f}",
                ]
            )
    return format_markdown(header, lines, num_labels=2)


def replace_between(text: str, name: str, replacement: str) -> str:
    """Returns `text` with what stands between the markers of `name` replaced.

    The markers are the HTML comments `<!-- NAME -->` and `<!-- /NAME -->`.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"Argument `text` must hold {begin} and {end} once each.")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{replacement}\n{end}{rest.split(end)[1]}"
