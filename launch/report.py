"""Prints the paper's tables with our numbers beside them, and keeps the pages that show them.

python launch/report.py --runs=results/mnist,results/cifar5
python launch/report.py --table=3 --protocol=quick --format=latex
python launch/report.py --update=README.md,results/README.md,flags/README.md --headers=flags

Runs are found by their configuration, so any folder will do. A number is of one protocol and one
data set; where a row was run with several seeds it is their mean and standard deviation.
"""

import pathlib
import sys

import quiet_tensorflow  # noqa: F401
from absl import app, flags

from bayes_by_hypernet import tables
from bayes_by_hypernet.protocols import PROTOCOLS

RUNS = flags.DEFINE_list(
    "runs", ["results/mnist", "results/cifar5"], "Folders below which results.json files lie."
)
TABLE = flags.DEFINE_list("table", list(map(str, tables.TITLES)), "Numbers of the tables to print.")
PROTOCOL = flags.DEFINE_enum(
    "protocol", None, list(PROTOCOLS["lenet"]), "Runs to print; default: each protocol found."
)
FORMAT = flags.DEFINE_enum("format", "text", tables.FORMATS, "Of what is printed.")
BENCHMARKS = flags.DEFINE_string(
    "benchmarks",
    "benchmarks/train_step.json",
    "What benchmarks/train_step.py wrote on an idle machine; without it its columns are empty.",
)
UPDATE = flags.DEFINE_list(
    "update", [], "Markdown pages whose marked tables are made anew, in place of printing."
)
HEADERS = flags.DEFINE_string(
    "headers",
    None,
    "Folder of the folders of flagfiles whose headers are made anew, in place of printing.",
)
flags.register_validator(
    "table", lambda numbers: {*numbers} <= {*map(str, tables.TITLES)}, "Tables are 1 to 5."
)


def rewrite(path, text):
    """Writes a file whose text has changed, and says so."""
    if text != path.read_text():
        path.write_text(text)
        print(f"Updated {path}")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    found = {}
    for folder in RUNS.value:
        found |= tables.find_runs(folder)
    if not found:
        sys.exit(f"No complete results.json below --runs={','.join(RUNS.value)}.")
    runs, step_times = found.values(), tables.read_step_times(BENCHMARKS.value)
    try:
        for path in map(pathlib.Path, UPDATE.value):
            blocks = tables.page_blocks(runs, step_times)
            rewrite(path, tables.update_blocks(path.read_text(), blocks))
        if HEADERS.value:
            for name, header in tables.flagfile_headers(runs).items():
                path = pathlib.Path(HEADERS.value) / name
                rewrite(path, tables.replace_header(path.read_text(), header))
    except (OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if not UPDATE.value and not HEADERS.value:
        shown = [int(number) for number in TABLE.value]
        print(tables.report(runs, FORMAT.value, shown, PROTOCOL.value, step_times))
    for path, reason in tables.unplaced(found).items():
        print(f"Not in the tables: {path}: {reason}.", file=sys.stderr)


if __name__ == "__main__":
    app.run(main)
