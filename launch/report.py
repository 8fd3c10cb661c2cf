"""Makes one page of finished runs: the paper's tables with our numbers beside them, and figures.

python launch/report.py --runs=runs/mnist
python launch/report.py --table=3 --protocol=quick --format=latex
python launch/report.py --update=README.md,results/README.md,flags/README.md --headers=flags

The page is one file that needs no network; each of its figures lies beside it as PNG and PDF. Other
formats print the tables. Runs are found by their configuration, so any folder will do. A number is
of one protocol and one data set; where a row was run with several seeds it is their mean and
standard deviation.
"""

import pathlib
import sys

import console
from absl import app, flags

from bayes_by_hypernet.paper import tables, toy_regression
from bayes_by_hypernet.paper.protocols import PROTOCOLS
from bayes_by_hypernet.paper.report import write_report

RUNS = flags.DEFINE_list(
    "runs",
    ["results/mnist", "results/cifar5", "results/toy"],
    "Folders below which run directories lie, and launch/toy.py's.",
)
OUTPUT = flags.DEFINE_string("output", "runs/report", "Folder of the page and its figures.")
TABLE = flags.DEFINE_list("table", list(map(str, tables.TITLES)), "Numbers of the tables to show.")
PROTOCOL = flags.DEFINE_enum(
    "protocol", None, list(PROTOCOLS["lenet"]), "Runs to show; default: each protocol found."
)
FORMAT = flags.DEFINE_enum(
    "format", "html", ["html", *tables.FORMATS], "html writes the page, others print the tables."
)
BENCHMARKS = flags.DEFINE_list(
    "benchmarks",
    ["benchmarks/train_step.json", "benchmarks/train_step_resnet32.json"],
    "What benchmarks/train_step.py wrote on an idle machine; without it its columns are empty.",
)
UPDATE = flags.DEFINE_list(
    "update", [], "Markdown pages whose marked tables are made anew, in place of the page."
)
HEADERS = flags.DEFINE_string(
    "headers",
    None,
    "Folder of the folders of flagfiles whose headers are made anew, in place of the page.",
)
flags.register_validator(
    "table", lambda numbers: {*numbers} <= {*map(str, tables.TITLES)}, "Tables are 1 to 5."
)


def find(name):
    """Returns the paths of all files of a name below --runs, in order."""
    return [path for folder in RUNS.value for path in sorted(pathlib.Path(folder).rglob(name))]


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    with console.ending("The same command makes the report again."):
        report()


def report():
    """Makes the page, or prints or updates tables."""
    found = {}
    for folder in RUNS.value:
        found |= tables.find_runs(folder)
    if not found:
        sys.exit(f"No complete results.json below --runs={','.join(RUNS.value)}.")
    step_times = [time for path in BENCHMARKS.value for time in tables.read_step_times(path)]
    shown = {"tables": [*map(int, TABLE.value)], "protocol": PROTOCOL.value}
    shown["step_times"] = step_times
    if UPDATE.value or HEADERS.value:
        updated = tables.update_pages(UPDATE.value, found, step_times)
        if HEADERS.value:
            updated += tables.update_headers(HEADERS.value, found)
        for path in updated:
            print(f"Updated {path}")
    elif FORMAT.value == "html":
        toys = [path.parent for path in find(toy_regression.NUMBERS_FILE)]
        print(f"Report: {write_report(found, OUTPUT.value, toys, **shown)}")
    else:
        print(tables.report(found.values(), FORMAT.value, **shown))
    for path, reason in tables.unplaced(found).items():
        print(f"Not in the tables: {path}: {reason}.", file=sys.stderr)


if __name__ == "__main__":
    app.run(main)
