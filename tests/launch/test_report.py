"""The report's launcher as a person starts it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

from bayes_by_hypernet.paper import tables

REPOSITORY = Path(__file__).resolve().parents[2]
LAUNCHER = REPOSITORY / "launch" / "report.py"
RESULTS = REPOSITORY / "results" / "mnist"


def _committed():
    folders = ("mnist", "cifar5")
    return [run for name in folders for run in tables.find_runs(RESULTS.parent / name).values()]


def _report(*flags):
    return subprocess.run(
        [sys.executable, str(LAUNCHER), *flags], capture_output=True, text=True, cwd=REPOSITORY
    )


def test_prints_the_tables_asked_for():
    process = _report(f"--runs={RESULTS}", "--table=1,3", "--protocol=quick", "--format=csv")
    assert process.returncode == 0, process.stderr
    records = list(csv.DictReader(process.stdout.splitlines()))
    assert [record["table"] for record in records] == 3 * ["1"] + 6 * ["3"]
    committed = [r for r in tables.find_runs(RESULTS).values() if r["protocol"] == "quick"]
    [ours] = {run["error_percent"] for run in committed if run["method"] == "map"}
    [record] = [record for record in records if record["row"] == "MAP"]
    assert float(record["error_percent"]) == ours


def test_writes_the_page_of_the_committed_runs(tmp_path):
    process = _report(f"--output={tmp_path / 'page'}")
    assert process.returncode == 0, process.stderr
    path = tmp_path / "page" / "index.html"
    assert process.stdout == f"Report: {path}\n"
    text = path.read_text()
    for number in tables.TITLES:
        assert (f"Table {number}." in text) == any(
            number in tables.paper_row(run).tables for run in _committed()
        )
    assert "Toy regression" in text and 'src="data:image/png;base64,' in text


def test_updates_pages_between_their_markers_and_headers_of_flagfiles(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- mnist-quick-table -->\n<!-- /mnist-quick-table -->\nafter\n")
    runs = tables.find_runs(RESULTS).values()
    headers = tables.flagfile_headers(runs)
    for name in headers:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# old\n--method=map\n")
    step_times = REPOSITORY / "benchmarks" / "train_step.json"
    flags = [f"--runs={RESULTS}", f"--update={page}", f"--headers={tmp_path}"]
    process = _report(*flags, f"--benchmarks={step_times}")
    assert process.returncode == 0, process.stderr
    table = tables.rows_markdown(runs, "quick", "lenet", tables.read_step_times(step_times))
    marked = f"<!-- mnist-quick-table -->\n{table}\n<!-- /mnist-quick-table -->"
    assert page.read_text() == f"before\n{marked}\nafter\n"
    for name, header in headers.items():
        assert (tmp_path / name).read_text() == f"{header}--method=map\n"
    assert f"Updated {page}" in process.stdout


def test_a_folder_without_complete_runs_is_an_error(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"complete": False}))
    process = _report(f"--runs={tmp_path}")
    assert process.returncode != 0
    assert f"No complete results.json below --runs={tmp_path}" in process.stderr


def test_runs_that_stand_in_no_table_are_named(tmp_path):
    run = next(iter(tables.find_runs(RESULTS).values()))
    path = tmp_path / "a" / "results.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**run, "batch_size": 7}))
    process = _report(f"--runs={tmp_path}", "--table=3", "--format=text")
    assert process.returncode == 0 and process.stdout.count("no run") == 6
    assert str(path) in process.stderr and "batch_size=7" in process.stderr


def test_a_table_that_is_not_there_is_an_error():
    process = _report("--table=6")
    assert process.returncode != 0 and "Tables are 1 to 5" in process.stderr
