"""Where data lies, and the data of a finished run."""

from absl import flags

from bayes_by_hypernet import data, networks

_FLAGS = [
    flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets, for MNIST and CIFAR-10; "
        "default: TFDS_DATA_DIR."),
    flags.DEFINE_string("notmnist_dir", None, "Folder of notMNIST's IDX files; default: "
        "BBH_NOTMNIST_DIR."),
]  # fmt: skip


def data_dirs():
    """Returns the folders by the names that `data.load` and `configuration.resolve` give them."""
    return {flag.name: flag.value for flag in _FLAGS}


def load(config):
    """Returns the `Dataset` that a configuration names."""
    real = networks.get(config.network).dataset
    return data.load(config.dataset, **data_dirs(), real=real)
