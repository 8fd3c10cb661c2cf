"""The entropy figures show the numbers of the runs."""

import numpy as np
import run_folders
from matplotlib.colors import to_hex

from bayes_by_hypernet import metrics
from bayes_by_hypernet.paper import figures, methods


def _share_below(probs, x):
    """The empirical CDF of the relative entropy, example by example."""
    relative = metrics.predictive_entropy(probs) / np.log(probs.shape[1])
    return np.mean(relative[:, np.newaxis] <= x, axis=0)


def test_of_one_run_in_its_directory(tmp_path, saved):
    test, outliers, _ = run_folders.make(tmp_path, "bbh_layerwise_independent")
    path = figures.entropy_cdf(tmp_path)
    assert path == tmp_path / "figures" / "entropy_cdf.png" and path.stat().st_size
    figure = saved[tmp_path / "figures" / "entropy_cdf"]
    [axes] = figure.axes
    for line, probs in zip(axes.get_lines(), (test, outliers), strict=True):
        x = line.get_xdata()
        # Rounded to 5 decimals in the file.
        np.testing.assert_allclose(line.get_ydata(), _share_below(probs, x), atol=1e-5)
    [legend] = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["mnist (test): AUC 0.935", "notmnist (outliers): AUC 0.390"]
    assert axes.get_title() == "BbH, quick protocol, error 1.44 %"


def test_of_several_runs_test_set_above_outliers(tmp_path, saved):
    sets = [
        run_folders.make(tmp_path / "map", "map", 0.05),
        run_folders.make(tmp_path / "bbh", "bbh_layerwise_independent", 0.5),
    ]
    runs = figures.make_runs([tmp_path / "map", tmp_path / "bbh"])
    assert figures.entropy_cdfs(runs, tmp_path / "entropy").stat().st_size
    panels = saved[tmp_path / "entropy"].axes
    assert [axes.get_title() for axes in panels] == ["mnist (test)", "notmnist (outliers)"]
    for axes, of_runs in zip(panels, zip(*(s[:2] for s in sets), strict=True), strict=True):
        for line, run, probs in zip(axes.get_lines(), runs, of_runs, strict=True):
            assert to_hex(line.get_color()).upper() == methods.get(run.results["method"]).colour
            expected = _share_below(probs, line.get_xdata())
            np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-5)  # 5 decimals
