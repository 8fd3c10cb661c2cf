"""Every row of the paper's tables has its flagfiles, which run it and say what came out."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bayes_by_hypernet import tables

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "flags" / "mnist"
FLAGFILES = sorted(path.name for path in FOLDER.glob("table*.flags"))

# Parses flagfiles as launch/mnist.py does, without needing the data, into settings or an error.
PARSE = """
import json, sys
sys.path.insert(0, "launch")
import mnist, run_flags
from absl import flags
from absl.testing import flagsaver
from bayes_by_hypernet import configuration, data
configuration.data.resolve = lambda name, *folders: data.Resolved(name, "notmnist", None)
found = {}
for path in sys.argv[1:]:
    with flagsaver.flagsaver():
        try:
            rest = flags.FLAGS(["mnist.py", f"--flagfile=flags/mnist/{path}"])[1:]
            config, _ = configuration.resolve(
                "lenet", dataset=mnist.DATASET.value, **run_flags.settings()
            )
            found[path] = [config.flat(), rest]
        except (flags.Error, ValueError) as error:
            found[path] = str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def parsed():
    """What each flagfile asks for: its settings and what was not understood, or the error."""
    process = subprocess.run(
        [sys.executable, "-c", PARSE, *FLAGFILES],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", FLAGFILES)
def test_parses_and_is_its_row_under_its_protocol(name, parsed):
    assert not isinstance(parsed[name], str), parsed[name]
    settings, rest = parsed[name]
    assert rest == [] and settings["dataset"] == "mnist"
    row = tables.paper_row(settings)
    assert row is not None and tables.deviations(row, settings) == {}
    number = int(re.match(r"table(\d)_", name)[1])
    assert tables.flagfile_name(row, number, settings["protocol"]) == name


def test_every_row_of_every_table_has_both_files():
    assert len(FLAGFILES) == 2 * (3 + 4 + 6 + 4)
    assert sorted(tables.flagfile_headers([])) == FLAGFILES


@pytest.mark.parametrize("name", FLAGFILES)
def test_the_header_says_the_papers_numbers_and_the_committed_ones(name):
    text = (FOLDER / name).read_text()
    headers = tables.flagfile_headers(tables.find_runs(REPOSITORY / "results" / "mnist").values())
    assert tables.replace_header(text, headers[name]) == text, (
        "run: python launch/report.py --headers=flags/mnist"
    )
