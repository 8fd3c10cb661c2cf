"""Says whether the C++ operations are in use, and why: `python -m bayes_by_hypernet.kernels`.

With `--rebuild` it first recompiles the library in the cache folder, after a failure too.
"""

import argparse
import sys

from bayes_by_hypernet.kernels import build, cached, library


def main(arguments=None):
    """Prints what is active and why.

    Args:
        arguments: List of strings, the command line without the program; None: the process's own.

    Returns:
        The exit code: 0, or 1 where `--rebuild` was asked for and failed.

    Raises:
        SystemExit: With code 2, if an argument or `$BBH_CPP_OPS` is not allowed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bayes_by_hypernet.kernels", description=__doc__
    )
    parser.add_argument("--rebuild", action="store_true", help="recompile the cached library")
    rebuild = parser.parse_args(arguments).rebuild
    try:
        chosen = library.choice()
    except ValueError as error:
        parser.error(str(error))
    if rebuild:
        try:
            print(f"Compiled {cached.rebuild()}")
        except cached.LibraryError as error:
            print(error, file=sys.stderr)
            return 1
    print(_report(chosen))
    return 0


def _report(chosen):
    found = library.status()
    given = "" if library.variable_in_use() else " (not set)"
    rows = {
        "C++ operations": "active" if found.active else "not active: TensorFlow's are used",
        "Reason": found.reason,
        "Library": found.path or "none",
        "Instruction set": library.instruction_set() if found.active else "none",
        "TensorFlow": found.tensorflow_version,
        library.ENVIRONMENT_VARIABLE: chosen + given,
        "Cache folder": _cache_folder(),
        "Compiler": build.find_compiler() or "none found",
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _cache_folder():
    try:
        return cached.folder()
    except cached.LibraryError as error:
        return error


if __name__ == "__main__":
    sys.exit(main())
