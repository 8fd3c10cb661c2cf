"""What every test shares: quiet TensorFlow, two CPU devices, seeds, data that may be missing."""

import os
import signal

# A shell's background jobs ignore the signal, and what they start does too; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before TensorFlow is imported; tests that start a process of their own inherit these.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["KERAS_BACKEND"] = "tensorflow"

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from bayes_by_hypernet.kernels import library

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"  # a convenience: the folder may be absent


def _configure_devices():
    """Two logical CPUs, so that a MirroredStrategy runs in this process; GPU memory as needed.

    Devices can be divided only before TensorFlow first uses them, hence here and not in a fixture.
    Everything that names no device runs on CPU:0 (or the GPU), as without it; only a
    `MirroredStrategy()` without arguments on a machine without a GPU sees two devices.
    """
    tiny.two_logical_cpus()
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


_configure_devices()


@pytest.fixture(autouse=True)
def _seeds_and_policy():
    """Seeds Python, NumPy and TensorFlow, and takes back a dtype policy that a test has set."""
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def two_cpu_devices():
    """The names of two CPU devices, for `tf.distribute.MirroredStrategy(two_cpu_devices)`."""
    return ["CPU:0", "CPU:1"]


@pytest.fixture(scope="session")
def cpp_operations():
    """The module of the C++ operations; skips the test where there are none, and says why.

    `test_library_of_this_package` fails where a compiler could make them.
    """
    module = library.load()
    if module is None:
        pytest.skip(f"no C++ operations: {library.status().reason}")
    return module


@pytest.fixture(scope="session")
def golden():
    """Arrays by key, computed with the TensorFlow 1 code of the paper's authors.

    Read from the file that BBH_GOLDEN names, else from `golden/golden.npz` in the folder `shared`
    beside the repository.
    """
    path = Path(os.environ.get("BBH_GOLDEN") or SHARED / "golden" / "golden.npz")
    if not path.is_file():
        pytest.skip(f"no golden values at {path}; the variable BBH_GOLDEN may name another file")
    with np.load(path) as arrays:
        return dict(arrays)


class RealData(NamedTuple):
    """Where MNIST (prepared by TFDS) and notMNIST (IDX files) lie."""

    data_dir: Path
    notmnist_dir: Path


@pytest.fixture(scope="session")
def real_data_dirs():
    """Folders that hold the real MNIST and notMNIST; skips the test where either is missing.

    Named by TFDS_DATA_DIR and BBH_NOTMNIST_DIR, else looked for in `data/tfds` and `data/notmnist`
    of the folder `shared` beside the repository.
    """
    data_dir = Path(os.environ.get("TFDS_DATA_DIR") or SHARED / "data" / "tfds")
    notmnist_dir = Path(os.environ.get("BBH_NOTMNIST_DIR") or SHARED / "data" / "notmnist")
    missing = []
    if not (data_dir / "mnist").is_dir():
        missing.append(f"MNIST prepared by TFDS under {data_dir} (TFDS_DATA_DIR)")
    if not list(notmnist_dir.glob("t10k-images-idx3-ubyte*")):
        missing.append(f"notMNIST's IDX files under {notmnist_dir} (BBH_NOTMNIST_DIR)")
    if missing:
        pytest.skip("missing: " + "; ".join(missing))
    return RealData(data_dir, notmnist_dir)
