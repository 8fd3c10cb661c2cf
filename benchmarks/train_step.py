"""Times a training step, for every method and architecture of the paper's tables.

    python benchmarks/train_step.py --json=benchmarks/train_step.json
    python benchmarks/train_step.py --network=resnet32 --json=benchmarks/train_step_resnet32.json

Each row runs in a process of its own, in turns with what it is compared with there:

- input: making the batch, augmentation included, while no step runs;
- map: the step of MAP, whose ratio the tables show; for MAP itself Keras's `fit`, same model;
- formula: the same step of BbH with Eq. 2 written out and prior samples from `tf.random.normal`;
- plain: the same with Keras's own Adam too;
- limit: the bytes that must move (every parameter is read once forward, then it and Adam's two
  moments are read and written) over the bandwidth that NumPy reaches, in turns with the steps.

For LeNet a last process times `fit` of `bayesify(lenet())`, the same model as that of the row with
independent noise and d = 1, with `FusedAdam` and with Keras's Adam, in turns with the loop's step.

Batches of 100 random images. Of an ensemble one member's step. Memory is the peak of the process
over that of TensorFlow with a MAP model, beside parameters and moments. Idle machines only.
"""

import argparse
import functools
import gc
import json
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import measure
import numpy as np
import tensorflow as tf

from bayes_by_hypernet.data.examples import Examples
from bayes_by_hypernet.models import bayesify
from bayes_by_hypernet.paper import configuration, methods, networks, protocols
from bayes_by_hypernet.paper.tables.paper import DATA, PAPER_ROWS
from bayes_by_hypernet.paper.tables.runs import rows_of
from bayes_by_hypernet.training import FusedAdam, TrainConfig, Trainer


def parse_arguments():
    labels = [*(row.label for row in PAPER_ROWS), FIT]
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog="Rows: " + "; ".join(labels)
    )
    parser.add_argument(
        "--network", default="lenet", choices=DATA, help="whose rows: lenet, or resnet32 (Table 4)"
    )
    parser.add_argument("--rows", default="", help="only rows whose label contains this")
    parser.add_argument("--repetitions", type=int, default=7, help="at most, after a warm-up")
    parser.add_argument("--steps", type=int, default=5, help="steps of one repetition")
    parser.add_argument("--hidden_units", type=int, nargs="+", help="of the hypernetworks")
    parser.add_argument("--json", help="also write the numbers to this file")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)  # label and protocol
    return parser.parse_args()


FIT = "BbH, bayesify in fit"  # label of the rows that are no paper's
FIT_ROW = "BbH, independent noise, d = 1"  # the paper's row that `fit` is compared with
FIT_STEPS = 20  # at least, since every call of `fit` also opens and closes its data
MAX_SECONDS = 90  # after which a row begins no other repetition
INPUT_FACTOR = 20  # many batches, beside which those that were prefetched do not count


class PlainAdam(keras.optimizers.Adam):
    """Keras's own Adam as `Trainer` calls an optimiser."""

    matmul = multiply = None
    updates_locally = True

    def apply_local(self, gradients, variables):
        self.apply(gradients, variables)


def plain_kl(samples, key):
    """Eq. 2 written out, on all weights joined."""
    del key
    joined = tf.concat([tf.reshape(s, (s.shape[0], -1)) for s in samples], axis=1)
    return measure.plain_formula(joined, tf.random.normal(joined.shape))


def examples(config):
    rng = np.random.default_rng(0)
    count = 100 * protocols.BATCH_SIZE
    images = rng.random((count, *config.pipeline.image_shape), np.float32)
    num_classes = config.make_network().build().output_shape[-1]
    return Examples(images, rng.integers(0, num_classes, count))


def make_config(row, protocol, hidden_units=None):
    settings = row.settings(protocol)
    if hidden_units and "hidden_units" in settings:
        settings["hidden_units"] = tuple(hidden_units)
    return configuration.resolve(
        row.network, method=row.method, dataset="embedded", protocol=protocol, **settings
    )[0]


def make_trainer(config, optimizer=FusedAdam, kl=None):
    method = config.make_method()
    member = next(iter(method.members.values()))
    if kl:
        for wrapper in member.generators:
            wrapper.posterior.kl_estimator = kl
    # Long enough for every repetition; a step far from the start has no annealing left.
    plan = TrainConfig(10**6, config.batch_size, config.seed, 0, 0)
    make_optimizer = functools.partial(
        optimizer, config.learning_rate, epsilon=protocols.ADAM_EPSILON
    )
    return Trainer(
        member,
        method.likelihood,
        make_optimizer,
        examples(config),
        plan,
        tempfile.gettempdir(),
        tf.distribute.get_strategy(),
        pipeline=config.pipeline,
    )


def make_step(trainer, steps):
    """Returns a function that runs `steps` training steps."""
    batches = iter(trainer.batches(0))
    return lambda: trainer.run_steps(batches, tf.constant(steps, tf.int64)).numpy()


def make_input(trainer, steps):
    """Returns a function that makes the batches of many times `steps` steps and nothing else."""
    batches = iter(trainer.batches(0))
    return lambda: [next(batches) for _ in range(INPUT_FACTOR * steps)]


def make_keras_fit(config, steps):
    """Returns a function that fits MAP's Keras model for `steps` steps, weight decay included."""
    model = config.make_method().members[""].body
    data = examples(config)
    decay = 0.5 / len(data.labels)
    kernels = [v for v in model.trainable_variables if v.path.endswith("kernel")]

    def loss(labels, logits):
        nll = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return nll + decay * sum(tf.reduce_sum(tf.square(v.value)) for v in kernels)

    model.compile(keras.optimizers.Adam(config.learning_rate), loss)
    batches = fit_batches(config, data, steps)
    return lambda: model.fit(batches, verbose=0)


def fit_batches(config, data, steps):
    """Returns a dataset of `steps` batches for `fit`."""
    count = steps * config.batch_size
    images = config.pipeline.inputs(data.images[:count])
    return tf.data.Dataset.from_tensor_slices((images, data.labels[:count])).batch(
        config.batch_size
    )


def make_bayesian_fit(config, optimizer, steps):
    """Returns a function that fits `bayesify(lenet())` for `steps` steps."""
    data = examples(config)
    model = bayesify(
        networks.lenet(),
        num_train_examples=len(data.labels),
        keep_dropout=False,
        architecture=config.options["architecture"],
        noise=config.options["noise"],
        noise_dim=config.options["noise_dim"],
        hidden_units=config.options["hidden_units"],
        num_samples=config.options["num_kl_samples"],
        max_parameters=methods.MAX_PARAMETERS,
        verbose=False,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(config.learning_rate, epsilon=protocols.ADAM_EPSILON), loss)
    batches = fit_batches(config, data, steps)
    return lambda: model.fit(batches, verbose=0)


FITS = {"fit, FusedAdam": FusedAdam, "fit, keras.optimizers.Adam": keras.optimizers.Adam}


def measure_fits(steps, repetitions, hidden_units):
    """Returns the seconds per step of the loop and of each of `FITS`, by name."""
    row = next(row for row in rows_of("lenet") if row.label == FIT_ROW)
    config = make_config(row, "quick", hidden_units)
    steps = max(steps, FIT_STEPS)
    variants = {"loop": make_step(make_trainer(config), steps)}
    for name, optimizer in FITS.items():
        variants[name] = make_bayesian_fit(config, optimizer, steps)
    seconds = measure.in_turns(variants, repetitions, MAX_SECONDS)
    return {name: [s / steps for s in values] for name, values in seconds.items()}


def fit_cells(fits):
    """Returns the rows of the table of `measure_fits`."""
    medians = {name: measure.milliseconds(values)[0] for name, values in fits.items()}
    return [
        [name, f"{medians[name]:.1f}", measure.milliseconds(fits[name])[1], f"{ratio:.2f}"]
        for name, ratio in ((name, ms / medians["loop"]) for name, ms in medians.items())
    ]


FIT_HEADER = ["bayesify(lenet())", "ms per step", "quartiles", "ratio to the loop"]


def measure_row(row, protocol, steps, repetitions, hidden_units):
    """Returns the numbers of one row."""
    config = make_config(row, protocol, hidden_units)
    baseline = next(other for other in rows_of(row.network) if other.method == "map")
    reference = make_step(make_trainer(make_config(baseline, protocol)), steps)
    reference()
    gc.collect()
    made = []

    def first_steps():
        made.append(make_trainer(config))
        made.append(make_step(made[0], steps))
        made[1]()

    peak = measure.peak_memory(first_steps)
    trainer, ours = made
    variants = {"ours": ours, "input": make_input(trainer, steps)}
    if row is baseline:
        variants["map"] = make_keras_fit(config, steps)
    else:
        variants["map"] = reference
    if row.method == "bbh":
        variants["formula"] = make_step(make_trainer(config, kl=plain_kl), steps)
        variants["plain"] = make_step(make_trainer(config, PlainAdam, plain_kl), steps)
    variants["memory"] = measure.MemoryPass()
    seconds = measure.in_turns(variants, repetitions, MAX_SECONDS)
    memory = seconds.pop("memory")
    seconds = {name: [s / steps for s in values] for name, values in seconds.items()}
    seconds["input"] = [s / INPUT_FACTOR for s in seconds["input"]]
    bandwidth = measure.bandwidth(memory)
    parameter_bytes = 4 * trainer.model.num_parameters
    return {
        **config.flat(),
        "label": row.label,
        "ms_per_step": measure.milliseconds(seconds["ours"])[0],
        "seconds": seconds,
        "bandwidth": bandwidth,
        "limit_ms": 1000 * 7 * parameter_bytes / bandwidth,
        "parameters_and_moments": 3 * parameter_bytes,
        "peak_bytes": peak,
    }


def cells(entry):
    median, quartiles = measure.milliseconds(entry["seconds"]["ours"])
    others = {name: measure.milliseconds(s)[0] for name, s in entry["seconds"].items()}
    limit = entry["limit_ms"]
    return [
        entry["label"] + (" (paper: all weights)" if entry["protocol"] == "paper" else ""),
        f"{median:.1f}",
        quartiles,
        f"{others['input']:.1f}",
        f"{others['map']:.1f}",
        f"{median / others['map']:.2f}",
        *(
            f"{median / others[name]:.2f}" if name in others else ""
            for name in ("formula", "plain")
        ),
        f"{limit:.1f}",
        f"{median / limit:.2f}",
        f"{entry['bandwidth'] / 1e9:.0f}",
        f"{entry['parameters_and_moments'] / 1e9:.2f}",
        "" if entry["peak_bytes"] is None else f"{entry['peak_bytes'] / 1e9:.2f}",
    ]


HEADER = (
    "Row;ms per step;quartiles;its batch [ms];map or fit [ms];ratio;ratio to formula;"
    "ratio to plain;limit [ms];ratio to limit;GB/s;parameters + moments [GB];peak [GB]"
).split(";")


def in_child(label, protocol, arguments):
    """Measures a row in a process of its own."""
    options = ["--child", label, protocol]
    options += [f"--repetitions={arguments.repetitions}", f"--steps={arguments.steps}"]
    if arguments.hidden_units:
        options += ["--hidden_units", *arguments.hidden_units]
    return measure.in_child(__file__, *options)


def main():
    arguments = parse_arguments()
    if arguments.child:
        label, protocol = arguments.child
        settings = (arguments.steps, arguments.repetitions, arguments.hidden_units)
        if label == FIT:
            print(json.dumps(measure_fits(*settings)))
            return
        row = next(row for row in PAPER_ROWS if row.label == label)
        print(json.dumps(measure_row(row, protocol, *settings)))
        return
    entries = []
    for row in rows_of(arguments.network):
        if arguments.rows not in row.label:
            continue
        # The protocols differ in the step's cost only where they differ in its settings.
        same = row.settings("quick") == row.settings("paper")
        for protocol in ["quick"] if same else ["quick", "paper"]:
            started = time.perf_counter()
            entries.append(in_child(row.label, protocol, arguments))
            seconds = time.perf_counter() - started
            print(f"{row.label}: {entries[-1]['ms_per_step']:.1f} ms ({seconds:.0f} s)", flush=True)
    title = f"Training step on {DATA[arguments.network].title}, batches of 100 images: medians"
    tables = [measure.show(title, HEADER, map(cells, entries))] if entries else []
    fits = {}
    if arguments.network == "lenet" and arguments.rows in FIT:
        fits = in_child(FIT, "quick", arguments)
        title = "Training step of LeNet with layer-wise hypernetworks, in the loop and in fit"
        tables.append(measure.show(title, FIT_HEADER, fit_cells(fits)))
    measure.write(arguments.json, tables, steps=entries, fits=fits)


if __name__ == "__main__":
    main()
