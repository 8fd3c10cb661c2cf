"""The paper's tables, and ours beside them, from the `results.json` of runs."""

from bayes_by_hypernet.paper.tables.findings import (
    ATTACKS,
    attack_table,
    find_attacks,
    measures_table,
    posterior_table,
    read_posterior,
    toy_table,
)
from bayes_by_hypernet.paper.tables.flagfiles import (
    flagfile_header,
    flagfile_headers,
    flagfile_name,
    flagfiles_markdown,
    replace_header,
)
from bayes_by_hypernet.paper.tables.formats import DASH, FORMATS, format_table, update_blocks
from bayes_by_hypernet.paper.tables.pages import page_blocks, update_headers, update_pages
from bayes_by_hypernet.paper.tables.paper import PAPER_ROWS, TITLES, PaperRow, Place
from bayes_by_hypernet.paper.tables.report import (
    Table,
    make_tables,
    methods_markdown,
    report,
    rows_markdown,
)
from bayes_by_hypernet.paper.tables.runs import (
    Group,
    Line,
    Spread,
    deviations,
    find_runs,
    groups,
    in_paper_order,
    label_of,
    lines_of,
    paper_row,
    read_step_times,
    unplaced,
)
from bayes_by_hypernet.paper.tables.shift import (
    BY_FAMILY,
    find_shifts,
    shift_csv,
    shift_families_table,
    shift_table,
)
from bayes_by_hypernet.paper.tables.summary import run_summary

__all__ = [
    "ATTACKS",
    "BY_FAMILY",
    "DASH",
    "FORMATS",
    "PAPER_ROWS",
    "TITLES",
    "Group",
    "Line",
    "PaperRow",
    "Place",
    "Spread",
    "Table",
    "attack_table",
    "deviations",
    "find_attacks",
    "find_runs",
    "find_shifts",
    "flagfile_header",
    "flagfile_headers",
    "flagfile_name",
    "flagfiles_markdown",
    "format_table",
    "groups",
    "in_paper_order",
    "label_of",
    "lines_of",
    "make_tables",
    "measures_table",
    "page_blocks",
    "paper_row",
    "posterior_table",
    "read_posterior",
    "read_step_times",
    "replace_header",
    "report",
    "methods_markdown",
    "rows_markdown",
    "run_summary",
    "shift_csv",
    "shift_families_table",
    "shift_table",
    "toy_table",
    "unplaced",
    "update_blocks",
    "update_headers",
    "update_pages",
]
