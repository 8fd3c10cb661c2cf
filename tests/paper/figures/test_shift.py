"""The figures of corrupted images show what was recorded."""

import numpy as np
import run_folders
from matplotlib.colors import to_hex

from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.figures import make_runs, shift_curves, shift_families
from bayes_by_hypernet.paper.shift import MEASURES

RUNS = {
    "map": ("map", {"jpeg": 1, "rotate": 3}),
    "independent": ("bbh_layerwise_independent", {"jpeg": 2, "rotate": 6}),
    "shared": ("bbh_layerwise_shared", {"jpeg": 3, "rotate": 9}),
}
STRENGTHS = np.arange(6)


def _runs(tmp_path):
    records = []
    for name, (committed, slopes) in RUNS.items():
        run_folders.make(tmp_path / name, committed)
        records.append(run_folders.shift_record(tmp_path / name, slopes))
    return make_runs([tmp_path / name for name in RUNS]), records


def test_draws_every_measure_as_the_mean_over_families(tmp_path, saved):
    runs, records = _runs(tmp_path)
    path = shift_curves(runs, records, tmp_path / "new" / "shift")
    assert path == tmp_path / "new" / "shift.png"
    assert path.stat().st_size and path.with_suffix(".pdf").stat().st_size
    figure = saved[tmp_path / "new" / "shift"]
    title = "Corrupted test images, mean over 2 families\n2,000 images of mnist"
    assert figure.get_suptitle() == title
    assert [axes.get_ylabel() for axes in figure.axes] == list(MEASURES.values())
    scales = {"error_percent": (1, 1), "nll": (0.5, 0.01), "ece": (0, 0.01)}
    scales["relative_entropy"] = (0, 0.01)
    for axes, (start, scale) in zip(figure.axes, scales.values(), strict=True):
        lines = axes.get_lines()
        for line, run, (_, slopes) in zip(lines, runs, RUNS.values(), strict=True):
            np.testing.assert_allclose(line.get_xdata(), STRENGTHS)
            slope = scale * np.mean(list(slopes.values()))
            np.testing.assert_allclose(line.get_ydata(), start + slope * STRENGTHS)
            assert to_hex(line.get_color()).upper() == methods.get(run.results["method"]).colour
            assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > line.get_ydata().max()
        assert lines[1].get_linestyle() != lines[2].get_linestyle()
    [legend] = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["MAP", "BbH (independent)", "BbH (shared)"]


def test_draws_a_panel_for_each_family_and_one_of_their_mean(tmp_path, saved):
    runs, records = _runs(tmp_path)
    path = shift_families(runs, records, tmp_path / "families", "nll")
    assert path.stat().st_size and path.with_suffix(".pdf").stat().st_size
    axes = saved[tmp_path / "families"].axes
    assert [panel.get_title() for panel in axes] == ["jpeg", "rotate", "mean over families"]
    assert axes[0].get_ylabel() == "NLL [nats]"
    for panel, slope in zip(axes, (0.01, 0.03, 0.02), strict=True):
        np.testing.assert_allclose(panel.get_lines()[0].get_ydata(), 0.5 + slope * STRENGTHS)
        assert panel.get_ylim()[1] > panel.get_lines()[-1].get_ydata().max()


def test_panels_that_are_left_over_are_empty(tmp_path, saved):
    run_folders.make(tmp_path / "map", "map")
    names = ("jpeg", "scale", "rotate", "translate", "contrast", "pixelate")
    record = run_folders.shift_record(tmp_path / "map", dict.fromkeys(names, 1))
    shift_families(make_runs([tmp_path / "map"]), [record], tmp_path / "families")
    panels = saved[tmp_path / "families"].axes
    assert [panel.axison for panel in panels] == 7 * [True] + 3 * [False]
    assert [bool(panel.get_xlabel()) for panel in panels[:7]] == 2 * [False] + 5 * [True]
