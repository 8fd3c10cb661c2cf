"""Trains LeNet on MNIST with a method of the paper and prints its row of Tables 1 to 3.

python launch/mnist.py --method=bbh
python launch/mnist.py --flagfile=flags/mnist/table3_bbh_quick.flags
"""

import logging
import sys

import run_flags
from absl import app, flags

from bayes_by_hypernet import configuration, data, experiment, figures, tables, training

flags.adopt_module_key_flags(run_flags)
logger = logging.getLogger("bayes_by_hypernet")

DATASET = flags.DEFINE_enum(
    "dataset",
    "auto",
    data.NAMES,
    "auto: MNIST where it is or can be had, else the embedded set of rendered digits.",
)
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of TensorFlow Datasets, for MNIST; default: TFDS_DATA_DIR."
)
NOTMNIST_DIR = flags.DEFINE_string(
    "notmnist_dir", None, "Folder of notMNIST's IDX files; default: BBH_NOTMNIST_DIR."
)


def say_what_runs(config, reason):
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
            "--protocol=quick trains 8 epochs, --protocol=paper the paper's 100."
        )


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(argv[1:])}")
    run_flags.start_logging()
    try:
        strategy = training.make_strategy(run_flags.STRATEGY.value)
        config, reason = configuration.resolve(
            "lenet",
            dataset=DATASET.value,
            data_dir=DATA_DIR.value,
            notmnist_dir=NOTMNIST_DIR.value,
            **run_flags.settings(),
        )
        say_what_runs(config, reason)
        workdir = run_flags.WORKDIR.value or run_flags.default_workdir(config)
        results = experiment.run(
            config,
            lambda: data.load(config.dataset, DATA_DIR.value, NOTMNIST_DIR.value),
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
        sys.exit("Interrupted. The same command goes on with the run.")
    if results:
        print(tables.run_summary(results))
        logger.info("Figure: %s", figures.entropy_cdf(workdir))
        logger.info("In a notebook: bayes_by_hypernet.load(%r)", workdir)


if __name__ == "__main__":
    app.run(main)
