"""The library of C++ operations: which is in use, or why there is none.

A library fits one version of TensorFlow, one machine architecture and the sources; its name says
which. It is looked for in this folder, where setup.py leaves it, then in the cache folder, where it
is compiled if it is missing.
"""

import dataclasses
import logging
import os
import pathlib
import platform
import threading
import warnings

import tensorflow as tf

from bayes_by_hypernet.kernels import build, cached

logger = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "BBH_CPP_OPS"
OLD_ENVIRONMENT_VARIABLE = "BBH_KERNEL_KL"  # deprecated; the operations also include Adam
CHOICES = ("auto", "custom_op", "tensorflow")
PACKAGE_FOLDER = pathlib.Path(__file__).resolve().parent

_lock = threading.Lock()
_found = None  # (module, Status) once this process has looked


@dataclasses.dataclass(frozen=True)
class Status:
    """Whether the C++ operations are in use, and why.

    Attributes:
        active: Whether they are loaded.
        reason: Sentences: where the library comes from, or why there is none.
        tensorflow_version: String.
        path: `pathlib.Path` of the library that is loaded, or None.
        built_for: TensorFlow version, as a string, of a library in the package folder that does
            not fit, or None.
        failure_note: `pathlib.Path` of the file with the output of a compilation that failed, or
            None. While it is there, nothing is compiled.
    """

    active: bool
    reason: str
    tensorflow_version: str
    path: pathlib.Path | None = None
    built_for: str | None = None
    failure_note: pathlib.Path | None = None


def choice() -> str:
    """Returns `$BBH_CPP_OPS`: `"auto"` where it is not set, `"custom_op"` or `"tensorflow"`.

    Its old name `BBH_KERNEL_KL` still works, with a DeprecationWarning.

    Raises:
        ValueError: If it is set to anything else.
    """
    name = variable_in_use()
    chosen = os.environ[name] if name else "auto"
    if chosen not in CHOICES:
        raise ValueError(
            f"Environment variable `{ENVIRONMENT_VARIABLE}` must be one of {', '.join(CHOICES)}. "
            f"Received: {name}={chosen!r}"
        )
    if name == OLD_ENVIRONMENT_VARIABLE:
        warnings.warn(
            f"The environment variable {OLD_ENVIRONMENT_VARIABLE} is now called "
            f"{ENVIRONMENT_VARIABLE}.",
            DeprecationWarning,
            stacklevel=2,
        )
    return chosen


def variable_in_use() -> str | None:
    """Returns the name of the environment variable that decides; None where none is set."""
    names = (ENVIRONMENT_VARIABLE, OLD_ENVIRONMENT_VARIABLE)
    return next((name for name in names if os.environ.get(name)), None)


def load():
    """Returns the module of the C++ operations, or None where TensorFlow's own are to be used.

    A process looks for the library once. Where none fits it is compiled, and a warning says so.

    Raises:
        ValueError: If `$BBH_CPP_OPS` is none of `CHOICES`.
        RuntimeError: If `$BBH_CPP_OPS` is `custom_op` and there is no library.
    """
    chosen = choice()
    if chosen == "tensorflow":
        return None
    return require() if chosen == "custom_op" else _find()[0]


def require():
    """Returns the module of the C++ operations.

    Raises:
        ValueError: If `$BBH_CPP_OPS` is none of `CHOICES`.
        RuntimeError: If there is no library, or `$BBH_CPP_OPS` is `tensorflow`; says why.
    """
    found = status()
    if not found.active:
        raise RuntimeError(
            f"There are no C++ operations, which were asked for by implementation='custom_op' or "
            f"{ENVIRONMENT_VARIABLE}=custom_op. {found.reason}"
        )
    return _find()[0]


def status() -> Status:
    """Returns what `load` comes to; looks for the library, and compiles it, as `load` does.

    Raises:
        ValueError: If `$BBH_CPP_OPS` is none of `CHOICES`.
    """
    if choice() == "tensorflow":
        return Status(False, f"{ENVIRONMENT_VARIABLE}=tensorflow wants none.", tf.__version__)
    return _find()[1]


def instruction_set() -> str | None:
    """Returns the instruction set that the C++ operations use here; None where there are none.

    Raises:
        ValueError, RuntimeError: As `load`.
    """
    module = load()
    if module is None:
        return None
    with tf.init_scope():  # a value, also where a graph is being built
        return module.bayes_by_hypernet_instruction_set().numpy().decode()


def _find():
    global _found
    with _lock:
        if _found is None:
            _found = _search()
            if _found[0] is None:
                logger.warning("TensorFlow's operations replace those in C++. %s", _found[1].reason)
        return _found


def _search():
    """Returns the module, None where there is no library, and its `Status`."""
    details = {"tensorflow_version": tf.__version__}
    problems = []
    for origin, load_from in (
        ("Compiled at installation.", _load_packaged),
        ("Compiled on first use.", cached.load),
    ):
        try:
            path, module = load_from()
        except cached.LibraryError as error:
            problems.append(str(error))
            details["built_for"] = error.built_for or details.get("built_for")
            details["failure_note"] = error.failure_note
            continue
        return module, Status(True, " ".join([origin, *problems]), path=path, **details)
    return None, Status(False, " ".join(problems), **details)


def _load_packaged():
    """Loads the library that setup.py left, like `cached.load`.

    Raises:
        LibraryError: If there is none that fits, or it cannot be loaded.
    """
    path = PACKAGE_FOLDER / cached.library_name()
    if path.exists():
        return path, cached.load_file(path)
    misfits = build.find_libraries(PACKAGE_FOLDER)
    if not misfits:
        raise cached.LibraryError("None was compiled at installation.")
    reasons = [f"{path} was {_difference(name)}." for path, name in misfits.items()]
    built_for = next(iter(misfits.values())).tensorflow_version
    raise cached.LibraryError(" ".join(reasons), built_for=built_for)


def _difference(name):
    """What keeps a library from being the one that fits."""
    if name.tensorflow_version != tf.__version__:
        return f"built for TensorFlow {name.tensorflow_version}, this is {tf.__version__}"
    if name.machine != platform.machine():
        return f"built for {name.machine}, this is {platform.machine()}"
    return "built from other sources or with other flags"
