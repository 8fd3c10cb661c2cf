"""The lock of a folder: two processes that would write there do not meet."""

import datetime
import logging
import os
import pathlib
import secrets
import socket
import threading
import time

import filelock

from bayes_by_hypernet import files

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock.json"  # who holds it: host, pid, since
HEARTBEAT_SECONDS = 30
STALE_SECONDS = 120  # without a heartbeat a holder on another host is taken for dead
_WAIT_SECONDS = 2


class LockedError(ValueError):
    """Another process writes to the folder."""


class RunLock:
    """Holds a folder while its block runs.

    The operating system frees the lock of a process that dies. Some network file systems do not
    show one host's lock to another: there the holder's heartbeat decides, the time of a file's
    last change.

    Args:
        folder: The folder.
        wait: Whether to wait for another process to end; else LockedError names it.
    """

    def __init__(self, folder, wait=False):
        self._folder = pathlib.Path(folder)
        self._wait = wait
        self._path = self._folder / LOCK_FILE
        self._holder_path = self._folder / HOLDER_FILE
        self._lock = filelock.FileLock(self._path, thread_local=False)
        self._over = threading.Event()

    def __enter__(self):
        said = False
        while (holder := self._try()) is not None:
            text = f"The folder {os.fspath(self._folder)!r} is in use by {holder}."
            if not self._wait:
                raise LockedError(
                    f"{text} Wait for its end (--wait does), stop it, or pass another --workdir."
                )
            if not said:
                logger.warning("%s Waiting for its end.", text)
            said = True
            time.sleep(_WAIT_SECONDS)
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
        files.write_json(self._holder_path, holder)
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._over.set()
        files.remove(self._holder_path)
        self._lock.release()

    def _try(self):
        """Takes the lock; returns None, or in words who else has it."""
        try:
            with files.writing(self._path):
                self._lock.acquire(timeout=0)
        except filelock.Timeout:
            return self._words(self._holder()) or "another process"
        holder = self._holder()
        if holder is None:
            return None
        elsewhere = holder.get("host") != socket.gethostname()
        if elsewhere and self._age() < STALE_SECONDS:
            self._lock.release()
            return self._words(holder)
        logger.info("The lock of %s is void: that process is gone.", self._words(holder))
        return None

    def _holder(self):
        try:
            return files.read_json(self._holder_path)
        except (FileNotFoundError, files.DamagedFileError):
            return None

    def _words(self, holder):
        if holder is None:
            return None
        host, pid, since = (holder.get(name, "?") for name in ("host", "pid", "since"))
        return f"process {pid} on {host} since {since} (last sign of life {self._age():.0f} s ago)"

    def _age(self):
        """Seconds since the last heartbeat, by the clock of the file system."""
        probe = self._folder / f"{files.PARTIAL}{secrets.token_hex(4)}"
        try:
            probe.touch()
            return max(0.0, probe.stat().st_mtime - self._holder_path.stat().st_mtime)
        except OSError:
            return 0.0
        finally:
            files.remove(probe)

    def _beat(self):
        while not self._over.wait(HEARTBEAT_SECONDS):
            try:
                os.utime(self._holder_path)
            except OSError:  # the folder is gone: the next write says so
                return
