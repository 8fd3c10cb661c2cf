"""Prints the paper's rows with our numbers beside them, and keeps README's table.

python launch/report.py --runs=results/mnist
python launch/report.py --runs=results/mnist --update=README.md
"""

import pathlib
import sys

import quiet_tensorflow  # noqa: F401
from absl import app, flags

from bayes_by_hypernet import tables

RUNS = flags.DEFINE_string("runs", "results/mnist", "Folder with results.json files.")
PROTOCOL = flags.DEFINE_enum("protocol", "quick", ["paper", "quick"], "Runs to show.")
UPDATE = flags.DEFINE_string("update", None, "Markdown file whose marked table is replaced.")
MARKER = "mnist-quick-table"


def main(argv):
    del argv
    runs = tables.find_runs(RUNS.value)
    if not runs:
        sys.exit(f"No complete results.json below --runs={RUNS.value}.")
    table = tables.rows_markdown(runs.values(), PROTOCOL.value)
    print(table)
    if UPDATE.value:
        path = pathlib.Path(UPDATE.value)
        path.write_text(tables.replace_between(path.read_text(), MARKER, table))


if __name__ == "__main__":
    app.run(main)
