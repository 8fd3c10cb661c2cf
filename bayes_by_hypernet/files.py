"""Files that are whole or absent: atomic writes, room on the disk, reading what may be damaged.

A file is written beside its place, under a name that begins with `.partial-`, and moved there when
it is complete. So a reader sees the old file or the new one, and a full disk damages neither.
"""

import contextlib
import errno
import io
import json
import os
import pathlib
import secrets
import shutil
import zipfile

import numpy as np

PARTIAL = ".partial-"  # begins the name of what is being written
SLACK = 64 * 1024  # bytes: what a file system needs besides the contents

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than the limit on the size of files (ulimit -f)",
}
_READ_ONLY = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
}
_GONE = {
    errno.ENOENT: "its folder is gone",
    errno.ENOTDIR: "its folder is gone",
    errno.ESTALE: "its folder is gone",
}


class StorageError(OSError):
    """A file can't be written; the message is a sentence with the path and what to do."""


class DamagedFileError(ValueError):
    """A file holds something else than it should; the message names it and says what to do."""


def write_bytes(path, data: bytes):
    """Writes a file so that `path` is at any time the old file, the whole new one, or absent.

    Args:
        path: Of the file; its folder must exist.
        data: The contents.

    Raises:
        StorageError: If there is no room, or the file can't be written.
    """
    path = pathlib.Path(os.path.realpath(path))  # a link stays one
    with writing(path, len(data)), _partial(path) as temporary:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def write_text(path, text: str):
    """Writes text as UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path, contents):
    """Writes `contents` as JSON; see `write_bytes`."""
    write_text(path, json.dumps(contents, indent=2) + "\n")


def write_arrays(path, arrays: dict, compressed: bool = False):
    """Writes a dict of arrays as an `.npz` file; see `write_bytes`."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    write_bytes(path, buffer.getbuffer())


@contextlib.contextmanager
def new_folder(path, mark, num_bytes=0):
    """Yields a folder to fill, and puts it in place of `path` when the block has ended well.

    Args:
        path: Of the folder; another one there, empty or one that holds `mark`, is deleted at the
            end.
        mark: Name of a file that every such folder holds.
        num_bytes: Least size of what will be written.

    Raises:
        StorageError: If there is no room, or `path` is a file or a folder of other things, or can't
            be written.
    """
    path = pathlib.Path(os.path.realpath(path))
    require_folder(path)
    with writing(path, num_bytes), _partial(path) as temporary:
        _check_replaceable(path, mark)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        with _partial(path) as old:
            if path.exists():
                os.rename(path, old)
            os.rename(temporary, path)


def _check_replaceable(path, mark):
    """Raises StorageError if `path` is a folder of other things than those that `mark` tells of."""
    if os.path.isdir(path) and any(path.iterdir()) and not (path / mark).exists():
        raise StorageError(
            f"{os.fspath(path)!r} holds other files, which would be deleted: it has no {mark!r}. "
            "Choose another folder, or delete what is there."
        )


@contextlib.contextmanager
def _partial(path):
    """Yields a new path beside `path`, and deletes in the end what is left there."""
    temporary = path.with_name(f"{PARTIAL}{secrets.token_hex(4)}-{path.name}"[:200])
    try:
        yield temporary
    finally:
        remove(temporary)


def remove_partial(folder):
    """Deletes what killed processes left half-written in a folder; nobody else may write there."""
    for path in pathlib.Path(folder).glob(f"{PARTIAL}*"):
        remove(path)


def remove(path):
    """Deletes a file or a folder as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def writing(path, num_bytes=0):
    """Turns what goes wrong while a block writes `path` into a `StorageError`.

    Args:
        path: What is written.
        num_bytes: How many bytes that takes, or at least takes; they must be free before it begins.
    """
    try:
        check_room(path, num_bytes)
        yield
    except StorageError:
        raise
    except Exception as error:  # an OSError, or one of TensorFlow's that says the same
        number = _number(error)
        if number is None:
            raise
        raise StorageError(_sentence(path, number, num_bytes, error)) from error


def check_room(path, num_bytes: int):
    """Raises StorageError unless the disk of `path` has `num_bytes` free."""
    folder = pathlib.Path(path)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if num_bytes and free_bytes(folder) < num_bytes + SLACK:
        raise StorageError(_sentence(path, errno.ENOSPC, num_bytes))


def free_bytes(folder):
    """Returns how many bytes this user may still write on the disk of a folder."""
    return shutil.disk_usage(folder).free


def require_folder(path):
    """Raises StorageError if something that is no folder lies at `path`; it may be absent."""
    path = pathlib.Path(path)
    if os.path.lexists(path) and not path.is_dir():
        raise StorageError(
            f"{os.fspath(path)!r} must be a folder and is a file. Move or delete it; the same "
            "command goes on."
        )


def require_file(path):
    """Raises StorageError if a folder lies at `path`, where a file belongs; it may be absent."""
    if pathlib.Path(path).is_dir():
        raise StorageError(
            f"{os.fspath(path)!r} must be a file and is a folder. Move or delete it; the same "
            "command goes on."
        )


def read_json(path, kind=dict):
    """Reads a JSON file.

    Args:
        path: Of the file.
        kind: Type that the contents must have.

    Returns:
        The contents.

    Raises:
        FileNotFoundError: If there is no file.
        DamagedFileError: If it is no JSON, or of another type.
    """
    path = pathlib.Path(path)
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged(path, error.strerror or error) from error
    except ValueError as error:  # no JSON, or no text
        raise damaged(path, "it is empty" if not path.stat().st_size else error) from error
    if not isinstance(contents, kind):
        found = type(contents).__name__
        raise damaged(path, f"it must hold a {kind.__name__} and holds a {found}")
    return contents


def read_arrays(path, names=()):
    """Reads an `.npz` file, whose zip format holds a checksum of each array.

    Args:
        path: Of the file.
        names: Of the arrays that it must hold.

    Returns:
        Dict of arrays, all that it holds.

    Raises:
        FileNotFoundError: If there is no file.
        DamagedFileError: If the file is damaged or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        # A TypeError: an `.npy` file, of which NumPy makes an array.
        reason = str(error).splitlines()[0] if str(error) else "it is empty"
        raise damaged(path, reason) from error
    missing = sorted(set(names) - set(arrays))
    if missing:
        raise damaged(path, f"it lacks {', '.join(missing)}")
    return arrays


def damaged(path, reason, advice="Delete it and run the command that made it again."):
    """Returns the `DamagedFileError` of a file."""
    return DamagedFileError(f"The file {os.fspath(path)!r} is damaged ({reason}). {advice}")


def _number(error):
    """Returns the `errno` of an error, of one of TensorFlow's by its words; None: it has none."""
    if isinstance(error, OSError):
        return error.errno
    # By name: data sets are rendered without TensorFlow, which takes seconds to import.
    if not any(kind.__name__ == "OpError" for kind in type(error).__mro__):
        return None
    numbers = [*_FULL, *_READ_ONLY, *_GONE]
    return next((number for number in numbers if os.strerror(number) in str(error)), None)


def _sentence(path, number, num_bytes, error=None):
    where = os.fspath(path)
    if number in _FULL:
        try:
            free = f", {free_bytes(_existing(path)):,} are free"
        except OSError:
            free = ""
        need = f": it needs {num_bytes:,} bytes{free}" if num_bytes else ""
        return (
            f"{where!r} can't be written, since {_FULL[number]}{need}. Nothing that was complete "
            "is lost. Make room; the same command goes on."
        )
    if number in _READ_ONLY:
        return (
            f"{where!r} can't be written, since {_READ_ONLY[number]}. Make it writable, or choose "
            "another folder."
        )
    if number in _GONE:
        return (
            f"{where!r} can't be written, since {_GONE[number]}. Make the folder, or choose "
            "another one; the same command goes on with what is there."
        )
    return f"{where!r} can't be written ({os.strerror(number)})."


def _existing(path):
    path = pathlib.Path(path)
    return next(folder for folder in [path, *path.absolute().parents] if folder.exists())
