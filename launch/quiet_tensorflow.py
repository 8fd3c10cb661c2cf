"""Imported before TensorFlow, which else fills the screen with its own messages."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
