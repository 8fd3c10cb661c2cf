"""The property that holds of every public function: an answer, or a sentence of this package."""

import re
import traceback
import warnings

import numpy as np
import tensorflow as tf

import bayes_by_hypernet as bbh

PACKAGE = bbh.__path__[0]
# Keras's own contract of a layer's inputs: it names the layer, what it expects and what it found.
KERAS = re.compile(
    r"Input \d+ (with name .* )?of layer .* is incompatible"
    r"|Only input tensors may be passed|Inputs to a layer should be tensors"
    r"|Layer .* expects \d+ input\(s\), but it received \d+ input tensors"
)


class Refused:
    """In place of an answer: the function raised an error that says why."""

    def __init__(self, error):
        self.error = error


def answer_of(call, names):
    """Returns what `call()` returns, or `Refused`; AssertionError where its error is no sentence.

    Args:
        call: Function without arguments.
        names: Names of arguments, one of which an error must name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except (ValueError, TypeError, tf.errors.InvalidArgumentError, OSError) as error:
        fault = fault_of(error, names)
        if fault:
            raise AssertionError(f"{fault}: {type(error).__name__}: {error}") from error
        return Refused(error)


def fault_of(error, names):
    """Returns what is wrong with an error, or None where it is a sentence of this package."""
    text = str(error)
    if KERAS.search(text):
        return None
    in_graph = isinstance(error, tf.errors.InvalidArgumentError)
    if not in_graph and text.startswith("in user code"):
        return "TensorFlow's report of a traced function"
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    # Keras's own checks of its arguments name them, too.
    if not in_graph and not innermost.startswith(PACKAGE) and "/keras/" not in innermost:
        return f"raised inside {innermost}"
    if not any(f"`{name}`" in text for name in names):
        return f"names none of {sorted(names)}"
    if "Received" not in text:
        return "does not say what came"
    return None


def numbers_in(answer):
    """Returns the arrays of numbers in an answer, at any depth."""
    if isinstance(answer, (bool, int, float, np.ndarray, np.generic)) or tf.is_tensor(answer):
        array = np.asarray(answer)
        return [array.astype(np.float64)] if array.dtype.kind not in "OUSM" else []
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, (list, tuple)):
        return [array for one in answer for array in numbers_in(one)]
    if hasattr(answer, "__dict__"):
        return numbers_in(vars(answer))
    return []
