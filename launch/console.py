"""What launchers show of what goes on."""

import logging

from absl import logging as absl_logging


def start_logging():
    """Shows what the package says, and of TensorFlow's and TFDS's own messages only warnings."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    logger = logging.getLogger("bayes_by_hypernet")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
