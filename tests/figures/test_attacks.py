"""The figure of attacks shows what was recorded."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bayes_by_hypernet.figures import style
from bayes_by_hypernet.figures.attacks import attack_curves

RECORDS = {
    "runs/map": ("map", [0.99, 0.4, 0.0]),
    "runs/bbh": ("bbh", [0.98, 0.7, 0.2]),
    "runs/bbh-seed43": ("bbh", [0.97, 0.6, 0.1]),
}


def _record(method, accuracies, attack="fast_sign", **settings):
    points = [
        {"epsilon": 0.2 * i, "accuracy": accuracy, "relative_entropy": 1 - accuracy**2}
        for i, accuracy in enumerate(accuracies)
    ]
    run = {"method": method, "dataset": "mnist"}
    return {"attack": attack, "num_images": 1000, "run": run, "points": points, **settings}


@pytest.fixture
def saved(monkeypatch):
    """The figures that are saved, by path."""
    figures, save = {}, style.save

    def spy(figure, path):
        figures[path] = figure
        return save(figure, path)

    monkeypatch.setattr(style, "save", spy)
    return figures


def test_draws_accuracy_and_entropy_of_every_run(tmp_path, saved):
    records = {name: _record(*run, average="examples") for name, run in RECORDS.items()}
    path = attack_curves(records, tmp_path / "new" / "attacks")
    assert path == tmp_path / "new" / "attacks.png"
    assert path.stat().st_size and path.with_suffix(".pdf").stat().st_size
    figure = saved[tmp_path / "new" / "attacks"]
    assert figure.get_suptitle() == "Fast sign method, average of examples: 1,000 images of mnist"
    for axes, function in zip(figure.axes, (lambda a: a, lambda a: 1 - a**2), strict=True):
        lines = axes.get_lines()
        for line, (method, accuracies) in zip(lines, RECORDS.values(), strict=True):
            np.testing.assert_allclose(line.get_xdata(), [0, 0.2, 0.4])
            np.testing.assert_allclose(line.get_ydata(), function(np.array(accuracies)))
            assert to_hex(line.get_color()).upper() == style.METHODS[method][1]
        labels = [line.get_label() for line in lines]
        assert labels == ["MAP", "BbH, runs/bbh", "BbH, runs/bbh-seed43"]
        assert lines[1].get_linestyle() != lines[2].get_linestyle()
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == labels


def test_says_which_attack_it_was(tmp_path, saved):
    record = _record("map", [0.5], "projected_gradient", num_steps=10)
    attack_curves({"runs/map": record}, tmp_path / "attacks")
    title = saved[tmp_path / "attacks"].get_suptitle()
    assert title == "Projected gradient descent, 10 steps: 1,000 images of mnist"
