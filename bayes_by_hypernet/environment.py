"""What this process runs on: cores, processor and accelerators, versions of packages."""

import hashlib
import os
import pathlib
import platform
from importlib import metadata

import tensorflow as tf

PACKAGES = (
    "bayes-by-hypernet",
    "tensorflow",
    "keras",
    "tensorflow-probability",
    "tensorflow-datasets",
    "numpy",
)


def num_cores() -> int:
    """Returns the logical cores that this process may use, in some containers not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware() -> str:
    """Returns a sentence about this machine: processor, logical cores, accelerators."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            processor = next(line for line in lines if line.startswith("model name"))
        processor = processor.split(":", 1)[1].strip()
    except (OSError, StopIteration):  # Not Linux, or a processor without a name.
        pass
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return ", ".join([f"{processor}, {num_cores()} cores", *gpus])


def available_memory() -> int | None:
    """Returns the bytes of memory that are free for this process; None if unknown."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            free = next(line for line in lines if line.startswith("MemAvailable:"))
        available = 1024 * int(free.split()[1])
    except (OSError, StopIteration, ValueError):  # Not Linux.
        return None
    try:  # A container may have less than the machine.
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit:
            with open("/sys/fs/cgroup/memory.current", encoding="ascii") as used:
                return min(available, int(limit.read()) - int(used.read()))
    except (OSError, ValueError):
        return available


def versions() -> dict[str, str | None]:
    """Returns the versions of Python and of the packages that decide a run's numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # Run from a checkout that is not installed.
            found[package] = None
    return found


def code_fingerprint() -> str:
    """Returns 16 hexadecimal digits that depend on every source file of the package."""
    folder, digest = pathlib.Path(__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".cc", ".h"):
            digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
