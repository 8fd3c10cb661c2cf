"""Figure 1 shows each method's prediction in its own panel and colour."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text

from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.figures import style, toy
from bayes_by_hypernet.paper.toy_regression import GRID, Results

METHODS = ("map", "mnf", "bbh")  # of the results here
STD = np.linspace(0, 40, len(GRID))
LEGEND = ["true function $x^3$", "training data", "predictive mean", "± 3, noise added"]
LEGEND += ["± 1 standard deviation", "± 2 standard deviations", "± 3 standard deviations"]


def _mean(method):
    return np.full(len(GRID), 10.0 * METHODS.index(method))


@pytest.fixture(scope="module")
def figure(tmp_path_factory):
    """The figure of results of some methods, of which `map` has no bands."""
    folder, figures, save = tmp_path_factory.mktemp("toy"), [], style.save
    results = Results(folder)
    for method in METHODS:
        results.add(method, {}, {"mean": _mean(method), "std": STD * (method != "map")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", lambda *args: figures.append(args[0]) or save(*args))
        path = toy.toy_regression(folder)
    assert path == folder / "toy.png" and path.stat().st_size
    assert path.with_suffix(".pdf").stat().st_size
    [drawn] = figures
    return drawn


def _panel(figure, method):
    [axes] = [axes for axes in figure.axes if axes.get_title() == methods.get(method).label]
    return axes


def _lines(figure, method):
    """The lines of a panel, except the empty ones that the legend explains."""
    return [line for line in _panel(figure, method).get_lines() if len(line.get_xdata())]


def _bands(figure, method):
    """The bands of a panel as arrays of the lower and upper edge at GRID, and their colours."""
    bands = [band for band in _panel(figure, method).collections if band.get_paths()]
    edges = []
    for band in bands:
        x, y = band.get_paths()[0].vertices.T
        edges.append([[bound(y[np.isclose(x, at)]) for at in GRID] for bound in (min, max)])
    return np.array(edges), [band.get_facecolor()[0, :3] for band in bands]


@pytest.mark.parametrize("method", METHODS)
def test_a_prediction_has_the_methods_colour(figure, method):
    colour = methods.get(method).colour
    _, _, mean, lower, upper = _lines(figure, method)
    for line in (mean, lower, upper):
        assert to_hex(line.get_color()).upper() == colour
    _, shades = _bands(figure, method)
    blended = [np.average([to_rgb(colour), (1, 1, 1)], 0, (s, 1 - s)) for s in toy.SHADES]
    np.testing.assert_allclose(shades, blended, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_prediction_is_as_wide_as_its_standard_deviations(figure, method):
    std = STD * (method != "map")
    _, _, mean, lower, upper = [line.get_ydata() for line in _lines(figure, method)]
    np.testing.assert_allclose(mean, _mean(method))
    with_noise = 3 * np.sqrt(std**2 + 9)  # the noise's standard deviation is 3
    np.testing.assert_allclose(upper - mean, with_noise)
    np.testing.assert_allclose(mean - lower, with_noise)
    edges, _ = _bands(figure, method)
    for count, (low, high) in enumerate(edges, start=1):
        np.testing.assert_allclose(mean - low, count * std, atol=1e-9)
        np.testing.assert_allclose(high - mean, count * std, atol=1e-9)
    assert len(edges) == 3


def test_the_truth_is_told_from_a_black_prediction(figure):
    truth, data, mean, *_ = _lines(figure, "map")
    assert (truth.get_linestyle(), mean.get_linestyle()) == (":", "-")
    assert to_hex(truth.get_color()) != to_hex(mean.get_color()) == to_hex(data.get_color())
    assert data.get_markeredgecolor() == "white"
    assert min(truth.get_zorder(), data.get_zorder()) > mean.get_zorder()


def test_a_method_that_was_not_run_has_an_empty_panel(figure):
    for method in set(toy.METHODS) - set(METHODS):
        truth, data = _lines(figure, method)
        np.testing.assert_allclose(truth.get_ydata(), GRID[:, 0] ** 3)
        assert len(data.get_xdata()) == 20 and not _panel(figure, method).collections


def test_the_legend_explains_everything_once_and_in_grey(figure):
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == LEGEND
    colours = [line.get_color() for line in legend.get_lines()]
    colours += [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert len(colours) == len(LEGEND)
    for colour in map(to_rgb, colours):
        assert max(colour) == pytest.approx(min(colour))


def test_a_phone_shows_the_text_in_a_readable_size(figure):
    pixels_per_point = 390 / (72 * figure.get_figwidth())
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    assert min(sizes) * pixels_per_point > 9
