"""Every row of the paper's tables has its flagfiles, which run it and say what came out."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bayes_by_hypernet.paper import tables

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "flags"
FLAGFILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/table*.flags"))

# Parses flagfiles as the launchers do, without needing the data, into settings or an error.
PARSE = """
import json, sys
sys.path.insert(0, "launch")
import run_flags
from absl import flags
from absl.testing import flagsaver
from bayes_by_hypernet import data
from bayes_by_hypernet.paper import configuration
configuration.data.resolve = lambda name, *others: data.Resolved(name, "notmnist", None)
found = {}
for path in sys.argv[1:]:
    with flagsaver.flagsaver():
        try:
            rest = flags.FLAGS(["launcher.py", f"--flagfile=flags/{path}"])[1:]
            network = {"mnist": "lenet", "cifar5": "resnet32"}[path.split("/")[0]]
            config, _ = configuration.resolve(network, **run_flags.settings())
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
    assert rest == [] and settings["dataset"] == Path(name).parent.name
    row = tables.paper_row(settings)
    assert row is not None and tables.deviations(row, settings) == {}
    number = int(re.match(r"table(\d)_", Path(name).name)[1])
    assert tables.flagfile_name(row, number, settings["protocol"]) == name


def test_every_row_of_every_table_has_its_files():
    assert len(FLAGFILES) == 2 * (3 + 4 + 6 + 6 + 4) + 6  # Table 4 has `half` too
    assert sorted(tables.flagfile_headers([])) == FLAGFILES


@pytest.mark.parametrize("name", FLAGFILES)
def test_the_header_says_the_papers_numbers_and_the_committed_ones(name):
    text = (FOLDER / name).read_text()
    headers = tables.flagfile_headers(tables.find_runs(REPOSITORY / "results").values())
    assert tables.replace_header(text, headers[name]) == text, (
        "run: python launch/report.py --headers=flags"
    )
