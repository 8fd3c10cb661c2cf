"""IDX files: the format of MNIST and notMNIST, one array of unsigned bytes a file."""

import gzip
import hashlib
import math
import pathlib
import zlib

import numpy as np

_UNSIGNED_BYTE = 0x08
_MAX_BYTES = 2**28  # MNIST has 47 million; a small compressed file can hold any number


def find(folder, name):
    """Returns the path of `name` in `folder`, plain or with `.gz`; None where neither is there."""
    for candidate in (name, f"{name}.gz"):
        path = pathlib.Path(folder) / candidate
        if path.is_file():
            return path
    return None


def read(path, sha256=None):
    """Reads an IDX file.

    Args:
        path: `pathlib.Path` of the file; compressed where it ends in `.gz`.
        sha256: String or None. The checksum in hexadecimal that the uncompressed file must have.

    Returns:
        Array of uint8 of the shape that the file's header names.

    Raises:
        ValueError: If the file is damaged, of another format, or not the one of the checksum.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            with gzip.open(path) as file:
                content = file.read(_MAX_BYTES + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"The file {path} is not a whole gzip file: {error}") from error
    if len(content) > _MAX_BYTES:
        raise ValueError(f"The file {path} must hold at most {_MAX_BYTES:,} bytes, uncompressed.")
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(
            f"The file {path} is damaged or another one: its uncompressed content must have the "
            f"SHA-256 checksum {sha256}. Received: {found}"
        )
    return _parse(content, path)


def _parse(content, path):
    """Header: two zero bytes, the type, the rank; then each dimension as a big-endian int32."""
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _UNSIGNED_BYTE:
        raise ValueError(
            f"The file {path} must be an IDX file of unsigned bytes, whose first bytes are "
            f"00 00 08. Received: {magic[:3].hex(' ')}"
        )
    header_size = 4 + 4 * magic[3]
    if len(content) < header_size:
        raise ValueError(
            f"The file {path} must have a header of {header_size} bytes. "
            f"Received: {len(content)} bytes in all"
        )
    shape = tuple(int(size) for size in np.frombuffer(content[4:header_size], ">u4"))
    if len(content) != header_size + math.prod(shape):
        raise ValueError(
            f"The file {path} must hold the {math.prod(shape)} bytes of the shape {shape} that "
            f"its header names. Received: {len(content) - header_size} bytes"
        )
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)
