"""Conformal intervals of the toy regression, and what the benchmark of decisions says."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def decisions():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield __import__("decisions")
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.pop("decisions", None)


def test_the_error_of_a_coverage_is_beta_binomials(decisions):
    n, m, alpha = 99, 50, 0.1
    k = 90  # ceil(100 * 0.9)
    expected = stats.betabinom(m, k, n + 1 - k).std() / m
    np.testing.assert_allclose(decisions.coverage_error(n, m, alpha), expected, rtol=1e-9)


def test_intervals_of_the_toy_regression_cover(decisions):
    model = decisions.fit_toy(epochs=60)
    entries = decisions.measure_toy(model, num_samples=30)
    assert len(entries) == 4
    for entry in entries[1:]:  # the first is not conformal and promises nothing
        # Four standard errors: one of 16,000 draws of the data lies outside.
        assert abs(entry["coverage"] - 0.9) < 4 * entry["standard_error"], entry
        assert 2 * 1.6 * 3 * 0.9 < entry["width"] < 40  # the noise alone takes 9.9
