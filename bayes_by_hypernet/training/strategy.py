"""The distribution strategy of a run."""

import os

import tensorflow as tf

from bayes_by_hypernet.checks import check_choice

STRATEGIES = ("auto", "one", "mirrored", "multiworker")


def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Returns the `tf.distribute.Strategy` called `name`.

    Args:
        name: `"one"`: a single device; `"mirrored"`: every GPU of this machine, or every logical
            CPU where there is no GPU; `"multiworker"`: the workers that TF_CONFIG names (call
            this before TensorFlow runs anything); `"auto"`: multiworker where TF_CONFIG is set,
            mirrored where there are several GPUs, else one.
    """
    check_choice("strategy", name, STRATEGIES)
    if name == "auto":
        several = len(tf.config.list_physical_devices("GPU")) > 1
        name = "mirrored" if several else "one"
        if os.environ.get("TF_CONFIG"):
            name = "multiworker"
    if name == "multiworker":
        if not os.environ.get("TF_CONFIG"):
            raise ValueError(
                "strategy='multiworker' needs the environment variable TF_CONFIG, which names the "
                "workers and this one's index. Received: TF_CONFIG is not set"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        return tf.distribute.MirroredStrategy(
            [device.name for device in tf.config.list_logical_devices(kind)]
        )
    return tf.distribute.get_strategy()


def wait_for_all(strategy):
    """Returns when every worker has called it; one that leaves early looks like a crash."""

    @tf.function
    def meet():
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.ones(()))

    strategy.run(meet)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes checkpoints, logs and results (the first worker does)."""
    resolver = strategy.cluster_resolver
    return resolver is None or not resolver.task_type or resolver.task_id == 0
