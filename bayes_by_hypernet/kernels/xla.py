"""Whether a trace is for XLA, which cannot compile the C++ operations."""

import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # TensorFlow has no public way to ask


def inside_xla() -> bool:
    """Whether the graph that is being traced is for XLA."""
    graph = tf.compat.v1.get_default_graph()
    return control_flow_util.GraphOrParentsInXlaContext(graph)
