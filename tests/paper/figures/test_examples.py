"""The images of lowest and highest entropy are those, and captions say what is true of them."""

import numpy as np
import pytest
import run_folders

from bayes_by_hypernet import data
from bayes_by_hypernet.data import Examples
from bayes_by_hypernet.metrics import predictive_entropy
from bayes_by_hypernet.paper import figures
from bayes_by_hypernet.paper.figures.examples import NUM_IMAGES


def _dataset(name, labels, num_classes):
    """Every image is of one grey, which tells it from all others."""
    images = np.linspace(0, 1, len(labels), dtype=np.float32).reshape(-1, 1, 1, 1)
    images = np.broadcast_to(images, (len(labels), 4, 4, 1)).copy()
    test = Examples(images, labels)
    return data.Dataset(name, "others", num_classes, test, None, test, images[::-1].copy())


def test_shows_the_extremes_of_both_sets(tmp_path, saved):
    probs, outlier_probs, labels = run_folders.make(tmp_path, "map")
    dataset = _dataset("mnist", labels, 10)
    path = figures.extreme_examples(tmp_path, dataset)
    assert path == tmp_path / "figures" / "examples.png" and path.stat().st_size
    panels = saved[tmp_path / "figures" / "examples"].axes
    assert len(panels) == 4 * NUM_IMAGES
    sets = [(dataset.test.images, probs), (dataset.outliers, outlier_probs)]
    for half, (images, of_set) in enumerate(sets):
        entropy = predictive_entropy(of_set)
        greys = [panel.images[0].get_array()[0, 0] for panel in panels]
        lowest, highest = (
            greys[k * NUM_IMAGES : (k + 1) * NUM_IMAGES] for k in (2 * half, 2 * half + 1)
        )
        order = np.argsort(entropy)
        np.testing.assert_array_equal(lowest, images[order[:NUM_IMAGES], 0, 0, 0])
        np.testing.assert_array_equal(highest, images[order[::-1][:NUM_IMAGES], 0, 0, 0])
    surest = np.argmin(predictive_entropy(probs))
    predicted = probs[surest].argmax()
    caption = panels[0].texts[0].get_text()
    assert caption.startswith(f"{predicted}: {probs[surest, predicted]:.2f}")
    assert caption.endswith(f"is {labels[surest]}") == (predicted != labels[surest])


@pytest.mark.parametrize("num_images", [1, 3])
def test_fewer_images_than_places_in_classes_that_have_names(tmp_path, saved, num_images):
    run_folders.make(tmp_path, "map")
    probs = np.eye(5)[[1] * num_images]
    np.savez(tmp_path / "predictions.npz", test_mean=probs, outlier_mean=probs)
    dataset = _dataset("cifar5", np.full(num_images, 2), 5)
    figures.extreme_examples(tmp_path, dataset)
    panels = saved[tmp_path / "figures" / "examples"].axes
    assert panels[0].texts[0].get_text() == "automobile: 1.00\nis bird"
    assert sum(bool(panel.images) for panel in panels) == 4 * num_images
    sizes = {tuple(np.round(panel.get_window_extent().size, 3)) for panel in panels if panel.images}
    assert len(sizes) == 1  # whatever the captions
