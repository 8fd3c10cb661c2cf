"""Figure 1 shows each method's band in its own panel."""

import numpy as np
import pytest
from matplotlib.image import imread

from bayes_by_hypernet.figures import toy
from bayes_by_hypernet.toy_regression import GRID, Results


@pytest.fixture
def blue(tmp_path):
    """Function of a method: how many pixels of its panel are bluish."""
    flat = np.zeros(len(GRID))
    results = Results(tmp_path)
    results.add("map", {}, {"mean": flat, "std": flat})
    results.add("bbh", {}, {"mean": flat, "std": flat + 40})
    path = toy.toy_regression(tmp_path)
    assert path == tmp_path / "toy.png" and path.with_suffix(".pdf").exists()
    pixels = imread(path)
    bluish = pixels[..., 2] - pixels[..., 0] > 0.1
    height, width = bluish.shape
    # The middle of each panel; the legend is below.
    counts = [
        bluish[int(top * height) :, int(left * width) :][: height // 5, : width // 5].sum()
        for top in (0.15, 0.5)
        for left in (0.15, 0.45, 0.75)
    ]
    return dict(zip(toy.METHODS, counts, strict=True)).get


def test_bands_are_as_wide_as_the_standard_deviations(blue):
    assert blue("bbh") > 3 * blue("map") > 0


def test_a_method_that_was_not_run_has_an_empty_panel(blue):
    for method in ("ensemble", "dropout", "mnf", "bbb"):
        assert blue(method) == 0
