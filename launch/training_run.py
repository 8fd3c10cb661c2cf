"""What launchers of training share: from flags to a run, its row and its figures."""

import functools
import logging
import pathlib

import console
import data_flags
import run_flags
from absl import app

from bayes_by_hypernet import files, training
from bayes_by_hypernet.paper import configuration, experiment, figures, tables

logger = logging.getLogger("bayes_by_hypernet")


def main(argv, network):
    """Trains a network as the flags say, prints the results and draws the entropies.

    Args:
        argv: What absl left of the command line.
        network: Name of the network.
    """
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    console.start_logging()
    with console.ending() as stop:
        _run(network, stop)


def _run(network, stop):
    strategy = training.make_strategy(run_flags.STRATEGY.value, 60 * run_flags.WORKER_MINUTES.value)
    with training.workers_of(strategy).telling():
        config, reason = configuration.resolve(
            network, **run_flags.settings(), **data_flags.data_dirs()
        )
        _say_what_runs(config, reason)
        load_data = functools.cache(lambda: data_flags.load(config))
        workdir = run_flags.WORKDIR.value or run_flags.default_workdir(config)
        results = experiment.run(
            config,
            load_data,
            workdir,
            strategy,
            run_flags.OVERWRITE.value,
            run_flags.STEPS_PER_CALL.value,
            run_flags.CHECKPOINT_MINUTES.value,
            reason,
            run_flags.WAIT.value,
            stop,
        )
    if results:
        print(tables.run_summary(results))
        _draw(workdir, load_data)
        logger.info("In a notebook: bayes_by_hypernet.load(%r)", workdir)


def _draw(workdir, load_data):
    """Draws the figures that are not there; what cannot be drawn is told and fails nothing."""
    drawings = {
        "entropy_cdf": lambda: figures.entropy_cdf(workdir),
        # Of a finished run the data are not loaded for a figure that is there.
        "examples": lambda: figures.extreme_examples(workdir, load_data()),
    }
    for name, draw in drawings.items():
        path = pathlib.Path(workdir, "figures", f"{name}.png")
        try:
            there = path.exists() and path.stat().st_size
            logger.info("Figure: %s", path if there else draw())
        except (FileNotFoundError, files.StorageError, files.DamagedFileError) as error:
            logger.warning("The figure %s is not drawn: %s", path, error)


def _say_what_runs(config, reason):
    """Says which data and protocol were chosen where the user did not, and how to choose others."""
    if reason:
        logger.warning("%s\n%s\n%s", "=" * 80, reason, "=" * 80)
    logger.info(
        "%s on %s (outliers: %s), %s protocol: %d epochs, %s",
        config.method,
        config.dataset,
        config.outlier_dataset,
        config.protocol,
        config.epochs,
        config.options,
    )
    if not run_flags.PROTOCOL.value and config.protocol == "demo":
        logger.warning(
            "The demo protocol is the default on the embedded set and without a GPU. "
            "--protocol=quick trains longer, --protocol=paper as long as the paper."
        )
