"""What a launcher prints at the end of a run: our row beside the paper's."""

from bayes_by_hypernet.paper.tables.formats import DASH, format_table
from bayes_by_hypernet.paper.tables.runs import deviations, paper_row


def run_summary(results: dict) -> str:
    """Returns our row beside the paper's, and sentences that explain the numbers."""
    row = paper_row(results)
    where = f"{results['dataset']}, outliers {results['outlier_dataset']}"
    header = ["", "Error [%]", "in-AUC", "Outlier AUC", "Runtime [s]"]
    lines = [[f"ours ({where}, {results['protocol']} protocol)", *_our_cells(results)]]
    notes = []
    if row:
        tables = " and ".join(str(table) for table in row.tables)
        lines.append(
            [
                f"paper, Table{'s' * (len(row.tables) > 1)} {tables}, {row.label!r} "
                f"({row.data.title})",
                *_paper_cells(row, results),
            ]
        )
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
            f"Trained by the {results['protocol']} protocol, epochs={results['epochs']}: do not "
            "compare these results with the paper's. --protocol=paper trains as long as the paper."
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
    # Beside other outliers than the paper's its number would mislead.
    same = results["outlier_dataset"] == row.data.outlier_name
    outlier_auc = f"{row.outlier_auc:.2f}" if same else DASH
    return [f"{row.error_percent:.2f}", f"{row.in_auc:.2f}", outlier_auc, str(row.train_seconds)]
