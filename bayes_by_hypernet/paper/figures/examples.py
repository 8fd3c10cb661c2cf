"""Images that a posterior is most and least sure about, in and out of distribution."""

import numpy as np
from matplotlib.figure import Figure

from bayes_by_hypernet.data import cifar5
from bayes_by_hypernet.metrics import predictive_entropy
from bayes_by_hypernet.paper.figures import style
from bayes_by_hypernet.paper.figures.runs import Run
from bayes_by_hypernet.paper.run_directory import PREDICTIONS_FILE

NUM_IMAGES = 8  # of each kind
_SPACING = {"left": 0.01, "right": 0.99, "bottom": 0.06, "top": 0.89, "wspace": 0.1, "hspace": 0.6}


def extreme_examples(run_directory, dataset):
    """Draws the images of lowest and of highest entropy, of the test set and of the outliers.

    Below each stand the predicted class and its probability, and what it is where that is wrong.

    Args:
        run_directory: Folder of a finished run.
        dataset: `Dataset` that the run predicted.

    Returns:
        Path of the PNG, `figures/examples.png` in the folder.
    """
    run = Run(run_directory)
    with np.load(run.directory / PREDICTIONS_FILE, allow_pickle=False) as arrays:
        test, outliers = arrays["test_mean"], arrays["outlier_mean"]
    names = cifar5.CLASS_NAMES if dataset.name == cifar5.NAME else range(dataset.num_classes)
    sets = [
        (dataset.name, dataset.test.images, test, dataset.test.labels),
        (f"{dataset.outlier_name} (outliers)", dataset.outliers, outliers, None),
    ]
    # Without a layout engine, which would shrink the images of a row whose captions are long.
    figure = Figure(figsize=(7.0, 6.0))
    rows = iter(figure.subplots(4, NUM_IMAGES, gridspec_kw=_SPACING))
    for name, images, probs, labels in sets:
        order = np.argsort(predictive_entropy(probs), kind="stable")
        for kind, chosen in (("lowest", order), ("highest", order[::-1])):
            row, chosen = next(rows), chosen[:NUM_IMAGES]
            title = f"{name.replace('_', ' ')}, {kind} entropy"
            row[0].set_title(title, loc="left", fontsize="small")
            captions = [_caption(probs[i], None if labels is None else labels[i], names)
                        for i in chosen]  # fmt: skip
            _draw_row(row, images[chosen], captions)
    figure.suptitle(f"{run.label}: predicted class and its probability", fontsize="medium")
    return style.save(figure, run.directory / "figures" / "examples")


def _draw_row(panels, images, captions):
    for axes in panels:
        axes.set_axis_off()
    for axes, image, caption in zip(panels, images, captions, strict=False):  # there may be fewer
        axes.imshow(image.squeeze(), "gray", vmin=0, vmax=1)
        place = {"transform": axes.transAxes, "ha": "center", "va": "top"}
        axes.text(0.5, -0.05, caption, fontsize="x-small", **place)


def _caption(probs, label, names):
    predicted = probs.argmax()
    caption = f"{names[predicted]}: {probs[predicted]:.2f}"
    return caption if label in (None, predicted) else f"{caption}\nis {names[label]}"
