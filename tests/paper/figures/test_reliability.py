"""Reliability diagrams show how often predictions of a confidence are right."""

import numpy as np
import run_folders

from bayes_by_hypernet.paper import figures
from bayes_by_hypernet.paper.figures.reliability import MIN_EXAMPLES


def test_accuracy_by_confidence_in_bins_that_say_something(tmp_path, saved):
    probs, _, labels = run_folders.make(tmp_path / "map", "map", 0.3)
    runs = figures.make_runs([tmp_path / "map"])
    assert figures.reliability(runs, tmp_path / "reliability").stat().st_size
    [axes] = saved[tmp_path / "reliability"].axes
    diagonal, line = axes.get_lines()
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    expected = []
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.sum() >= MIN_EXAMPLES:
            expected.append((confidence[inside].mean(), right[inside].mean()))
    assert 2 < len(expected) < 15  # some are shown, and some are not
    shown = np.transpose([line.get_xdata(), line.get_ydata()])
    np.testing.assert_allclose(shown, expected, atol=1e-5)  # 5 decimals in the file
    assert line.get_label() == f"MAP: ECE {runs[0].results['ece']:.3f}"
