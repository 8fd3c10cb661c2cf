"""The tables with our numbers beside the paper's, each for one protocol and one data set."""

import csv
import io
from typing import NamedTuple

from bayes_by_hypernet.paper import protocols
from bayes_by_hypernet.paper.tables.formats import DASH, PAGES, format_markdown
from bayes_by_hypernet.paper.tables.paper import DATA, TITLES
from bayes_by_hypernet.paper.tables.runs import NO_RUN, Group, groups, lines_of, paper_groups

# Name in `results.json` to decimals; the paper gives all but the NLL.
_DECIMALS = {"error_percent": 2, "in_auc": 3, "outlier_auc": 3, "train_seconds": 0, "nll": 3}
_STEP_COLUMNS = ("ms per step, idle machine", "ratio to MAP")


class Table(NamedTuple):
    """One of the paper's tables with our numbers of one protocol and data set beside the paper's.

    Attributes:
        number: The paper's.
        group: `Group` of the runs.
        lines: List of `Line`s, in the paper's order.
    """

    number: int
    group: Group
    lines: list

    @property
    def title(self):
        return f"Table {self.number}. {TITLES[self.number]}: {self.group.protocol} protocol"

    @property
    def description(self):
        """Sentences that say what the numbers are."""
        group = self.group
        epochs = protocols.get(group.network, group.protocol).epochs
        paper = protocols.get(group.network, "paper").epochs
        warning = (
            "" if group.protocol == "paper" else f": not to be compared with the paper's {paper}"
        )
        data = f"{group.dataset}, outliers {group.outlier_dataset}"
        if group.data_fingerprint:
            data += f" (fingerprint {group.data_fingerprint})"
        machines = sorted({machine for line in self.lines for machine in line.hardware})
        trained = f" Trained on {'; '.join(machines)} (shared machine)." if machines else ""
        spread = " Mean ± standard deviation." if any(line.runs[1:] for line in self.lines) else ""
        return f"{epochs} epochs{warning}. Data: {data}.{trained}{spread}"

    @property
    def header(self):
        data = DATA[self.group.network]
        in_auc = f"{data.title} AUC" if self.group.dataset == data.name else "in-AUC"
        measures = [
            c for name in ("Error [%]", in_auc, "Outlier AUC") for c in (f"{name}, ours", "paper")
        ]
        times = ["Training [s], shared machine", "paper, authors' GPU", *_STEP_COLUMNS]
        return ["Row", *measures, "NLL", *times, "Runs (seeds)"]

    @property
    def rows(self):
        """The cells of each line, strings; the first is a label."""
        return [_cells(line, self.number) for line in self.lines]


def make_tables(runs, tables=tuple(TITLES), protocol=None, step_times=()) -> list[Table]:
    """Returns a table for each number, protocol and data set: none mixes them.

    Args:
        runs: `results.json` contents, any number and order.
        tables: Their numbers.
        protocol: Name of the protocol whose runs are shown; None: of every one that was run.
        step_times: See `read_step_times`.
    """
    found = [group for group in groups(runs) if protocol in (None, group.protocol)]
    for network in DATA:  # all rows then say that there is no run
        if network not in {group.network for group in found}:
            found.append(Group.of_paper(protocol or "paper", network))
    return [
        Table(number, group, lines)
        for number in tables
        for group in found
        if (lines := lines_of(group, runs, step_times, number))
    ]


def report(runs, format="text", **choice) -> str:
    """Returns the tables that `make_tables` makes of `runs` and `choice`, in one of `FORMATS`."""
    tables = make_tables(runs, **choice)
    if format == "csv":
        return _csv(tables)
    return "\n\n".join(
        PAGES[format](table.title, table.description, table.header, table.rows) for table in tables
    )


def rows_markdown(runs, protocol: str, network: str, step_times=()) -> str:
    """Returns every row of a network on the paper's data as one table in Markdown.

    Args:
        runs, protocol, step_times: As for `report`.
        network: Name of the network.
    """
    shown = paper_groups(runs, protocol, network) or [Group.of_paper(protocol, network)]
    header = ["Table", "Row"]
    in_auc = f"{DATA[network].title} AUC"
    header += [f"{name}, ours (paper)" for name in ("Error [%]", in_auc, "Outlier AUC")]
    header += ["NLL", "ms per step (ratio to MAP)", "Runs (seeds)"]
    by_row = zip(*(lines_of(group, runs, step_times) for group in shown), strict=True)
    rows = []
    for lines in by_row:
        for line in [line for line in lines if line.runs] or lines[:1]:
            tables = ", ".join(str(table) for table in line.row.tables)
            rows.append([tables, line.row.label, *_compact_cells(line)])
    return format_markdown(header, rows, num_labels=2)


def methods_markdown(runs, network: str, table: int, step_times=()) -> str:
    """Returns a table in Markdown in which every row shows the longest protocol that it was run in.

    Args:
        runs, step_times: As for `report`.
        network: Name of the network, on the paper's data.
        table: Number of the paper's table.
    """
    lines = {}
    of_network = [name for name in protocols.NAMES if name in protocols.PROTOCOLS[network]]
    for protocol in reversed(of_network):  # the longest comes last
        for group in paper_groups(runs, protocol, network) or [Group.of_paper(protocol, network)]:
            for line in lines_of(group, runs, step_times, table):
                if line.runs or line.row.label not in lines:
                    lines[line.row.label] = line
    header = ["Method", "Epochs", "Error [%], ours (paper)"]
    header += [f"{name}, ours (paper)" for name in (f"{DATA[network].title} AUC", "Outlier AUC")]
    header += ["NLL", "ms per step (ratio to MAP)", "Runs (seeds)"]
    rows = [
        [
            line.row.tables[table].label,
            str(protocols.get(network, line.group.protocol).epochs) if line.runs else "",
            *_compact_cells(line),
        ]
        for line in lines.values()
    ]
    return format_markdown(header, rows)


def _compact_cells(line):
    step = f"{line.step_ms:.1f}" if line.step_ms else ""
    if line.step_ratio:
        step += f" ({line.step_ratio:.1f})"
    if not line.runs:
        return [*[NO_RUN] * 3, "", step, ""]
    row = line.row
    return [
        f"{_ours(line, 'error_percent')} ({row.error_percent:.2f})",
        f"{_ours(line, 'in_auc')} ({row.in_auc:.2f})",
        f"{_ours(line, 'outlier_auc')} ({row.outlier_auc:.2f})",
        _ours(line, "nll"),
        step,
        _seeds(line),
    ]


def _cells(line, table):
    row = line.row
    # Beside other outliers than the paper's its number would mislead.
    same = line.group.outlier_dataset == row.data.outlier_name
    outlier_auc = f"{row.outlier_auc:.2f}" if same else DASH
    return [
        row.tables[table].label,
        _ours(line, "error_percent") or NO_RUN,
        f"{row.error_percent:.2f}",
        _ours(line, "in_auc"),
        f"{row.in_auc:.2f}",
        _ours(line, "outlier_auc"),
        outlier_auc,
        _ours(line, "nll"),
        _seconds(line),
        str(row.train_seconds),
        f"{line.step_ms:.1f}" if line.step_ms else "",
        f"{line.step_ratio:.1f}" if line.step_ratio else "",
        _seeds(line),
    ]


def _ours(line, name):
    return line.spread(name).text(_DECIMALS[name]) if line.runs else ""


def _seconds(line):
    """Returns the training time; of each machine by itself where the runs were on several."""
    if len(line.hardware) < 2:
        return _ours(line, "train_seconds")
    alone = [
        line._replace(runs=[run for run in line.runs if run["hardware"] == machine])
        for machine in line.hardware
    ]
    return "; ".join(f"{_ours(part, 'train_seconds')} ({part.hardware[0]})" for part in alone)


def _seeds(line):
    return f"{len(line.runs)} ({line.seeds})" if line.runs else ""


def _csv(tables):
    """Returns all tables as one CSV: numbers unrounded, one a cell, empty where there is none."""
    records = [_record(table.number, line) for table in tables for line in table.lines]
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().rstrip("\n")


def _record(table, line):
    record = {"table": table, "row": line.row.tables[table].label, **line.group._asdict()}
    record |= {"num_runs": len(line.runs), "seeds": line.seeds or NO_RUN}
    for name in _DECIMALS:
        alike = name != "train_seconds" or len(line.hardware) == 1  # times of one machine only
        spread = line.spread(name) if line.runs and alike else ("", "")
        record |= dict(zip((name, f"{name}_stddev"), spread, strict=True))
        if name != "nll":
            record[f"{name}_paper"] = getattr(line.row, name)
    trained_on = [f"{machine} (shared machine)" for machine in line.hardware]
    record["trained_on"] = "; ".join(trained_on)
    return {**record, "step_ms": line.step_ms, "step_ratio_to_map": line.step_ratio}
