"""Shows how the weights of a run's first convolution are distributed (Figures 5 to 9).

python launch/posterior.py --run=runs/mnf,runs/bbh

A run's figures/ gets histograms of weights, the correlations and the standard deviations, its
folder the numbers as posterior.json. Figures of several runs side by side go to --figures.
"""

import logging
import pathlib
import sys

import console
from absl import app, flags

from bayes_by_hypernet import files, training
from bayes_by_hypernet.paper import figures, tables
from bayes_by_hypernet.paper.figures.posterior import KERNEL, KernelPosterior, posterior_figures
from bayes_by_hypernet.paper.schema import SCHEMA_VERSION

logger = logging.getLogger("bayes_by_hypernet")

RUN = flags.DEFINE_list("run", None, "Run directories.")
NUM_SAMPLES = flags.DEFINE_integer("num_samples", 1000, "Posterior samples.", 1)
NUM_WEIGHTS = flags.DEFINE_integer("num_weights", 25, "Weights that are shown one by one.", 1)
SEED = flags.DEFINE_integer("seed", 42, "Of the samples.", 0)
FIGURES = flags.DEFINE_string(
    "figures", None, "Folder of the figures of several runs; default: the first run's figures/."
)


def examine(directory):
    """Returns a run's `KernelPosterior`, after writing its figures and numbers."""
    run = KernelPosterior.of_run(directory, NUM_SAMPLES.value, SEED.value)
    contents = {
        "schema_version": SCHEMA_VERSION,
        "kernel": KERNEL,
        "seed": SEED.value,
        **run.statistics.summary(),
    }
    contents["weights"] = run.statistics.records(NUM_WEIGHTS.value)
    try:
        posterior_figures([run], directory / "figures", num_weights=NUM_WEIGHTS.value)
        files.write_json(directory / "posterior.json", contents)
    except files.StorageError as error:
        logger.warning("Of this run nothing is kept: %s", error)
    return run


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    console.start_logging()
    with console.ending("The same command does it again."):
        examine_runs()


def examine_runs():
    """Examines, draws and prints; ends the process with what failed."""
    examined, failures = {}, []
    for directory in map(pathlib.Path, RUN.value):
        try:
            examined[directory] = examine(directory)
        except (ValueError, OSError, *training.ERRORS) as error:
            failures.append(f"{directory}: {type(error).__name__}: {error}")
    runs = list(examined.values())
    labels = figures.distinct_labels([run.label for run in runs], examined)
    runs = [run._replace(label=label) for run, label in zip(runs, labels, strict=True)]
    if len(runs) > 1:
        folder = FIGURES.value or next(iter(examined)) / "figures"
        posterior_figures(runs, pathlib.Path(folder), "_compared", NUM_WEIGHTS.value)
    if runs:
        summaries = [(run.label, run.statistics.summary()) for run in runs]
        print(tables.format_table(*tables.posterior_table(summaries)))
    sys.exit("\n".join(failures) or None)


if __name__ == "__main__":
    flags.mark_flag_as_required("run")
    app.run(main)
