"""Where data lies, and the data of a finished run."""

import quiet_tensorflow  # noqa: F401
from absl import flags

from bayes_by_hypernet import data
from bayes_by_hypernet.paper import networks

_FLAGS = [
    flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets, for MNIST and CIFAR-10; "
        "default: TFDS_DATA_DIR."),
    flags.DEFINE_string("notmnist_dir", None, "Folder of notMNIST's IDX files; default: "
        "BBH_NOTMNIST_DIR."),
]  # fmt: skip


def data_dirs():
    """Returns the folders by the names that `data.load` and `configuration.resolve` give them."""
    return {flag.name: flag.value for flag in _FLAGS}


def load(config, fingerprint=None):
    """Returns the `Dataset` that a configuration names.

    Args:
        config: `RunConfig`.
        fingerprint: That of the data of a finished run, or None.

    Raises:
        ValueError: If these are other data than the run's.
    """
    real = networks.get(config.network).dataset
    dataset = data.load(config.dataset, **data_dirs(), real=real)
    if fingerprint and fingerprint != (found := dataset.fingerprint()):
        raise ValueError(
            f"Argument `data_dir` must hold the run's data, with fingerprint {fingerprint}. "
            f"Received: data with fingerprint {found}"
        )
    return dataset
