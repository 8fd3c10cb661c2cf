"""Predicts the time of a training step on 1 to 256 replicas, from constants measured elsewhere.

    python benchmarks/scaling_model.py            prints the tables of docs/scaling.md
    python benchmarks/scaling_model.py --update   also measures FLOPs, writes JSON file and page
    python benchmarks/scaling_model.py --measure  measures two processes too, on an idle machine

A step of every replica is the sum of

- generation and update: every parameter of the hypernetworks is read, and read and written with
  Adam's moments (28 bytes), or the time of the generator's products, whichever is longer;
- KL: a time per weight, of the C++ operation;
- likelihood: forward and backward pass of this replica's part of the batch;
- exchange: a ring all-reduce of the gradient for the weights that the likelihood saw.

Only the third shrinks with the number of replicas. Nothing overlaps.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import measure
import tensorflow as tf

from bayes_by_hypernet.posteriors.hypernet import count_parameters

FOLDER = pathlib.Path(__file__).parent
FILE = FOLDER / "scaling_model.json"
REPLICAS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LATENCY = 30e-6  # seconds of one message of the ring, TCP
LINKS = {"10 Gbit/s": 1.25e9, "25 Gbit/s": 3.125e9, "100 Gbit/s": 12.5e9, "NVLink": 450e9}
NUM_SAMPLES = 5  # of the KL; one of them is in the likelihood
BYTES_PER_PARAMETER = 28
CHUNK, EMBEDDING, HIDDEN = 4096, 64, (64, 256, 512)
BACKWARD = 3  # forward and backward pass, in forward passes


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, its hypernetworks, and a batch.

    Attributes:
        num_weights: Of the network.
        num_parameters: Of the hypernetworks.
        macs: Multiplications of a forward pass of one example.
        batch_size: Global.
        generator_macs: Multiplications for each weight of one sample.
    """

    num_weights: int
    num_parameters: int
    macs: float
    batch_size: int
    generator_macs: float


def _chunked_macs():
    widths = [1 + EMBEDDING, *HIDDEN, CHUNK]
    return sum(a * b for a, b in zip(widths, widths[1:], strict=False)) / CHUNK


def cases():
    """Returns the three cases by name."""
    counts = json.loads((FOLDER.parent / "docs" / "parameters.json").read_text())
    weights, lenet, resnet = 100 * 10**6, counts["LeNet"], counts["ResNet-50"]
    transformer = sum(count_parameters([(weights,)], architecture="chunked"))
    lenet_macs = 24 * 24 * 20 * 25 + 8 * 8 * 50 * 500 + 800 * 500 + 500 * 10
    # Layer-wise, one product for each weight and unit of the last hidden layer.
    per_weight = lenet["layer-wise"] / lenet["weights"]
    return {
        "LeNet, layer-wise": Case(
            lenet["weights"], lenet["layer-wise"], lenet_macs, 100, per_weight
        ),
        "ResNet-50, chunked": Case(
            resnet["weights"], resnet["chunked"], 4.09e9, 256, _chunked_macs()
        ),
        # 512 tokens of an example; every weight is used once for each.
        "transformer, chunked": Case(weights, transformer, 512 * weights, 256, _chunked_macs()),
    }


@dataclasses.dataclass(frozen=True)
class Machine:
    """What one replica runs on: bytes/s of memory, FLOP/s, seconds of the KL for each weight."""

    bandwidth: float
    flops: float
    kl_seconds: float


# Nominal, of a data sheet: 4.8 TB/s, 67 TFLOP/s in float32; the KL moves both samples twice.
ACCELERATOR = Machine(4.8e12, 67e12, 4 * 2 * NUM_SAMPLES * 4 / 4.8e12)


def step_parts(case, machine, replicas, link):
    """Returns the seconds of a step's parts, by name."""
    generation = 2 * BACKWARD * NUM_SAMPLES * case.num_weights * case.generator_macs
    moved = BYTES_PER_PARAMETER * case.num_parameters
    likelihood = 2 * BACKWARD * case.macs * case.batch_size / replicas
    exchanged = 4 * case.num_weights
    ring = 2 * (replicas - 1)
    return {
        "generation": max(moved / machine.bandwidth, generation / machine.flops),
        "KL": case.num_weights * machine.kl_seconds,
        "likelihood": likelihood / machine.flops,
        "exchange": ring * (exchanged / replicas / link + LATENCY),
    }


def efficiency(case, machine, replicas, link):
    """Returns the share of the ideal speed, that of one replica times their number."""
    alone = sum(step_parts(case, machine, 1, link).values())
    return alone / replicas / sum(step_parts(case, machine, replicas, link).values())


def limit(case, machine, link):
    """Returns the largest number of replicas, up to the batch size, with half the ideal speed."""
    numbers = [r for r in REPLICAS if r <= case.batch_size]
    return max(r for r in numbers if efficiency(case, machine, r, link) >= 0.5)


def measured_flops():
    """Returns what a product of two matrices in float32 gives at best, FLOP/s."""
    size = 2048
    matrix = tf.random.normal((size, size))
    seconds = measure.in_turns({"product": lambda: tf.matmul(matrix, matrix).numpy()}, 30)
    return 2 * size**3 / min(seconds["product"])


def two_processes():
    """Returns milliseconds of LeNet's step with one and with two processes, and the load."""
    launcher, found = FOLDER.parent / "launch" / "mnist.py", {"load": os.getloadavg()[0]}
    flags = ["--method=bbh", "--dataset=embedded", "--protocol=demo", "--epochs=2"]
    flags += ["--max_train_examples=3000", "--num_predictive_samples=1"]
    with tempfile.TemporaryDirectory() as folder:
        for number in (1, 2):
            addresses = [f"localhost:{23900 + index}" for index in range(number)]
            processes = []
            for index in range(number):
                task = {"type": "worker", "index": index}
                config = json.dumps({"cluster": {"worker": addresses}, "task": task})
                command = [sys.executable, launcher, *flags, f"--workdir={folder}/{number}"]
                environment = {**os.environ, "TF_CONFIG": config}
                processes.append(subprocess.Popen(command, env=environment))
            statuses = [process.wait() for process in processes]
            if any(statuses):
                sys.exit(f"A run on {number} workers failed: exit statuses {statuses}")
            results = json.loads(pathlib.Path(folder, str(number), "results.json").read_text())
            found[str(number)] = results["ms_per_step"]
    return found


def parts_rows(machines):
    for name, case in cases().items():
        for label, machine in machines.items():
            for replicas in (1, 16, 256):
                if replicas <= case.batch_size:
                    parts = step_parts(case, machine, replicas, LINKS["25 Gbit/s"])
                    cells = [f"{1000 * seconds:.3g}" for seconds in parts.values()]
                    total = 1000 * sum(parts.values())
                    yield [name, label, replicas, *cells, f"{total:.3g}"]


def efficiency_rows(machines):
    for name, case in cases().items():
        for label, machine in machines.items():
            for link_name, link in LINKS.items():
                shares = [
                    f"{100 * efficiency(case, machine, r, link):.0f}"
                    if r <= case.batch_size
                    else ""
                    for r in REPLICAS
                ]
                yield [name, label, link_name, *shares, limit(case, machine, link)]


def check_rows(cpu, scaling, processes):
    """Compares with what was measured: replicas that share memory and cores."""
    case, case_link = cases()["LeNet, layer-wise"], math.inf
    for line in scaling["replicas"]:
        number = line["num_replicas"]
        parts = step_parts(case, cpu, 1, case_link)
        shared = number * (parts["generation"] + parts["KL"]) + parts["likelihood"]
        median, _ = measure.milliseconds(line["seconds"]["step"])
        yield ["logical CPUs", number, f"{1000 * shared:.0f}", f"{median:.0f}"]
        if processes:
            yield ["processes", number, f"{1000 * shared:.0f}", f"{processes[str(number)]:.0f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write the JSON file")
    parser.add_argument("--measure", action="store_true", help="time one and two processes")
    parser.add_argument("--json", default=str(FILE), help="the file")
    arguments = parser.parse_args()
    before = json.loads(FILE.read_text()) if FILE.exists() else {}
    scaling = json.loads((FOLDER / "scaling.json").read_text())
    processes = two_processes() if arguments.measure else before.get("processes")
    flops = before.get("flops") or measured_flops()
    [kernel] = [
        line
        for line in scaling["kernel_kl"]
        if (line["num_weights"], line["num_samples"]) == (431_080, NUM_SAMPLES)
    ]
    seconds, _ = measure.milliseconds(kernel["seconds"]["op"])
    cpu = Machine(scaling["bandwidth"], flops, seconds / 1000 / kernel["num_weights"])
    machines = {"2 cores": cpu, "accelerator": ACCELERATOR}
    load = f", load {processes['load']:.1f} before" if processes else ""
    tables = [
        measure.show(
            "Milliseconds of a step's parts, exchange at 25 Gbit/s",
            ["network", "replica", "replicas", *step_parts(*_any(cpu)), "sum"],
            parts_rows(machines),
        ),
        measure.show(
            "Speed in percent of the ideal by the number of replicas, the last column at half",
            ["network", "replica", "link", *map(str, REPLICAS), "half"],
            efficiency_rows(machines),
        ),
        measure.show(
            f"LeNet's step on replicas that share this machine, predicted and measured{load}",
            ["replicas are", "number", "predicted [ms]", "measured [ms]"],
            check_rows(cpu, scaling, processes),
        ),
    ]
    if arguments.update or arguments.measure:
        constants = {"flops": flops, "bandwidth": cpu.bandwidth, "kl_seconds": cpu.kl_seconds}
        measure.write(arguments.json, tables, processes=processes, **constants)


def _any(machine):
    return next(iter(cases().values())), machine, 1, 1.0


if __name__ == "__main__":
    main()
