"""CIFAR-5: the first five classes of CIFAR-10 (Krizhevsky, 2009), the other five as outliers."""

from bayes_by_hypernet.data.examples import Examples
from bayes_by_hypernet.data.prepared import PreparedSet

NAME = "cifar5"
OUTLIER_NAME = "cifar5_others"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer")
NUM_CLASSES = len(CLASS_NAMES)
PREPARED = PreparedSet(
    "CIFAR-10",
    "cifar10",
    "3.0.2",
    {"train": 50000, "test": 10000},
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "162 MB",
)


def load(data_dir=None):
    """Reads the prepared CIFAR-10.

    Args:
        data_dir: Folder of TFDS's prepared sets, which may be read-only; see `data_folder`.

    Returns:
        25,000 images for training and 5,000 for testing, as `Examples`, and the images of the
        5,000 outliers, all in the stored order.

    Raises:
        ValueError: If the prepared files are damaged.
    """
    train, test = (PREPARED.read(split, data_dir) for split in PREPARED.num_examples)
    outliers = test.images[test.labels >= NUM_CLASSES]
    return _first_classes(train), _first_classes(test), outliers


def _first_classes(examples):
    first = examples.labels < NUM_CLASSES
    return Examples(examples.images[first], examples.labels[first])
