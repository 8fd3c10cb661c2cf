"""Times LeNet's prediction of 10,000 images with 100 posterior samples, for every method.

    python benchmarks/predict.py --json=benchmarks/predict.json
    python benchmarks/predict.py --methods map bbh_layerwise --num_images=1000

Ours draws the samples and averages probabilities and entropies, as launchers do. In turns with it:

- model(x): what one writes without it. For each sample the Keras model's call of each batch, whose
  layers draw anew; for BbH a draw of one weight sample, then its logits for each batch. All
  probabilities are collected and averaged;
- map passes: as many passes of MAP's Keras model over the images, in a `tf.function`.

Of these two at most five passes are timed, and scaled. MAP has one sample, an ensemble ten.
`limit` is the most that ours may take, in map passes. Drawing is timed apart, too. Batches of 1,000
random images, weights as initialised. Medians; idle machines only.

A second table times what a server does: one image, warm calls of `bbh.predict` and of the
SavedModel that `bbh.export` wrote, in turns; and eight threads that call `bbh.predict` at once,
whose answers are compared with those of one thread.
"""

import argparse
import concurrent.futures
import gc
import tempfile
import time

import measure
import numpy as np
import tensorflow as tf

import bayes_by_hypernet as bbh
from bayes_by_hypernet import metrics, randomness
from bayes_by_hypernet.paper import methods, networks
from bayes_by_hypernet.paper.posterior import Posterior
from bayes_by_hypernet.prediction import Predictor, sufficient_samples

BATCH_SIZE = 1000
MAX_PASSES = 5  # of a peer that are timed
KEY = randomness.seed_key(1)
# Name to method, its settings, and the target.
CASES = {
    "map": ("map", {}, None),
    "dropout": ("dropout", {}, None),
    "ensemble": ("ensemble", {}, None),
    "bbb": ("bbb", {}, 2.6),
    "mnf": ("mnf", {}, 2.6),
    "bbh_layerwise": ("bbh", {"architecture": "layerwise"}, 1.2),
    "bbh_sliced": ("bbh", {"architecture": "sliced"}, 1.2),
    "bbh_single": ("bbh", {"architecture": "single"}, 1.2),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=CASES,
        default=list(CASES),
        metavar="NAME",
        help=f"of: {', '.join(CASES)}",
    )
    parser.add_argument(
        "--calls",
        nargs="*",
        choices=CASES,
        default=["dropout", "bbb", "bbh_layerwise"],
        metavar="NAME",
        help="methods of the second table",
    )
    parser.add_argument("--num_samples", type=int, default=100)
    parser.add_argument("--num_images", type=int, default=10_000)
    parser.add_argument("--hidden_units", type=int, nargs="+", help="of the hypernetworks")
    parser.add_argument("--repetitions", type=int, default=2, help="of each, after a short warm-up")
    parser.add_argument("--json", help="also write the numbers to this file")
    return parser.parse_args()


def make_method(name, **options):
    cls = methods.get(name)
    return cls(networks.LENET, cls.Options(**options))


def by_hand(method, batches, num_passes):
    """Predicts with `num_passes` samples as one would without `bbh.predict`."""
    probs = []
    for i in range(num_passes):
        model = _one_sample(method, i)
        probs.append(np.concatenate([tf.nn.softmax(model(batch)) for batch in batches]))
    mean = np.mean(probs, axis=0)
    information = metrics.predictive_entropy(mean)
    information -= np.mean([metrics.predictive_entropy(one) for one in probs], axis=0)
    return mean, information


def _one_sample(method, index):
    """Returns a function from images to logits."""
    members = list(method.members.values())
    model = members[index % len(members)]
    if not model.generators:
        return lambda images: model(images, training=False)
    posterior = Posterior(method, config=None)
    weights = {name: weight[0] for name, weight in posterior.sample(1).items()}
    return lambda images: posterior.logits(images, weights)


def time_case(case, images, batches, map_pass, arguments):
    """Returns what the JSON file says of one method."""
    name, options, limit = CASES[case]
    if name == "bbh" and arguments.hidden_units:
        options = {**options, "hidden_units": tuple(arguments.hidden_units)}
    method = make_method(name, **options)
    sampler = method.sampler
    num_samples = sufficient_samples(sampler, arguments.num_samples)
    num_passes = min(num_samples, MAX_PASSES)
    predictor, draw = Predictor(sampler), tf.function(sampler.draw)

    def ours():
        moments, _ = predictor(images, num_samples, KEY, BATCH_SIZE)
        return predictor.likelihood.prediction(moments)

    def draw_all():
        draws = draw(tf.constant(num_samples), KEY)
        return [weights[0].numpy() for weights in draws.values()]

    def map_passes():
        for _ in range(num_passes):
            map_pass()

    predictor(images[: 2 * BATCH_SIZE], 1, KEY, BATCH_SIZE)  # traces, as the others do below
    by_hand(method, batches[:1], 1)
    draw_all()
    variants = {
        "ours": ours,
        "drawing": draw_all,
        "model(x)": lambda: by_hand(method, batches, num_passes),
        "map passes": map_passes,
    }
    seconds = measure.in_turns(variants, arguments.repetitions, warm_up=False)
    for peer in ("model(x)", "map passes"):
        seconds[peer] = [value * num_samples / num_passes for value in seconds[peer]]
    return {"case": case, "num_samples": num_samples, "limit": limit, "seconds": seconds}


def cells(entry):
    medians = {name: measure.milliseconds(s)[0] / 1000 for name, s in entry["seconds"].items()}
    ours = medians["ours"]
    return [
        entry["case"],
        entry["num_samples"],
        *(f"{medians[name]:.2f}" for name in ("ours", "drawing", "model(x)")),
        f"{medians['model(x)'] / ours:.2f}",
        f"{medians['map passes']:.2f}",
        f"{ours / medians['map passes']:.2f}",
        entry["limit"] or "",
    ]


HEADER = [
    "Method",
    "samples",
    "ours [s]",
    "drawing [s]",
    "model(x) [s]",
    "model(x) / ours",
    "map passes [s]",
    "ours / map passes",
    "limit",
]


NUM_THREADS = 8
NUM_CALLS = 16  # of one image, by one thread and by eight


def time_calls(case, image, arguments):
    """Returns the seconds of single calls, and what eight threads reach."""
    name, options, _ = CASES[case]
    if name == "bbh" and arguments.hidden_units:
        options = {**options, "hidden_units": tuple(arguments.hidden_units)}
    posterior = Posterior(make_method(name, **options), config=None)
    num_samples = arguments.num_samples

    def ours(seed=None):
        return bbh.predict(posterior, image, num_samples, seed=seed, verbose=0).mean

    with tempfile.TemporaryDirectory() as folder:
        served = tf.saved_model.load(bbh.export(posterior, folder))
        count = tf.constant(num_samples)
        variants = {
            "predict": ours,
            "served": lambda: served.serve(image, num_samples=count)["mean"].numpy(),
        }
        seconds = measure.in_turns(variants, max(arguments.repetitions, NUM_REPETITIONS))
    started = time.perf_counter()
    alone = [ours(seed) for seed in range(NUM_CALLS)]
    seconds["one thread"] = time.perf_counter() - started
    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(NUM_THREADS) as pool:
        together = list(pool.map(ours, range(NUM_CALLS)))
    seconds["threads"] = time.perf_counter() - started
    difference = max(float(np.abs(a - b).max()) for a, b in zip(alone, together, strict=True))
    return {
        "case": case,
        "num_samples": num_samples,
        "seconds": seconds,
        "largest_difference": difference,
    }


NUM_REPETITIONS = 7  # of single calls, which are short


def call_cells(entry):
    seconds = entry["seconds"]
    ours, served = (measure.milliseconds(seconds[name])[0] for name in ("predict", "served"))
    ratios = np.divide(seconds["predict"], seconds["served"])
    return [
        entry["case"],
        entry["num_samples"],
        f"{ours:.0f}",
        f"{served:.0f}",
        f"{ours / served:.2f}",
        f"{np.median(ratios):.2f}",
        f"{NUM_CALLS / seconds['one thread']:.1f}",
        f"{NUM_CALLS / seconds['threads']:.1f}",
        f"{entry['largest_difference']:.0e}",
    ]


CALLS_HEADER = [
    "Method",
    "samples",
    "bbh.predict [ms]",
    "served [ms]",
    "ratio",
    "median of pairs",
    "calls/s, 1 thread",
    f"calls/s, {NUM_THREADS} threads",
    "largest difference",
]


def main():
    arguments = parse_arguments()
    rng = np.random.default_rng(0)
    model = make_method("map").members[""]
    images = rng.random((arguments.num_images, *model.input_shape[1:]), np.float32)
    batches = [tf.constant(images[i : i + BATCH_SIZE]) for i in range(0, len(images), BATCH_SIZE)]
    forward = tf.function(model)

    def map_pass():
        for batch in batches:
            logits = forward(batch)
        return logits.numpy()

    map_pass()
    entries = []
    for case in arguments.methods:
        entries.append(time_case(case, images, batches, map_pass, arguments))
        print(
            f"{case}: {measure.milliseconds(entries[-1]['seconds']['ours'])[0]:.0f} ms", flush=True
        )
        gc.collect()
    title = f"Prediction of {len(images):,} images: medians"
    tables = [measure.show(title, HEADER, map(cells, entries))]
    calls = [time_calls(case, images[:1], arguments) for case in arguments.calls]
    title = "Warm calls for one image, and what eight threads reach"
    tables.append(measure.show(title, CALLS_HEADER, map(call_cells, calls)))
    measure.write(arguments.json, tables, num_images=len(images), predictions=entries, calls=calls)


if __name__ == "__main__":
    main()
