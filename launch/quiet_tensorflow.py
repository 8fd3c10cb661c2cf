"""Imported before TensorFlow, which else fills the screen with its own messages."""

import os
import pathlib
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Control-C while TensorFlow is imported ends a launcher without a traceback.
is_launcher = pathlib.Path(sys.argv[0]).resolve().parent == pathlib.Path(__file__).resolve().parent
if is_launcher and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
