"""What launchers of training share: from flags to a run, its row and its figures."""

import functools
import logging
import pathlib
import sys

import console
import data_flags
import run_flags
from absl import app

from bayes_by_hypernet import training
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
    try:
        strategy = training.make_strategy(run_flags.STRATEGY.value)
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
            fallback_reason=reason,
        )
    except (ValueError, OSError, *training.ERRORS) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. Rerun the command to resume.")
    if results:
        print(tables.run_summary(results))
        logger.info("Figure: %s", figures.entropy_cdf(workdir))
        # Of a finished run neither is the figure drawn again nor are the data loaded for it.
        if not pathlib.Path(workdir, "figures", "examples.png").exists():
            logger.info("Figure: %s", figures.extreme_examples(workdir, load_data()))
        logger.info("In a notebook: bayes_by_hypernet.load(%r)", workdir)


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
