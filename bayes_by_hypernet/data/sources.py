"""Which data set a name means on this machine, and loading it."""

import dataclasses
from typing import NamedTuple

from bayes_by_hypernet.checks import check_choice
from bayes_by_hypernet.data import cifar5, embedded, embedded_colour, mnist
from bayes_by_hypernet.data.examples import Dataset

EMBEDDED = "embedded"


class Source(NamedTuple):
    """A real data set, and its replacement if it is not available."""

    real: object
    stand_in: object
    sentence: str


SOURCES = {
    mnist.NAME: Source(
        mnist, embedded, "Rendered digits and letters stand in for MNIST and notMNIST."
    ),
    cifar5.NAME: Source(cifar5, embedded_colour, "Rendered digits in colour stand in for CIFAR-5."),
}


class Resolved(NamedTuple):
    """What a run will use: the names of both sets, and why they are not the ones hoped for.

    Example:
        >>> bbh.data.resolve("embedded").fallback_reason is None
        True
    """

    name: str
    outlier_name: str
    fallback_reason: str | None


def resolve(
    name: str = "auto", data_dir=None, notmnist_dir=None, real: str = mnist.NAME
) -> Resolved:
    """Finds out which data `load` will return, without loading it.

    Quick where the data is prepared or cannot be had. Where a server answers, data that is missing
    is downloaded and prepared here, so that the answer holds.

    Args:
        name: `real`, `"embedded"`, or `"auto"`: `real` where it is prepared or can be had, else
            the embedded set. With MNIST but without notMNIST, rendered letters are the outliers.
        data_dir: Folder of TFDS's prepared sets, or None: `$TFDS_DATA_DIR`, else TFDS's default.
        notmnist_dir: Folder of notMNIST's IDX files, or None: see `notmnist.prepare`.
        real: `"mnist"` or `"cifar5"`.

    Returns:
        `Resolved(name, outlier_name, fallback_reason)`.

    Raises:
        ValueError: If the name is unknown, or the files in a given `notmnist_dir` are damaged.
        FileNotFoundError: If `name` is `real` and it cannot be had, or a given `notmnist_dir` does
            not hold the files.

    Example:
        >>> bbh.data.resolve("embedded")
        Resolved(name='embedded', outlier_name='embedded_letters', fallback_reason=None)
    """
    source = SOURCES[check_choice("real", real, tuple(SOURCES))]
    names = ("auto", real, EMBEDDED)
    check_choice("name", name, tuple(dict.fromkeys((*names, source.stand_in.NAME))))
    stand_in = (source.stand_in.NAME, source.stand_in.OUTLIER_NAME)
    if name in (EMBEDDED, source.stand_in.NAME):
        return Resolved(*stand_in, None)
    try:
        source.real.PREPARED.prepare(data_dir)
    except FileNotFoundError as error:
        if name == real:
            hint = "To run on rendered digits instead: --dataset=embedded"
            raise FileNotFoundError(f"{error} {hint}") from error
        return Resolved(*stand_in, f"{source.sentence} {error}")
    if real == cifar5.NAME:
        return Resolved(cifar5.NAME, cifar5.OUTLIER_NAME, None)
    from bayes_by_hypernet.data import notmnist  # imports TensorFlow Datasets

    try:
        notmnist.prepare(notmnist_dir)
    except (FileNotFoundError, ValueError) as error:
        if notmnist_dir:
            raise
        reason = f"Rendered letters stand in for notMNIST as outliers. {error}"
        return Resolved(mnist.NAME, embedded.OUTLIER_NAME, reason)
    return Resolved(mnist.NAME, notmnist.NAME, None)


def load(name: str = "auto", data_dir=None, notmnist_dir=None, real: str = mnist.NAME) -> Dataset:
    """Loads a data set with its outliers; arguments and errors are those of `resolve`.

    Returns:
        `Dataset`. MNIST and its stand-in: 28x28x1 images, 55,000 for training, 5,000 for
        validation, 10,000 for testing, 10,000 outliers. CIFAR-5 and its: 32x32x3 images, 25,000
        for training, none for validation, 5,000 for testing, 5,000 outliers.

    Example:
        >>> digits = bbh.data.load("embedded")  # doctest: +SKIP
        >>> digits.train.images.shape, digits.outliers.shape  # doctest: +SKIP
        ((55000, 28, 28, 1), (10000, 28, 28, 1))
    """
    resolved = resolve(name, data_dir, notmnist_dir, real)
    source = SOURCES[real]
    if resolved.name == source.stand_in.NAME:
        reason = resolved.fallback_reason
        return dataclasses.replace(source.stand_in.load(), fallback_reason=reason)
    if real == cifar5.NAME:
        train, test, outliers = cifar5.load(data_dir)
        validation = None
    else:
        train, validation, test = mnist.load(data_dir)
        outliers = _mnist_outliers(resolved.outlier_name)
    return Dataset(
        num_classes=source.real.NUM_CLASSES,
        train=train,
        validation=validation,
        test=test,
        outliers=outliers,
        **resolved._asdict(),
    )


def _mnist_outliers(outlier_name):
    if outlier_name == embedded.OUTLIER_NAME:
        return embedded.load_letters()
    from bayes_by_hypernet.data import notmnist

    return notmnist.load().images
