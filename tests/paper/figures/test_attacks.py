"""The figure of attacks shows what was recorded."""

import numpy as np
import run_folders
from matplotlib.colors import to_hex

from bayes_by_hypernet.paper import methods
from bayes_by_hypernet.paper.figures import attack_curves, make_runs

RUNS = {
    "map": ("map", [0.99, 0.4, 0.0]),
    "independent": ("bbh_layerwise_independent", [0.98, 0.7, 0.2]),
    "shared": ("bbh_layerwise_shared", [0.97, 0.6, 0.1]),
}


def _record(accuracies, attack="fast_sign", **settings):
    points = [
        {"epsilon": 0.2 * i, "accuracy": accuracy, "relative_entropy": 1 - accuracy**2}
        for i, accuracy in enumerate(accuracies)
    ]
    return {"attack": attack, "num_images": 1000, "points": points, **settings}


def test_draws_accuracy_and_entropy_of_every_run(tmp_path, saved):
    for name, (committed, _) in RUNS.items():
        run_folders.make(tmp_path / name, committed)
    runs = make_runs([tmp_path / name for name in RUNS])
    records = [_record(accuracies, average="examples") for _, accuracies in RUNS.values()]
    path = attack_curves(runs, records, tmp_path / "new" / "attacks")
    assert path == tmp_path / "new" / "attacks.png"
    assert path.stat().st_size and path.with_suffix(".pdf").stat().st_size
    figure = saved[tmp_path / "new" / "attacks"]
    assert figure.get_suptitle() == "Fast sign method, average of examples\n1,000 images of mnist"
    np.testing.assert_allclose(figure.axes[-1].get_xticks(), [0, 0.2, 0.4])  # the epsilons alone
    for axes, function in zip(figure.axes, (lambda a: a, lambda a: 1 - a**2), strict=True):
        lines = axes.get_lines()
        for line, run, (_, accuracies) in zip(lines, runs, RUNS.values(), strict=True):
            np.testing.assert_allclose(line.get_xdata(), [0, 0.2, 0.4])
            np.testing.assert_allclose(line.get_ydata(), function(np.array(accuracies)))
            assert to_hex(line.get_color()).upper() == methods.get(run.results["method"]).colour
        assert lines[1].get_linestyle() != lines[2].get_linestyle()
    [legend] = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["MAP", "BbH (independent)", "BbH (shared)"]


def test_says_which_attack_it_was(tmp_path, saved):
    run_folders.make(tmp_path / "map", "map")
    record = _record([0.5], "projected_gradient", num_steps=10)
    attack_curves(make_runs([tmp_path / "map"]), [record], tmp_path / "attacks")
    title = saved[tmp_path / "attacks"].get_suptitle()
    assert title == "Projected gradient descent, 10 steps\n1,000 images of mnist"
