"""Measures how training scales: with weights, samples, the hypernetworks' size, and replicas.

    python benchmarks/scaling.py --json=benchmarks/scaling.json

Three tables, of LeNet's layer-wise BbH and its kernel KL:

- the C++ operation, value and gradient with prior sampling, against the time in which memory moves
  what it must (the samples are read, their gradient is written);
- the training step by the size of the last hidden layer, to which the number of parameters is
  proportional, against the time in which memory moves each parameter (read once forward, then read
  and written with Adam's two moments);
- the step under `MirroredStrategy` on logical CPUs of this machine, in processes of their own, and
  the bytes that a replica hands to `all_reduce` in a step, recorded while the step is traced;
  beside them those of the hypernetworks' gradients, which are not exchanged. The replicas share
  the cores: this shows what they exchange, not that they are faster.

Memory's speed is measured in the same process, in turns with the steps. Batches of 100 random
images; medians; idle machines only.
"""

import argparse
import gc
import json

import kernel_kl
import measure
import tensorflow as tf
import train_step

from bayes_by_hypernet.paper import configuration

LENET = kernel_kl.LENET
NUM_KL_SAMPLES = 5
MAX_SECONDS = 5  # after which a line begins no other repetition
BYTES_PER_PARAMETER = 7 * 4


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = {"type": int, "metavar": "N"}
    sizes = [10**4, 10**5, LENET, 10**6, 10**7]
    counts = [2, 5, 10, 20, 50, 100]
    units = [32, 64, 128, 256, 512]
    parser.add_argument("--num_weights", nargs="*", default=sizes, help="at n = m = 5", **numbers)
    parser.add_argument("--num_samples", nargs="*", default=counts, help="n = m", **numbers)
    parser.add_argument(
        "--hidden_units", nargs="+", default=units, help="of the last hidden layer", **numbers
    )
    parser.add_argument("--replicas", nargs="*", default=[1, 2], **numbers)
    parser.add_argument("--repetitions", type=int, default=7, help="at most, after a warm-up")
    parser.add_argument("--steps", type=int, default=5, help="steps of one repetition")
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)  # number of replicas
    return parser.parse_args()


def make_config(last_units):
    config, _ = configuration.resolve(
        "lenet",
        method="bbh",
        dataset="embedded",
        protocol="quick",
        hidden_units=(64, 256, last_units),
        num_kl_samples=NUM_KL_SAMPLES,
    )
    return config


def time_kernel_kl(num_samples, num_weights, arguments):
    """Returns what the JSON file says of one line of the first table."""
    function = {"op": kernel_kl.VARIANTS["op"].compiled(num_samples)}
    line = kernel_kl.time_line(function, num_samples, num_weights, arguments.repetitions)
    return {**line, "moved_bytes": 2 * 4 * num_samples * num_weights}


def time_step(last_units, arguments):
    """Returns what the JSON file says of one line of the second table."""
    trainer = train_step.make_trainer(make_config(last_units))
    variants = {
        "step": train_step.make_step(trainer, arguments.steps),
        "memory": measure.MemoryPass(),
    }
    seconds = measure.in_turns(variants, arguments.repetitions, MAX_SECONDS)
    parameters = trainer.model.num_parameters
    return {
        "hidden_units": [64, 256, last_units],
        "num_parameters": parameters,
        "moved_bytes": BYTES_PER_PARAMETER * parameters,
        "bandwidth": measure.bandwidth(seconds["memory"]),
        "seconds": {"step": [value / arguments.steps for value in seconds["step"]]},
    }


def record_exchange():
    """Returns a list that gets the bytes of every tensor that a replica all-reduces, as traced."""
    exchanged, all_reduce = [], tf.distribute.ReplicaContext.all_reduce

    def recording(context, reduce_op, value, *args, **kwargs):
        tensors = tf.nest.flatten(value)
        exchanged.extend(tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors)
        return all_reduce(context, reduce_op, value, *args, **kwargs)

    tf.distribute.ReplicaContext.all_reduce = recording
    return exchanged


def time_replicas(num_replicas, last_units, arguments):
    """Returns what the JSON file says of one line of the third table; in a child."""
    [cpu] = tf.config.list_physical_devices("CPU")
    devices = num_replicas * [tf.config.LogicalDeviceConfiguration()]
    tf.config.set_logical_device_configuration(cpu, devices)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)])
    exchanged = record_exchange()
    with strategy.scope():
        line = time_step(last_units, arguments)
    return {
        **line,
        "num_replicas": num_replicas,
        "exchanged_bytes": sum(exchanged) // num_replicas,  # every replica is traced
        "gradient_bytes": 4 * line["num_parameters"],
    }


def kernel_kl_cells(line, bandwidth):
    median, _ = measure.milliseconds(line["seconds"]["op"])
    limit = 1000 * line["moved_bytes"] / bandwidth
    return [
        f"{line['num_weights']:,}",
        line["num_samples"],
        f"{median:.3g}",
        f"{1e6 * median / line['num_weights']:.3g}",
        f"{limit:.3g}",
        f"{median / limit:.1f}",
    ]


def step_cells(line):
    median, quartiles = measure.milliseconds(line["seconds"]["step"])
    limit = 1000 * line["moved_bytes"] / line["bandwidth"]
    return [
        line["hidden_units"][-1],
        f"{line['num_parameters']:,}",
        f"{median:.1f}",
        quartiles,
        f"{line['bandwidth'] / 1e9:.0f}",
        f"{limit:.1f}",
        f"{median / limit:.2f}",
    ]


def replica_cells(line):
    median, quartiles = measure.milliseconds(line["seconds"]["step"])
    return [
        line["num_replicas"],
        f"{median:.1f}",
        quartiles,
        f"{line['exchanged_bytes'] / 1e6:.2f}",
        f"{line['gradient_bytes'] / 1e6:.0f}",
        f"{line['gradient_bytes'] / line['exchanged_bytes']:.0f}",
    ]


def in_child(num_replicas, arguments):
    """Returns `time_replicas` for the largest hypernetworks, from a process of its own."""
    return measure.in_child(
        __file__,
        f"--child={num_replicas}",
        f"--hidden_units={max(arguments.hidden_units)}",
        f"--repetitions={arguments.repetitions}",
        f"--steps={arguments.steps}",
    )


def main():
    arguments = parse_arguments()
    if arguments.child:
        print(json.dumps(time_replicas(arguments.child, arguments.hidden_units[0], arguments)))
        return
    passes = measure.in_turns({"memory": measure.MemoryPass()}, arguments.repetitions)
    bandwidth = measure.bandwidth(passes["memory"])
    sizes = [(NUM_KL_SAMPLES, num_weights) for num_weights in arguments.num_weights]
    sizes += [(num_samples, LENET) for num_samples in arguments.num_samples]
    kernel_kls = [time_kernel_kl(*size, arguments) for size in dict.fromkeys(sizes)]
    kernel_kl_table = measure.show(
        f"Kernel KL, value and gradient; memory moves {bandwidth / 1e9:.1f} GB/s",
        ["weights", "n = m", "op [ms]", "ns per weight", "limit [ms]", "ratio"],
        [kernel_kl_cells(line, bandwidth) for line in kernel_kls],
    )
    steps = []
    for last_units in arguments.hidden_units:
        steps.append(time_step(last_units, arguments))
        gc.collect()  # gigabytes
    step_table = measure.show(
        f"Training step by the units of the last hidden layer, {NUM_KL_SAMPLES} weight samples",
        ["units", "parameters", "step [ms]", "quartiles", "GB/s", "limit [ms]", "ratio"],
        [step_cells(line) for line in steps],
    )
    replicas = [in_child(num_replicas, arguments) for num_replicas in arguments.replicas]
    replica_table = measure.show(
        f"Training step on replicas that share the cores, {max(arguments.hidden_units)} units",
        ["replicas", "step [ms]", "quartiles", "exchanged [MB]", "gradients [MB]", "ratio"],
        map(replica_cells, replicas),
    )
    measure.write(
        arguments.json,
        [kernel_kl_table, step_table, replica_table],
        bandwidth=bandwidth,
        kernel_kl=kernel_kls,
        steps=steps,
        replicas=replicas,
    )


if __name__ == "__main__":
    main()
