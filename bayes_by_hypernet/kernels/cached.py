"""The library in the cache folder: loaded, or compiled once by the first process that wants it.

Beside `<library>.so` there can be `<library>.lock`, which one process at a time holds to compile,
and `<library>.failed.txt`, what the compiler said; while that is there, nobody tries again.

A library runs as the user who loads it. So one that other users could have written is refused; the
library in the package's folder is as safe as the Python files beside it.
"""

import contextlib
import logging
import time

import tensorflow as tf

from bayes_by_hypernet import cache
from bayes_by_hypernet.kernels import build, ownership

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger(__name__)


class LibraryError(Exception):
    """A library that cannot be had; the message is why, in sentences.

    Attributes:
        built_for: TensorFlow version of a library that was found and does not fit, or None.
        failure_note: `pathlib.Path` of the file with the compiler's output, or None.
    """

    def __init__(self, reason, built_for=None, failure_note=None):
        super().__init__(reason)
        self.built_for = built_for
        self.failure_note = failure_note


def library_name():
    """Returns the file name of the library that fits this TensorFlow, machine and sources."""
    flags = tf.sysconfig.get_compile_flags()
    return build.library_name(tf.__version__, flags, build.SOURCE_DIRECTORY)


def folder():
    """Returns the folder of compiled libraries as a `pathlib.Path`.

    Raises:
        LibraryError: If the cache folder is below a home folder that nobody knows.
    """
    try:
        return cache.cache_dir() / "ops"
    except RuntimeError as error:
        hint = f"Set {cache.ENVIRONMENT_VARIABLE} to a folder that can be written."
        raise LibraryError(f"There is no cache folder ({error}). {hint}") from error


def load_file(path):
    """Returns the module of a library's operations.

    Raises:
        LibraryError: If the file is damaged, or TensorFlow cannot load it.
    """
    try:
        if not build.is_intact(path):
            raise LibraryError(f"The library {path} is damaged: its checksum is wrong.")
        return tf.load_op_library(str(path))
    except (OSError, RuntimeError, tf.errors.OpError) as error:
        raise LibraryError(f"The library {path} cannot be loaded ({error}).") from error


def load():
    """Loads the cached library; compiles it first where it is missing or damaged.

    Returns:
        Its path, and the module of its operations.

    Raises:
        LibraryError: If there is no compiler, or it fails or failed before, or the folder cannot
            be written, or other users can write the library or its folder.
    """
    path = folder() / library_name()
    with _explaining_os_errors(path.parent):
        _refuse_untrusted(path)
        damage = ""
        if path.exists():
            try:
                return path, load_file(path)
            except LibraryError as error:
                damage = f"{error} "
                logger.warning("%s", error)
        try:
            _refuse_after_failure(path)
            compiler = _compiler()
            with _locked(path):
                return path, _load_or_compile(path, compiler)
        except LibraryError as error:
            raise LibraryError(f"{damage}{error}", failure_note=error.failure_note) from error


def rebuild():
    """Deletes the cached library and the note of a failure, and compiles; loads nothing.

    Returns:
        The library's path.

    Raises:
        LibraryError: If there is no compiler, or it fails, or the folder cannot be written, or
            other users can write it.
    """
    path = folder() / library_name()
    compiler = _compiler()
    with _explaining_os_errors(path.parent), _locked(path):
        path.unlink(missing_ok=True)
        _failure_note(path).unlink(missing_ok=True)
        _compile(path, compiler)
    return path


def _load_or_compile(path, compiler):
    """For the holder of the lock: the one before it may have compiled, or failed, already."""
    _refuse_untrusted(path)
    if path.exists():
        try:
            return load_file(path)
        except LibraryError:
            path.unlink()
    _refuse_after_failure(path)
    _compile(path, compiler)
    try:
        return load_file(path)
    except LibraryError as error:  # the next process would compile the same
        path.unlink()
        raise _failure(path, str(error), str(error)) from error


def _compile(path, compiler):
    logger.warning(
        "Compiling C++ operations for TensorFlow %s into %s; this happens once and takes 20 to 40 "
        "seconds. To avoid it: BBH_CPP_OPS=tensorflow, or `pip install --no-build-isolation`.",
        tf.__version__,
        path,
    )
    start = time.monotonic()
    compile_flags, link_flags = tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags()
    try:
        build.compile_library(path, compile_flags, link_flags, compiler, build.SOURCE_DIRECTORY)
    except build.BuildError as error:
        raise _failure(path, "Compiling failed.", f"{error.command}\n{error.output}") from error
    logger.info("Compiled in %.0f seconds.", time.monotonic() - start)


def _failure(path, reason, output):
    """Writes the note that keeps others from trying again; returns the error that names it."""
    note = _failure_note(path)
    note.write_text(f"Delete this file to have {path.name} compiled again.\n\n{output}\n")
    return LibraryError(f"{reason} See {note}; delete it to try again.", failure_note=note)


def _failure_note(path):
    return path.with_suffix(".failed.txt")


def _refuse_after_failure(path):
    note = _failure_note(path)
    if note.exists():
        reason = f"Compiling failed before. See {note}; delete it to try again."
        raise LibraryError(reason, failure_note=note)


def _compiler():
    compiler = build.find_compiler()
    if compiler is None:
        raise LibraryError("No C++ compiler was found: $CXX, or if not set c++, g++ or clang++.")
    if fcntl is None:
        raise LibraryError("On this operating system the library is not compiled.")
    return compiler


def _refuse_untrusted(path):
    reason = ownership.why_untrusted(path)
    if reason:
        raise LibraryError(
            f"The library {path} is not used, since other users could have written it: {reason}. "
            f"Mend that, or set {cache.ENVIRONMENT_VARIABLE} to a folder that only you can write."
        )


@contextlib.contextmanager
def _locked(path):
    """Holds the library's lock, waiting for whoever has it; the system releases a dead one's."""
    _refuse_untrusted(path.parent)
    cache.make_folder(path.parent)
    with path.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("Another process compiles %s; waiting for it.", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _explaining_os_errors(directory):
    try:
        yield
    except OSError as error:
        raise LibraryError(
            f"The cache folder {directory} cannot be used ({error}). Set "
            f"{cache.ENVIRONMENT_VARIABLE} to a folder that can be written."
        ) from error
