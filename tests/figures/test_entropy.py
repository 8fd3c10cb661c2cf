"""The entropy figure shows the numbers of the run."""

import json

import numpy as np
from matplotlib.image import imread

from bayes_by_hypernet import figures


def test_draws_both_curves_into_the_run_directory(tmp_path):
    rng = np.random.default_rng(0)
    certain = rng.dirichlet(np.full(10, 0.05), 200)
    uncertain = rng.dirichlet(np.full(10, 5.0), 200)
    np.savez(tmp_path / "predictions.npz", test_mean=certain, outlier_mean=uncertain)
    results = {"dataset": "mnist", "outlier_dataset": "notmnist", "method": "bbh"}
    results |= {"protocol": "quick", "error_percent": 1.0}
    (tmp_path / "results.json").write_text(json.dumps(results))
    path = figures.entropy_cdf(tmp_path)
    assert path == tmp_path / "figures" / "entropy_cdf.png"
    pixels = imread(path)[..., :3]
    blue, grey = np.array([0, 0x72, 0xB2]) / 255, np.full(3, 0x7F) / 255

    def centre(colour):
        """Mean height of a curve's pixels, from the top; the legend's are few."""
        return np.argwhere(np.abs(pixels - colour).max(axis=-1) < 0.05)[:, 0].mean()

    assert centre(blue) < centre(grey)  # the certain curve lies above
