"""The paper's rows beside ours; the pages and flagfiles show what the committed results say."""

import csv
import json
import statistics
from pathlib import Path

import pytest

from bayes_by_hypernet import data
from bayes_by_hypernet.paper import configuration, protocols, tables

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = [REPOSITORY / "results" / name for name in ("mnist", "cifar5")]
UPDATE = (
    "run: python launch/report.py --update=README.md,results/README.md,flags/README.md "
    "--headers=flags"
)


@pytest.fixture
def make_run(monkeypatch):
    """Function that returns the results of a run on the paper's data, with made-up measures."""

    def resolve(name, data_dir, notmnist_dir, real):
        return data.Resolved(real, {"mnist": "notmnist", "cifar5": "cifar5_others"}[real], None)

    monkeypatch.setattr(configuration.data, "resolve", resolve)

    def make(
        method="bbh", protocol="quick", seed=42, error_percent=1.5, network="lenet", **options
    ):
        config, _ = configuration.resolve(
            network, method=method, protocol=protocol, seed=seed, **options
        )
        measures = {"error_percent": error_percent, "in_auc": 0.95, "outlier_auc": 0.45}
        measures |= {"nll": 0.06, "brier": 0.02, "ece": 0.01, "auroc": 0.98}
        measures |= {"mutual_information_in": 0.02, "mutual_information_out": 0.4}
        others = {"train_seconds": 1234.5, "ms_per_step": 300.4, "fallback_reason": None}
        others |= {"hardware": "a CPU", "data_fingerprint": "1a2b"}
        return json.loads(json.dumps({**config.flat(), **measures, **others, "complete": True}))

    return make


@pytest.fixture
def results(make_run):
    """Results of Table 3's BbH under the quick protocol."""
    return make_run()


def _committed():
    return {path: run for folder in RESULTS for path, run in tables.find_runs(folder).items()}


def _line(runs, label, step_times=(), protocol="quick"):
    group = tables.Group(protocol, data_fingerprint="1a2b")
    [line] = [li for li in tables.lines_of(group, runs, step_times) if li.row.label == label]
    return line


class TestRows:
    def test_tables_hold_the_papers_rows_in_its_order(self):
        labels = {
            number: [row.tables[number].label for row in tables.PAPER_ROWS if number in row.tables]
            for number in tables.TITLES
        }
        assert labels == {
            1: ["Single G", "Sliced layer-wise G_l", "Layer-wise G_l"],
            2: [
                "Shared noise, d = 1",
                "Independent noise, d = 1",
                "Shared noise, d = 8",
                "Independent noise, d = 8",
            ],
            3: ["MAP", "Ensemble", "BbB", "Dropout", "MNF", "BbH (ours)"],
            4: ["MAP", "Ensemble", "BbB", "Dropout", "MNF", "BbH (ours)"],
            5: [
                "Analytical",
                "Adversarial Variational Bayes",
                "Kernel with independent prior",
                "Kernel with full prior",
            ],
        }

    @pytest.mark.parametrize("protocol", ["paper", "quick"])
    @pytest.mark.parametrize("row", tables.PAPER_ROWS, ids=lambda row: row.label)
    def test_every_row_is_a_valid_configuration_and_found_by_it(self, make_run, row, protocol):
        run = make_run(row.method, protocol, network=row.network, **row.options)
        assert tables.paper_row(run) is row
        assert tables.deviations(row, run) == {}

    def test_settings_that_are_not_the_papers_are_named(self, results):
        changed = {"hidden_units": [4, 8], "temperature": 0.1, "annealing_epochs": 5}
        run = {**results, **changed}
        row = tables.paper_row(run)
        assert tables.deviations(row, run) == changed
        assert "temperature=0.1" in tables.run_summary(run)
        assert "hidden_units=[4, 8]" in tables.run_summary(run)

    def test_a_run_without_a_row_says_so(self, results):
        assert tables.paper_row({**results, "noise_dim": 3}) is None
        assert "No row of the paper" in tables.run_summary({**results, "noise_dim": 3})

    def test_settings_that_an_older_run_does_not_name_count_as_none(self, results):
        older = {name: value for name, value in results.items() if value is not None}
        assert tables.deviations(tables.paper_row(older), older) == {}

    def test_an_adversarial_run_looks_at_the_protocols_number_of_weights(self, make_run):
        run = make_run("bbb", kl_estimator="adversarial")
        row = tables.paper_row(run)
        assert row.label == "BbB, adversarial KL" and run["adversarial_weights"] == 65_536
        assert tables.deviations(row, run) == {}
        run["adversarial_weights"] = 1000
        assert tables.deviations(row, run) == {"adversarial_weights": 1000}
        assert make_run("bbb", "paper", kl_estimator="adversarial")["adversarial_weights"] is None

    def test_another_forward_pass_is_a_deviation(self, make_run):
        run = make_run("bbb", forward="reparameterization")
        assert tables.deviations(tables.paper_row(run), run) == {"forward": "reparameterization"}


class TestSummary:
    def test_shows_ours_beside_the_papers_with_their_labels(self, results):
        ours, paper = tables.run_summary(results).splitlines()[2:4]
        assert "mnist, outliers notmnist, quick protocol" in ours
        assert ours.split()[-4:] == ["1.50", "0.950", "0.450", "1234"]
        assert "Tables 2 and 3" in paper
        assert paper.split()[-4:] == ["0.56", "0.97", "0.48", "11504"]
        assert "do not compare these results" in tables.run_summary(results)

    def test_other_outliers_leave_the_papers_column_empty(self, results):
        run = {**results, "outlier_dataset": "embedded_letters", "fallback_reason": "No letters."}
        summary = tables.run_summary(run)
        assert summary.splitlines()[3].split()[-4:] == ["0.56", "0.97", tables.DASH, "11504"]
        assert summary.splitlines()[-2] == "No letters."


class TestLines:
    def test_several_seeds_give_mean_and_standard_deviation(self, make_run):
        errors = {44: 1.7, 42: 1.2, 43: 1.3}
        runs = [make_run(seed=seed, error_percent=error) for seed, error in errors.items()]
        line = _line([*runs, dict(runs[0])], "BbH, independent noise, d = 1")  # a copy of one
        mean, stddev = line.spread("error_percent")
        assert mean == pytest.approx(1.4)
        assert stddev == pytest.approx(0.264575)  # sqrt((0.2^2 + 0.1^2 + 0.3^2) / 2)
        assert line.seeds == "42, 43, 44"
        assert line.spread("error_percent").text(2) == "1.40 ± 0.26"

    def test_one_run_has_no_spread(self, results):
        assert _line([results], "BbH, independent noise, d = 1").spread("nll") == (0.06, None)

    def test_never_mix_protocols_or_data(self, make_run):
        runs = [make_run(), make_run(protocol="paper", seed=43), make_run(seed=44)]
        runs[2]["dataset"] = "embedded"
        runs.append({**runs[0], "seed": 45, "data_fingerprint": "3c4d"})
        groups = tables.groups(runs)
        assert [(g.protocol, g.dataset, g.data_fingerprint) for g in groups] == [
            ("paper", "mnist", "1a2b"),
            ("quick", "mnist", "1a2b"),
            ("quick", "mnist", "3c4d"),
            ("quick", "embedded", "1a2b"),
        ]
        seeds = [[li.seeds for li in tables.lines_of(g, runs, table=3) if li.runs] for g in groups]
        assert seeds == [["43"], ["42"], ["45"], ["44"]]

    def test_only_runs_with_the_rows_settings_count(self, results):
        others = {"hidden_units": [4, 8], "epochs": 1, "noise_dim": 3, "max_train_examples": 500}
        runs = {name: {**results, name: value} for name, value in others.items()}
        assert tables.groups(runs.values()) == []
        reasons = tables.unplaced({**runs, "as it should be": results})
        assert list(reasons) == list(others)
        assert "epochs=1" in reasons["epochs"] and "no row" in reasons["noise_dim"]

    def test_step_times_are_those_of_the_configuration_and_relative_to_map(self, make_run):
        times = {"map": 20.0, "bbh": 390.0, "dropout": 30.0}
        times = [{**make_run(method), "ms_per_step": ms} for method, ms in times.items()]
        times.insert(0, {**make_run(hidden_units=(4, 8)), "ms_per_step": 1.0})
        line = _line([], "BbH, independent noise, d = 1", times, protocol="paper")
        assert (line.step_ms, line.step_ratio) == (390.0, 19.5)
        assert _line([], "MNF", times)[-2:] == (None, None)
        assert _line([], "MAP", times)[-2:] == (20.0, 1.0)

    def test_step_times_are_read_where_there_are_any(self, tmp_path):
        assert tables.read_step_times(tmp_path / "none.json") == []
        (tmp_path / "some.json").write_text('{"steps": [{"method": "map"}]}')
        assert tables.read_step_times(tmp_path / "some.json") == [{"method": "map"}]


class TestReport:
    def test_text_shows_ours_the_papers_and_what_they_are(self, results):
        page = tables.report([results], tables=[3])
        title, description, _, header, _, *rows = page.splitlines()
        assert title == "Table 3. Methods on MNIST: quick protocol"
        assert "8 epochs: not to be compared" in description
        assert "mnist, outliers notmnist (fingerprint 1a2b)" in description
        assert "a CPU (shared machine)" in description
        assert header.startswith("Row") and "Training [s], shared machine" in header
        cells = "BbH (ours) 1.50 0.56 0.950 0.97 0.450 0.48 0.060 1234 11504 1 (42)"
        assert rows[-1].split() == cells.split()
        assert rows[0].split() == "MAP no run 0.80 0.99 0.71 710".split()

    def test_a_row_in_two_tables_stands_in_both_under_its_labels(self, results):
        page = tables.report([results], tables=[2, 3])
        assert page.count("1 (42)") == 2
        for label in ("Independent noise, d = 1 ", "BbH (ours) "):
            [line] = [line for line in page.splitlines() if line.startswith(label)]
            assert "1.50" in line

    def test_networks_have_their_own_tables_and_data(self, make_run):
        runs = [make_run(), make_run(network="resnet32")]
        page = tables.report(runs, tables=[3, 4])
        titles = [line for line in page.splitlines() if line.startswith("Table")]
        assert titles == [
            "Table 3. Methods on MNIST: quick protocol",
            "Table 4. Methods on CIFAR-5: quick protocol",
        ]
        assert "5 epochs: not to be compared with the paper's 200. Data: cifar5" in page
        assert "BbH (ours) 1.50 13.62 0.950 0.68 0.450 0.51" in " ".join(page.split())
        assert "| 1.50 (13.62) |" in tables.rows_markdown(runs, "quick", "resnet32")

    def test_each_protocol_has_its_own_tables(self, make_run):
        runs = [make_run(), make_run(protocol="paper", seed=43)]
        page = tables.report(runs, tables=[3])
        assert [line for line in page.splitlines() if line.startswith("Table")] == [
            "Table 3. Methods on MNIST: paper protocol",
            "Table 3. Methods on MNIST: quick protocol",
        ]
        quick = tables.report(runs, tables=[3], protocol="quick")
        assert "(42)" in quick and "(43)" not in quick
        demo = tables.report(runs, tables=[3], protocol="demo")
        assert "demo protocol" in demo and demo.count("no run") == 6

    def test_csv_holds_numbers_one_a_cell(self, make_run):
        runs = [make_run(seed=seed, error_percent=seed / 30) for seed in (42, 43)]
        records = list(csv.DictReader(tables.report(runs, "csv", tables=[2, 3]).splitlines()))
        assert len(records) == 4 + 6
        record, other = records[1], records[2]
        assert record["row"] == "Independent noise, d = 1" and record["table"] == "2"
        assert (record["protocol"], record["dataset"]) == ("quick", "mnist")
        assert float(record["error_percent"]) == statistics.fmean([1.4, 43 / 30])
        assert float(record["error_percent_stddev"]) == statistics.stdev([1.4, 43 / 30])
        assert float(record["error_percent_paper"]) == 0.56
        assert (record["num_runs"], record["seeds"]) == ("2", "42, 43")
        assert record["trained_on"] == "a CPU (shared machine)"
        assert (other["seeds"], other["error_percent"], other["num_runs"]) == ("no run", "", "0")

    def test_markdown_has_a_rule_and_as_many_cells_in_every_row(self, results):
        page = tables.report([results], "markdown", tables=[5]).splitlines()
        assert page[0].startswith("### Table 5.")
        rows = page[4:]
        assert len(rows) == 2 + 4 and {row.count("|") for row in rows} == {14}
        assert rows[1].startswith("| --- | ---: |")

    def test_latex_escapes_what_it_would_take_as_commands(self, make_run):
        runs = [make_run(seed=seed, error_percent=seed / 30) for seed in (42, 43)]
        for run in runs:
            run["hardware"] = "R&D #1_{a}"
        page = tables.report(runs, "latex", tables=[1, 3])
        assert r"Error [\%], ours & paper" in page
        assert r"Layer-wise G\_l" in page and r"R\&D \#1\_\{a\}" in page
        assert r"1.42 $\pm$ 0.02" in page
        assert page.count(r"\begin{tabular}{lrrrrrrrrrrrr}") == page.count(r"\end{tabular}") == 2
        [row] = [line for line in page.splitlines() if line.startswith("MAP")]
        assert row.count(" & ") == 12 and row.endswith(r"\\")

    def test_times_of_different_machines_are_not_averaged(self, make_run):
        runs = [make_run(), make_run(seed=43)]
        runs[1] |= {"hardware": "a GPU", "train_seconds": 60.0}
        page = tables.report(runs, tables=[3])
        assert "1234 (a CPU); 60 (a GPU)" in page and "647" not in page
        [*_, record] = csv.DictReader(tables.report(runs, "csv", tables=[3]).splitlines())
        assert record["train_seconds"] == "" and record["error_percent"] == "1.5"

    def test_the_papers_outlier_auc_stands_beside_notmnist_only(self, results):
        run = {**results, "outlier_dataset": "embedded_letters"}
        row = tables.report([run], tables=[3]).splitlines()[-1]
        assert row.split()[6:8] == ["0.450", tables.DASH]

    def test_one_table_of_all_rows(self, make_run):
        page = tables.rows_markdown([make_run(), make_run("map", "paper")], "quick", "lenet")
        rows = [row for row in tables.PAPER_ROWS if row.network == "lenet"]
        assert len(page.splitlines()) == 2 + len(rows)
        assert "| 1.50 (0.56) | 0.950 (0.97) | 0.450 (0.48) | 0.060 |  | 1 (42) |" in page
        assert page.count("no run") == 3 * (len(rows) - 1)
        assert "| 3, 5 | BbB, analytic KL |" in page

    def test_each_method_in_the_longest_protocol_that_was_run(self, make_run):
        runs = [make_run("map"), make_run("map", "paper", error_percent=0.9), make_run()]
        rows = tables.methods_markdown(runs, "lenet", 3).splitlines()[2:]
        assert len(rows) == 6
        assert rows[0].startswith("| MAP | 100 | 0.90 (0.80) |")
        assert rows[-1].startswith("| BbH (ours) | 8 | 1.50 (0.56) |")
        assert [row for row in rows if "no run" in row] == rows[1:-1]

    def test_step_times_stand_in_their_columns(self, make_run):
        times = [{**make_run("map"), "ms_per_step": 20.0}, {**make_run(), "ms_per_step": 390.0}]
        assert "| 390.0 (19.5) |" in tables.rows_markdown([make_run()], "quick", "lenet", times)
        assert "| 390.0 | 19.5 |" in tables.report([make_run()], "markdown", step_times=times)
        without_map = tables.rows_markdown([make_run()], "quick", "lenet", times[1:])
        assert "| 390.0 |" in without_map


class TestBlocks:
    def test_replaces_between_markers_only(self):
        text = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n"
        blocks = {"t": "new", "not in this page": "x"}
        assert tables.update_blocks(text, blocks) == "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"
        with pytest.raises(ValueError, match="<!-- u -->"):
            tables.update_blocks(text, {"u": "new"})
        with pytest.raises(ValueError, match="once each"):
            tables.update_blocks(text + "<!-- t -->", blocks)

    def test_plain_tables_are_aligned(self):
        lines = tables.format_table(["", "x"], [["long label", 1], ["b", 22]]).splitlines()
        assert lines == ["             x", "--------------", "long label   1", "b           22"]


class TestFlagfileHeaders:
    def test_says_row_paper_and_ours(self, make_run):
        [row] = [row for row in tables.PAPER_ROWS if 3 in row.tables and row.method == "bbh"]
        assert tables.flagfile_name(row, 3, "quick") == "mnist/table3_bbh_quick.flags"
        runs = [make_run(), make_run(protocol="paper", error_percent=0.6)]
        assert tables.flagfile_header(row, 3, "quick", runs) == (
            '# Table 3, "BbH (ours)"; the quick protocol, 8 epochs: '
            "not comparable with the paper.\n"
            "# Paper: error 0.56 %, MNIST AUC 0.97, outlier AUC 0.48, 11504 s.\n"
            "# Ours, seed 42: error 1.50 %, MNIST AUC 0.950, outlier AUC 0.450,\n"
            "# 21 min of training on a CPU (shared machine).\n"
        )
        several = [make_run(seed=seed, error_percent=seed / 30) for seed in (42, 43)]
        header = tables.flagfile_header(row, 3, "quick", several)
        assert "# Ours, seeds 42, 43: error 1.42 +- 0.02 %" in header
        assert "# Ours: not run yet." in tables.flagfile_header(row, 3, "paper", several)

    def test_replaces_the_comment_at_the_top_only(self):
        text = "# old\n# too\n--method=map\n# kept\n"
        assert tables.replace_header(text, "# new\n") == "# new\n--method=map\n# kept\n"


class TestCommitted:
    def test_results_are_complete_and_of_their_protocol(self):
        runs = _committed()
        assert runs
        for path, run in runs.items():
            assert path.parts[-4:-2] == (run["dataset"], run["protocol"])
            plan = protocols.get(run["network"], run["protocol"])
            assert run["epochs"] == plan.epochs

    def test_every_run_is_a_row(self):
        assert tables.unplaced(_committed()) == {}

    @pytest.mark.parametrize("page", ["README.md", "results/README.md", "flags/README.md"])
    def test_pages_show_the_committed_numbers(self, page):
        text = (REPOSITORY / page).read_text()
        files = sorted((REPOSITORY / "benchmarks").glob("train_step*.json"))
        step_times = [time for path in files for time in tables.read_step_times(path)]
        blocks = tables.page_blocks(_committed(), step_times)
        assert tables.update_blocks(text, blocks) == text, UPDATE
