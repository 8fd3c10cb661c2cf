"""The flagfile of each row: its header, and the list of all of them.

Headers are made from the results, so that they are always up to date.
"""

from bayes_by_hypernet.paper import protocols
from bayes_by_hypernet.paper.tables.formats import format_markdown
from bayes_by_hypernet.paper.tables.paper import PAPER_ROWS, TITLES
from bayes_by_hypernet.paper.tables.runs import NO_RUN, lines_of, paper_groups

PROTOCOLS = ("paper", "half", "quick")  # those that have flagfiles


def flagfile_name(row, table: int, protocol: str) -> str:
    """Returns the path of the file that runs a row of a table, below `flags/`."""
    return f"{row.data.name}/table{table}_{row.tables[table].slug}_{protocol}.flags"


def flagfile_headers(runs) -> dict:
    """Returns the header of every flagfile of rows, by the file's path below `flags/`."""
    return {
        flagfile_name(row, table, protocol): flagfile_header(row, table, protocol, runs)
        for row in PAPER_ROWS
        for table in row.tables
        for protocol in _protocols_of(row)
    }


def flagfile_header(row, table: int, protocol: str, runs) -> str:
    """Returns the comment that begins a row's flagfile: the row, the paper's numbers, ours.

    Args:
        row: `PaperRow`.
        table: Number of the table that the file is for.
        protocol: Name of the protocol.
        runs: `results.json` contents, any number and order.
    """
    epochs = protocols.get(row.network, protocol).epochs
    what = f'Table {table}, "{row.tables[table].label}"'
    if protocol == "paper":
        what += f"; the paper's protocol, {epochs} epochs."
    else:
        what += f"; the {protocol} protocol, {epochs} epochs: not comparable with the paper."
    lines = [what, f"Paper: {_paper(row)}, {row.train_seconds} s."]
    for line in _lines(row, protocol, runs):
        seeds = f"seed{'s' if line.runs[1:] else ''} {line.seeds}"
        minutes = sum(run["train_seconds"] for run in line.runs) / len(line.runs) / 60
        lines.append(f"Ours, {seeds}: {_ours(line, ' +- ')},")
        machines = " and ".join(line.hardware)
        lines.append(f"{minutes:.0f} min of training on {machines} (shared machine).")
    if len(lines) == 2:
        lines.append("Ours: not run yet.")
    return "".join(f"# {line}\n" for line in lines)


def replace_header(text: str, header: str) -> str:
    """Returns a flagfile's text with the comment that begins it replaced."""
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return header + "".join(lines)


def flagfiles_markdown(runs) -> str:
    """Returns the list of all flagfiles: row, files, the paper's numbers and ours."""
    header = ["Table", "Row", "Flagfiles", "Paper"]
    header += [f"Ours, {protocol} protocol" for protocol in PROTOCOLS]
    rows = []
    for table, row in ((table, row) for table in TITLES for row in PAPER_ROWS):
        if table in row.tables:
            names = {name: flagfile_name(row, table, name) for name in _protocols_of(row)}
            links = ", ".join(f"[{protocol}]({name})" for protocol, name in names.items())
            ours = [
                ("; ".join(_ours(line) for line in _lines(row, protocol, runs)) or NO_RUN)
                if protocol in names
                else ""
                for protocol in PROTOCOLS
            ]
            rows.append([table, row.tables[table].label, links, _paper(row), *ours])
    return format_markdown(header, rows, num_labels=len(header))


def _protocols_of(row):
    """Returns the names of the protocols in which a row has a flagfile."""
    return [name for name in PROTOCOLS if name in protocols.PROTOCOLS[row.network]]


def _lines(row, protocol, runs):
    """Returns the lines of a row on the paper's data that have runs."""
    for group in paper_groups(runs, protocol, row.network):
        yield from (line for line in lines_of(group, runs) if line.row is row and line.runs)


def _paper(row):
    return (
        f"error {row.error_percent:.2f} %, {row.data.title} AUC {row.in_auc:.2f}, "
        f"outlier AUC {row.outlier_auc:.2f}"
    )


def _ours(line, sign=" ± "):
    error, in_auc, outlier_auc = map(line.spread, ("error_percent", "in_auc", "outlier_auc"))
    return (
        f"error {error.text(2, sign)} %, {line.row.data.title} AUC {in_auc.text(3, sign)}, "
        f"outlier AUC {outlier_auc.text(3, sign)}"
    )
