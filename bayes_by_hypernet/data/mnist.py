"""MNIST (LeCun et al., 1998) through TensorFlow Datasets: 55,000 / 5,000 / 10,000 images."""

from bayes_by_hypernet.data.examples import Examples
from bayes_by_hypernet.data.prepared import PreparedSet

NAME = "mnist"
NUM_CLASSES = 10
NUM_VALIDATION = 5000
PREPARED = PreparedSet(
    "MNIST",
    "mnist",
    "3.0.1",
    {"train": 60000, "test": 10000},
    "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
    "11 MB",
)


def load(data_dir=None):
    """Reads the prepared MNIST.

    Args:
        data_dir: Folder of TFDS's prepared sets, which may be read-only; see `data_folder`.

    Returns:
        The splits train (`train[5000:]`), validation (`train[:5000]`) and test, as `Examples`.

    Raises:
        ValueError: If the prepared files are damaged.
    """
    train, test = (PREPARED.read(split, data_dir) for split in PREPARED.num_examples)
    validation = Examples(train.images[:NUM_VALIDATION], train.labels[:NUM_VALIDATION])
    train = Examples(train.images[NUM_VALIDATION:], train.labels[NUM_VALIDATION:])
    return train, validation, test
