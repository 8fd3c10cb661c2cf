"""Which data set a name means on this machine, and loading it."""

import dataclasses
from typing import NamedTuple

from bayes_by_hypernet.data import embedded, mnist
from bayes_by_hypernet.data.examples import Dataset

NAMES = ("auto", "mnist", "embedded")


class Resolved(NamedTuple):
    """What a run will use: the names of both sets, and why they are not the ones hoped for."""

    name: str
    outlier_name: str
    fallback_reason: str | None


def resolve(name: str = "auto", data_dir=None, notmnist_dir=None) -> Resolved:
    """Finds out which data `load` will return, without loading it.

    Quick where the data is prepared or cannot be had. Where a server answers, data that is missing
    is downloaded and prepared here, so that the answer holds.

    Args:
        name: `"mnist"`, `"embedded"`, or `"auto"`: MNIST where it is prepared or can be had, else
            the embedded set. With MNIST but without notMNIST, rendered letters are the outliers.
        data_dir: Folder of TFDS's prepared sets, or None: `$TFDS_DATA_DIR`, else TFDS's default.
        notmnist_dir: Folder of notMNIST's IDX files, or None: see `notmnist.prepare`.

    Returns:
        `Resolved(name, outlier_name, fallback_reason)`.

    Raises:
        ValueError: If the name is unknown, or the files in a given `notmnist_dir` are damaged.
        FileNotFoundError: If `name` is `"mnist"` and MNIST cannot be had, or a given
            `notmnist_dir` does not hold the files.
    """
    if name not in NAMES:
        raise ValueError(
            f"Argument `name` must be one of {', '.join(NAMES)}. Received: name={name!r}"
        )
    if name == "embedded":
        return Resolved(embedded.NAME, embedded.OUTLIER_NAME, None)
    try:
        mnist.prepare(data_dir)
    except FileNotFoundError as error:
        if name == "mnist":
            hint = "To run on rendered digits instead: --dataset=embedded"
            raise FileNotFoundError(f"{error} {hint}") from error
        reason = f"Rendered digits and letters stand in for MNIST and notMNIST. {error}"
        return Resolved(embedded.NAME, embedded.OUTLIER_NAME, reason)
    from bayes_by_hypernet.data import notmnist  # imports TensorFlow Datasets

    try:
        notmnist.prepare(notmnist_dir)
    except (FileNotFoundError, ValueError) as error:
        if notmnist_dir:
            raise
        reason = f"Rendered letters stand in for notMNIST as outliers. {error}"
        return Resolved(mnist.NAME, embedded.OUTLIER_NAME, reason)
    return Resolved(mnist.NAME, notmnist.NAME, None)


def load(name: str = "auto", data_dir=None, notmnist_dir=None) -> Dataset:
    """Loads a data set with its outliers; arguments and errors are those of `resolve`.

    Returns:
        `Dataset` of 28x28x1 images: 55,000 for training, 5,000 for validation, 10,000 for testing,
        10,000 outliers.
    """
    resolved = resolve(name, data_dir, notmnist_dir)
    if resolved.name == embedded.NAME:
        return dataclasses.replace(embedded.load(), fallback_reason=resolved.fallback_reason)
    train, validation, test = mnist.load(data_dir)
    return Dataset(
        num_classes=mnist.NUM_CLASSES,
        train=train,
        validation=validation,
        test=test,
        outliers=_mnist_outliers(resolved.outlier_name),
        **resolved._asdict(),
    )


def _mnist_outliers(outlier_name):
    if outlier_name == embedded.OUTLIER_NAME:
        return embedded.load_letters()
    from bayes_by_hypernet.data import notmnist

    return notmnist.load().images
