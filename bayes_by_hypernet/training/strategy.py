"""The distribution strategy of a run."""

import os
import signal
import threading

import tensorflow as tf

from bayes_by_hypernet import environment
from bayes_by_hypernet.checks import check_choice
from bayes_by_hypernet.training import tf_config
from bayes_by_hypernet.training.workers import WAIT_SECONDS, Workers, register, workers_of

STRATEGIES = ("auto", "one", "mirrored", "multiworker")


def make_strategy(name: str = "auto", wait_seconds: float = WAIT_SECONDS) -> tf.distribute.Strategy:
    """Returns the `tf.distribute.Strategy` called `name`.

    Args:
        name: `"one"`: a single device; `"mirrored"`: every GPU of this machine, or every logical
            CPU where there is no GPU; `"multiworker"`: the workers that TF_CONFIG names (call
            this before TensorFlow runs anything); `"auto"`: multiworker where TF_CONFIG is set,
            mirrored where there are several GPUs, else one.
        wait_seconds: How long to wait for the other workers.

    Raises:
        ValueError: If TF_CONFIG is needed and missing, or wrong; see `tf_config.read`.
        WorkersError: If a worker is missing or differs in its versions, code or number of GPUs.
    """
    check_choice("strategy", name, STRATEGIES)
    if name == "auto":
        several = len(tf.config.list_physical_devices("GPU")) > 1
        name = "mirrored" if several else "one"
        if os.environ.get("TF_CONFIG"):
            name = "multiworker"
    if name == "multiworker":
        return _multiworker(os.environ.get("TF_CONFIG"), wait_seconds)
    if name == "mirrored":
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        return tf.distribute.MirroredStrategy(
            [device.name for device in tf.config.list_logical_devices(kind)]
        )
    return tf.distribute.get_strategy()


def _multiworker(text, wait_seconds):
    if not text:
        raise ValueError(
            "strategy='multiworker' needs the environment variable TF_CONFIG, which names the "
            "workers and this one's index. Received: TF_CONFIG is not set"
        )
    workers = Workers(tf_config.read(text), wait_seconds)
    with workers.telling():
        workers.compare(
            {
                **environment.versions(),
                "the package's code": environment.code_fingerprint(),
                "the number of GPUs": len(tf.config.list_physical_devices("GPU")),
            }
        )
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    if threading.current_thread() is threading.main_thread():
        # TensorFlow has taken SIGTERM for its own notices of preemption; give it back to Python.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    register(strategy, workers)
    return strategy


def wait_for_all(strategy):
    """Returns when every worker has called it; one that leaves early looks like a crash."""
    workers_of(strategy).wait()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes checkpoints, logs and results (the first worker does)."""
    return workers_of(strategy).is_chief
