"""Every benchmark as a person starts it, on sizes that say nothing: what it prints and writes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayes_by_hypernet.kernels import library
from bayes_by_hypernet.paper.tables.formats import DASH, format_table

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NUM_WEIGHTS = 431_080


def _report(tmp_path, name, *flags):
    """Runs a benchmark; returns the rows of its tables, a list each, and its JSON file."""
    path = tmp_path / f"{name}.json"
    process = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *flags, f"--json={path}"],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    contents = json.loads(path.read_text())
    for text in (contents["hardware"], contents["versions"]["tensorflow"], f"Written to {path}"):
        assert text in process.stdout
    for table in contents["tables"]:
        assert table["title"] in process.stdout
        assert format_table(table["header"], table["rows"]) in process.stdout
    return [table["rows"] for table in contents["tables"]], contents


def _is_times(seconds, count):
    return len(seconds) == count and min(seconds) > 0


class TestKernelKL:
    def test_times_every_variant_and_leaves_out_what_is_too_large(self, tmp_path):
        sizes = ("--num_samples", "5", "--num_weights", "50", "5000000")
        tables, contents = _report(tmp_path, "kernel_kl", *sizes, "--repetitions=1", "--memory")
        small, large = contents["timings"]
        ops = ["op, given prior", "op"] if library.load() else []
        entropy = ["entropy, TensorFlow", *(["entropy, op"] if ops else [])]
        assert list(small["seconds"]) == ["plain", "plain, XLA", "TensorFlow", *ops, *entropy]
        assert list(large["seconds"]) == ["TensorFlow", *ops, *entropy]  # 1.25e8 differences
        assert all(_is_times(seconds, 1) for seconds in small["seconds"].values())
        times, targets = tables
        assert times[0][:2] == ["5", "50"] and float(times[0][2]) > 0
        assert times[1][:4] == ["5", "5,000,000", DASH, DASH] and float(times[1][4]) > 0
        assert targets == contents["memory"] == []  # none of these sizes is one

    def test_measures_memory(self, tmp_path):
        sizes = ("--num_samples", "2", "--num_weights", "50", "--memory", "2", "3")
        tables, contents = _report(
            tmp_path, "kernel_kl", *sizes, "--variants", "TensorFlow", "--repetitions=1"
        )
        assert [(entry["variant"], entry["num_samples"]) for entry in contents["memory"]] == [
            ("TensorFlow", 2),
            ("TensorFlow", 3),
        ]
        assert tables[2][0][0] == "TensorFlow"
        for entry in contents["memory"]:
            if entry["peak_bytes"] is not None:  # the system does not say
                # The gradient for each sample, float32, and more.
                assert entry["peak_bytes"] > 0.9 * 4 * entry["num_samples"] * NUM_WEIGHTS


@pytest.mark.long
@pytest.mark.slow
def test_predict(tmp_path):
    [rows, calls], contents = _report(
        tmp_path,
        "predict",
        *("--methods", "map", "ensemble", "bbh_single", "--hidden_units", "4"),
        *("--calls", "dropout", "--num_samples=11", "--num_images=20", "--repetitions=2"),
    )
    assert [row[:2] for row in calls] == [["dropout", "11"]]
    [entry] = contents["calls"]
    assert entry["largest_difference"] < 1e-6  # threads answer what one alone does
    assert all(_is_times(entry["seconds"][name], 7) for name in ("predict", "served"))
    expected = [("map", 1, None), ("ensemble", 10, None), ("bbh_single", 11, 1.2)]
    entries = contents["predictions"]
    assert [(e["case"], e["num_samples"], e["limit"]) for e in entries] == expected
    assert [tuple(row[:2]) for row in rows] == [(case, str(n)) for case, n, _ in expected]
    assert contents["num_images"] == 20
    for entry in entries:
        assert list(entry["seconds"]) == ["ours", "drawing", "model(x)", "map passes"]
        assert all(_is_times(seconds, 2) for seconds in entry["seconds"].values())


@pytest.mark.long
@pytest.mark.slow
def test_decisions(tmp_path):
    launcher, run = BENCHMARKS.parent / "launch" / "mnist.py", tmp_path / "a_run"
    flags = ["--method=dropout", "--dataset=embedded", "--epochs=1", "--max_train_examples=300"]
    flags += ["--num_predictive_samples=2", f"--workdir={run}"]
    process = subprocess.run(
        [sys.executable, str(launcher), *flags], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    [scaling, selective, sets, toy], contents = _report(
        tmp_path,
        "decisions",
        *(f"--runs={run}", "--num_samples=3", "--num_images=100"),
        *("--toy_methods", "map", "--toy_steps=100"),
    )
    [entry] = contents["runs"]
    named = {name: entry[name] for name in ("run", "method", "epochs", "seed", "num_samples")}
    assert named == {"run": "a_run", "method": "dropout", "epochs": 1, "seed": 42, "num_samples": 3}
    assert [len(rows) for rows in (scaling, selective, toy)] == [1, 1, 1] and len(sets) >= 8
    assert scaling[0][1] == selective[0][1] == f"{entry['error_percent']:.2f}"
    # 50 images calibrate; the expected coverage of 0.9 is 46 of 51.
    [lac] = [e for e in entry["conformal"] if (e["method"], e["alpha"]) == ("lac", 0.1)]
    halves = lac["halves"]
    expected = halves["coverage"] - halves["deviation"] * halves["standard_error"]
    assert expected == pytest.approx(46 / 51)
    [intervals] = contents["intervals"]
    assert intervals["method"] == "map" and abs(intervals["intervals"]["cqr"]["deviation"]) < 4


@pytest.mark.long
@pytest.mark.slow
def test_estimators(tmp_path):
    flags = ["--num_samples", "5", "--noise_dim", "2", "--architecture", "sliced", "--noise"]
    flags += ["shared", "--num_weights=100", "--hidden_units", "4", "--num_steps=3"]
    flags += ["--num_gaussians=400", f"--figure={tmp_path / 'figure.png'}"]
    tables, contents = _report(tmp_path, "estimators", *flags)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    settings = [(c["estimator"], c["num_samples"], c["num_steps"]) for c in contents["cells"]]
    assert settings == [("independent", 5, 3), ("entropy", 5, 3), ("untrained", None, 0)]
    assert contents["cells"][2]["estimate"] is None
    for cell in contents["cells"]:
        assert cell["noise"] == "shared" and cell["num_weights"] == 100
        # Hardly trained: narrow weights, whose KL is about -log(stddev) - 1 / 2.
        assert 0 < cell["stddev"] < 1 and abs(-np.log(cell["stddev"]) - cell["kl"]) < 2.5
        assert 1 <= cell["effective_rank"] <= 100
    assert [len(rows) for rows in tables] == [3, 6, 7]
    # Again, with one cell more: those of the file are kept as they are.
    _, again = _report(tmp_path, "estimators", *flags, "--estimators", "entropy", "--seeds", "1")
    assert again["cells"][:3] == contents["cells"] and again["bias"] == contents["bias"]
    assert [(c["estimator"], c["seed"]) for c in again["cells"][3:]] == [("entropy", 1)]


@pytest.mark.long
@pytest.mark.slow
def test_scaling(tmp_path):
    tables, contents = _report(
        tmp_path,
        "scaling",
        *("--num_weights", "50", "--num_samples", "2", "--hidden_units", "4", "--replicas", "2"),
        *("--repetitions=1", "--steps=2"),
    )
    assert contents["bandwidth"] > 1e8
    sizes = [(line["num_samples"], line["num_weights"]) for line in contents["kernel_kl"]]
    assert sizes == [(5, 50), (2, NUM_WEIGHTS)]
    [step] = contents["steps"]
    assert step["hidden_units"] == [64, 256, 4] and _is_times(step["seconds"]["step"], 1)
    assert step["moved_bytes"] == 28 * step["num_parameters"]
    [replicas] = contents["replicas"]
    assert replicas["num_replicas"] == 2 and _is_times(replicas["seconds"]["step"], 1)
    # The gradient for the sample of each weight that the likelihood sees, the NLL and the accuracy.
    assert replicas["exchanged_bytes"] == 4 * (NUM_WEIGHTS + 2)
    assert replicas["gradient_bytes"] == 4 * step["num_parameters"]
    assert [len(rows) for rows in tables] == [2, 1, 1]


@pytest.mark.long
@pytest.mark.slow
def test_workers_trials(tmp_path):
    [rows], contents = _report(tmp_path, "workers_trials", "--trials", "worker killed")
    unbroken, killed = contents["trials"]
    assert [end["status"] for end in unbroken["processes"]] == [0, 0]
    assert [end["status"] for end in killed["processes"]] == [1, -9]
    assert "Worker 1 (localhost:" in killed["processes"][0]["said"]
    assert killed["processes"][0]["seconds"] is not None  # it does not wait for ever
    assert [end["status"] for end in killed["resumed"]] == [0, 0]
    assert killed["difference"] == 0 and rows[1][-1] == "equal"


@pytest.mark.long
@pytest.mark.slow
def test_train_step(tmp_path):
    [rows], contents = _report(
        tmp_path,
        "train_step",
        *("--rows", "BbH, single G", "--hidden_units", "4", "--repetitions=1", "--steps=2"),
    )
    [entry] = contents["steps"]
    assert (entry["label"], entry["method"], entry["hidden_units"]) == ("BbH, single G", "bbh", [4])
    assert {"ours", "map", "plain"} <= set(entry["seconds"])
    assert all(_is_times(seconds, 1) for seconds in entry["seconds"].values())
    assert entry["ms_per_step"] > 0 and entry["limit_ms"] > 0 and entry["peak_bytes"] > 0
    assert [row[0] for row in rows] == ["BbH, single G"]


@pytest.mark.long
@pytest.mark.slow
def test_train_step_in_fit(tmp_path):
    flags = ("--rows", "bayesify", "--hidden_units", "4", "--repetitions=2", "--steps=2")
    [rows], contents = _report(tmp_path, "train_step", *flags)
    names = ["loop", "fit, FusedAdam", "fit, keras.optimizers.Adam"]
    assert list(contents["fits"]) == [row[0] for row in rows] == names
    assert all(_is_times(seconds, 2) for seconds in contents["fits"].values())
    assert rows[0][3] == "1.00" and all(float(row[3]) > 0 for row in rows)
    assert contents["steps"] == []


@pytest.mark.slow
def test_interruptions(tmp_path):
    flags = ("--stops=1", "--damages=1", "--methods=bbh", "--jobs=2")
    tables, contents = _report(tmp_path, "interruptions", *flags)
    assert len(contents["stops"]) == 1 and len(contents["damages"]) == 1
    for record in contents["stops"]:
        assert not record["differences"] and not record["rerun_status"]
        assert not record["traceback"] and not record["rerun_traceback"]
    assert not contents["damages"][0]["traceback"] and not contents["damages"][0]["differences"]
    assert [len(rows) > 0 for rows in tables] == [True, True]
