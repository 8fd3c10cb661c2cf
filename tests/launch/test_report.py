"""The report's launcher as a person starts it."""

import json
import subprocess
import sys
from pathlib import Path

from bayes_by_hypernet import tables

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCHER = REPOSITORY / "launch" / "report.py"
RESULTS = REPOSITORY / "results" / "mnist"


def _report(*flags):
    return subprocess.run(
        [sys.executable, str(LAUNCHER), *flags], capture_output=True, text=True, cwd=REPOSITORY
    )


def test_prints_the_table_and_updates_a_file_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- mnist-quick-table -->\n<!-- /mnist-quick-table -->\nafter\n")
    process = _report(f"--runs={RESULTS}", f"--update={page}")
    assert process.returncode == 0, process.stderr
    table = tables.rows_markdown(tables.find_runs(RESULTS).values(), "quick")
    assert process.stdout.strip() == table
    before, rest = page.read_text().split("<!-- mnist-quick-table -->")
    assert before == "before\n" and rest.strip().startswith(table) and rest.endswith("after\n")


def test_a_folder_without_complete_runs_is_an_error(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"complete": False}))
    process = _report(f"--runs={tmp_path}")
    assert process.returncode != 0
    assert f"No complete results.json below --runs={tmp_path}" in process.stderr
