"""What the benchmark of decisions measures: coverage of the toy regression, and its errors."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from bayes_by_hypernet import metrics

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def decisions():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield __import__("decisions")
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.pop("decisions", None)


class TestCoverageError:
    @pytest.mark.parametrize("n, k, alpha", [(99, 90, 0.1), (100, 91, 0.1), (9, 7, 0.3)])
    def test_is_beta_binomials(self, decisions, n, k, alpha):
        expected = stats.betabinom(50, k, n + 1 - k)
        error = decisions.coverage_error(n, 50, alpha)
        np.testing.assert_allclose(error, expected.std() / 50, rtol=1e-9)
        np.testing.assert_allclose(
            decisions.expected_coverage(n, alpha), expected.mean() / 50, rtol=1e-9
        )

    def test_holds_for_random_halves_of_one_fixed_set(self, decisions):
        scores, rng, coverages = np.random.default_rng(0).random(400), np.random.default_rng(1), []
        for _ in range(4000):
            rng.shuffle(scores)
            coverages.append(np.mean(scores[200:] <= np.sort(scores[:200])[180]))  # k = 181
        # The standard deviation of 4,000 draws has a standard error of 1.1 %, their mean one of
        # 1.6 % of it.
        error = decisions.coverage_error(200, 200, 0.1)
        np.testing.assert_allclose(np.std(coverages), error, rtol=0.045)
        expected = decisions.expected_coverage(200, 0.1)
        np.testing.assert_allclose(np.mean(coverages), expected, atol=0.064 * error)

    def test_counts_deviations_in_errors_of_the_mean_over_splits(self, decisions):
        error = decisions.coverage_error(99, 50, 0.1)
        found = decisions.covered(0.9 + error, 99, 50, 0.1, num_splits=16)
        assert found["standard_error"] == pytest.approx(error / 4)
        assert found["deviation"] == pytest.approx(4)


@pytest.mark.parametrize("name", ["map", "bbb"])
def test_intervals_of_the_toy_regression_cover(decisions, name):
    found = decisions.measure_toy(
        decisions.fit_toy(name, num_steps=500), num_samples=20, num_draws=2
    )
    assert list(found) == list(decisions.TOY_KINDS)
    for kind in ("absolute", "normalized", "cqr"):
        # Four standard errors of two draws of the data: one pair of 16,000 lies outside.
        assert abs(found[kind]["deviation"]) < 4, (kind, found[kind])
        assert found[kind]["coverage"] == pytest.approx(0.9, abs=0.05)
        assert 9.8 < found[kind]["width"] < 60  # the noise alone takes 2 * 1.645 * 3
    if name == "map":  # one sample: the noise is all that it knows, and all intervals are the same
        assert found["gaussian"]["width"] == pytest.approx(2 * 1.6449 * 3, rel=1e-3)
        assert found["quantiles"]["width"] == pytest.approx(2 * 1.6449 * 3, rel=1e-3)
        assert found["gaussian"]["coverage"] < 0.85
        assert found["cqr"]["width"] == pytest.approx(found["absolute"]["width"], rel=1e-3)


@pytest.fixture(scope="module")
def uncertain():
    """Predictions of 4,000 and 6,000 examples by samples that disagree, with labels."""
    rng = np.random.default_rng(0)
    found = []
    for count in (4000, 6000):
        logits = rng.normal(size=(count, 4)) * 4
        labels = (rng.random((count, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
        samples = softmax(logits + rng.normal(size=(10, count, 4)) * 3, axis=2)
        mean = samples.mean(axis=0)
        entropy = metrics.predictive_entropy(mean)
        found += [SimpleNamespace(mean=mean, samples=samples, entropy=entropy), labels.clip(max=3)]
    return found


def test_evaluates_predictions(decisions, uncertain):
    entry = decisions.evaluate(*uncertain)
    # The mean of samples that disagree is less certain than it is right.
    assert entry["mean_temperature"] < 0.95
    for name in ("mean", "samples"):
        assert entry[f"{name}_nll"] < entry["nll"] and entry[f"{name}_ece"] < entry["ece"]
    assert entry["coverage_at_risk"] < 1 - entry["error_percent"] / 100
    assert 0 < entry["e_aurc"] < entry["aurc"]
    assert len(entry["conformal"]) == 6
    for sets in entry["conformal"]:
        for found in (sets["halves"], sets["validation"]):
            assert abs(found["deviation"]) < 4 and 0.8 < found["size"] < 3
    entry["method"] = "bbh"
    assert len(decisions.scaling_cells(entry)) == len(decisions.SCALING_HEADER)
    assert len(decisions.selective_cells(entry)) == len(decisions.SELECTIVE_HEADER)
    rows = decisions.sets_rows(entry)
    assert {len(row) for row in rows} == {len(decisions.SETS_HEADER)}
    assert {row[1] for row in rows} == {"LAC", "APS"}  # RAPS penalises the sixth class of four


def test_refuses_a_run_that_is_not_finished(decisions, tmp_path, monkeypatch, capsys):
    (tmp_path / "results.json").write_text('{"complete": false}')
    for run in (tmp_path, tmp_path / "none"):
        monkeypatch.setattr(sys, "argv", ["decisions.py", f"--runs={run}"])
        with pytest.raises(SystemExit):
            decisions.parse_arguments()
        assert "must name finished runs" in capsys.readouterr().err
    (tmp_path / "results.json").write_text('{"complete": true}')
    monkeypatch.setattr(sys, "argv", ["decisions.py", f"--runs={tmp_path},{tmp_path}"])
    assert decisions.parse_arguments().runs == [str(tmp_path)] * 2


class TestTheCommittedNumbers:
    CONTENTS = json.loads((BENCHMARKS / "decisions.json").read_text())

    def test_cover_within_their_errors(self):
        sets = [sets for run in self.CONTENTS["runs"] for sets in run["conformal"]]
        found = [entry[name] for entry in sets for name in ("halves", "validation")]
        for entry in self.CONTENTS["intervals"]:
            found += [one for one in entry["intervals"].values() if "deviation" in one]
        assert len(found) >= 60 and max(abs(one["deviation"]) for one in found) < 3

    def test_of_bbh_are_calibrated_by_a_temperature(self):
        runs = {run["method"]: run for run in self.CONTENTS["runs"]}
        bbh = runs.pop("bbh")
        assert bbh["mean_nll"] < bbh["samples_nll"] < bbh["nll"]
        assert bbh["ece"] > max(run["ece"] for run in runs.values())
        assert bbh["mean_ece"] < max(run["mean_ece"] for run in runs.values())

    def test_have_the_tables_that_the_script_makes_of_them(self, decisions):
        runs, intervals = self.CONTENTS["runs"], self.CONTENTS["intervals"]
        rows = [
            list(map(decisions.scaling_cells, runs)),
            list(map(decisions.selective_cells, runs)),
            [row for run in runs for row in decisions.sets_rows(run)],
            list(map(decisions.toy_cells, intervals)),
        ]
        assert [table["rows"] for table in self.CONTENTS["tables"]] == rows
