"""Training curves show the history, of an ensemble the mean over its members."""

import numpy as np
import run_folders

from bayes_by_hypernet.paper import figures


def test_terms_that_no_run_has_have_no_panel_and_members_are_averaged(tmp_path, saved):
    for name in ("map", "ensemble"):
        run_folders.make(tmp_path / name, name)
    runs = figures.make_runs([tmp_path / name for name in ("map", "ensemble")])
    assert figures.training_curves(runs, tmp_path / "training").stat().st_size
    [axes] = saved[tmp_path / "training"].axes  # no KL above 0, no validation error
    assert "NLL" in axes.get_ylabel() and axes.get_xlabel() == "epoch"
    alone, ensemble = axes.get_lines()
    np.testing.assert_array_equal(alone.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(alone.get_ydata(), [1, 1 / 2, 1 / 3])
    np.testing.assert_allclose(ensemble.get_ydata(), [1.5, 1.5 / 2, 1.5 / 3])  # of 1 and 2


def test_a_member_that_stopped_early_ends_the_mean(tmp_path, saved):
    run_folders.make(tmp_path, "ensemble")
    path = tmp_path / "history_1.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    figures.training_curves(figures.make_runs([tmp_path]), tmp_path / "training")
    [line] = saved[tmp_path / "training"].axes[0].get_lines()
    np.testing.assert_allclose(line.get_ydata(), [1.5])
