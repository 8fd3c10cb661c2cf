"""The paper's rows beside ours; README's table is what the committed results say."""

import json
from pathlib import Path

import pytest

from bayes_by_hypernet import configuration, data, protocols, tables

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "results" / "mnist"


@pytest.fixture
def results(monkeypatch):
    """Results of a run of Table 3's BbH in the quick protocol, with made-up measures."""
    resolved = data.Resolved("mnist", "notmnist", None)
    monkeypatch.setattr(configuration.data, "resolve", lambda *args, **kwargs: resolved)
    config, _ = configuration.resolve("lenet", method="bbh", protocol="quick")
    measures = {"error_percent": 1.5, "in_auc": 0.95, "outlier_auc": 0.45, "nll": 0.06}
    measures |= {"brier": 0.02, "ece": 0.01, "auroc": 0.98}
    measures |= {"mutual_information_in": 0.02, "mutual_information_out": 0.4}
    others = {"train_seconds": 1234.5, "ms_per_step": 300.4, "fallback_reason": None}
    flat = {**config.flat(), **measures, **others, "complete": True}
    return json.loads(json.dumps(flat))


class TestRows:
    def test_every_row_is_a_valid_configuration_and_found_by_it(self, results):
        assert len(tables.PAPER_ROWS) == 7
        for row in tables.PAPER_ROWS:
            settings = {**dict.fromkeys(configuration.METHOD_OPTIONS), **row.settings()}
            run = {**results, "method": row.method, **json.loads(json.dumps(settings))}
            run["learning_rate"] = 1e-3 if row.method == "map" else 1e-4
            assert tables.paper_row(run) is row
            assert tables.deviations(row, run) == {}

    def test_settings_that_are_not_the_papers_are_named(self, results):
        run = {**results, "hidden_units": [4, 8], "temperature": 0.1}
        row = tables.paper_row(run)
        assert tables.deviations(row, run) == {"hidden_units": [4, 8], "temperature": 0.1}
        assert "hidden_units=[4, 8], temperature=0.1" in tables.run_summary(run)

    def test_a_run_without_a_row_says_so(self, results):
        assert tables.paper_row({**results, "noise_dim": 3}) is None
        assert "No row of the paper" in tables.run_summary({**results, "noise_dim": 3})


class TestSummary:
    def test_shows_ours_beside_the_papers_with_their_labels(self, results):
        ours, paper = tables.run_summary(results).splitlines()[2:4]
        assert "mnist, outliers notmnist, quick protocol" in ours
        assert ours.split()[-4:] == ["1.50", "0.950", "0.450", "1234"]
        assert "Table 2 and 3" in paper
        assert paper.split()[-4:] == ["0.56", "0.97", "0.48", "11504"]
        assert "not results to compare" in tables.run_summary(results)

    def test_other_outliers_leave_the_papers_column_empty(self, results):
        run = {**results, "outlier_dataset": "embedded_letters", "fallback_reason": "No letters."}
        summary = tables.run_summary(run)
        assert summary.splitlines()[3].split()[-4:] == ["0.56", "0.97", tables.DASH, "11504"]
        assert summary.splitlines()[-2] == "No letters."


class TestMarkdown:
    def test_only_runs_of_the_row_the_protocol_and_real_data_count(self, results):
        others = [
            {**results, "protocol": "demo"},
            {**results, "dataset": "embedded"},
            {**results, "hidden_units": [4, 8]},
            {**results, "epochs": 1},
        ]
        assert tables.rows_markdown(others, "quick").count("no run") == 3 * 7
        table = tables.rows_markdown([*others, results], "quick")
        assert "| 1.50 (0.56) | 0.950 (0.97) | 0.450 (0.48) | 0.060 | 300 |" in table
        assert table.count("no run") == 3 * 6

    def test_replaces_between_markers_only(self):
        text = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n"
        assert tables.replace_between(text, "t", "new") == "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"
        with pytest.raises(ValueError, match="<!-- u -->"):
            tables.replace_between(text, "u", "new")

    def test_plain_tables_are_aligned(self):
        lines = tables.format_table(["", "x"], [["long label", 1], ["b", 22]]).splitlines()
        assert lines == ["             x", "--------------", "long label   1", "b           22"]


class TestCommitted:
    def test_results_are_complete_and_of_their_protocol(self):
        runs = tables.find_runs(RESULTS)
        assert runs
        for path, run in runs.items():
            assert path.relative_to(RESULTS).parts[0] == run["protocol"]
            plan = protocols.get(run["network"], run["protocol"])
            assert run["epochs"] == plan.epochs

    def test_readme_shows_the_committed_numbers(self):
        text = (REPOSITORY / "README.md").read_text()
        table = tables.rows_markdown(tables.find_runs(RESULTS).values(), "quick")
        assert tables.replace_between(text, "mnist-quick-table", table) == text, (
            "run: python launch/report.py --runs=results/mnist --update=README.md"
        )
