"""Two processes on one folder: the second refuses or waits, and a dead one's lock is void."""

import json
import os
import subprocess
import sys
import threading

import pytest

from bayes_by_hypernet.paper import run_lock
from bayes_by_hypernet.paper.run_lock import HOLDER_FILE, LOCK_FILE, LockedError, RunLock

HOLDER = """
import filelock, sys, time
with filelock.FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of the folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / LOCK_FILE)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def _write_holder(folder, host, seconds_ago=0):
    path = folder / HOLDER_FILE
    path.write_text(json.dumps({"host": host, "pid": 123, "since": "yesterday"}))
    time = path.stat().st_mtime - seconds_ago
    os.utime(path, (time, time))


def test_the_second_is_refused_by_host_and_pid_and_a_dead_ones_lock_is_void(tmp_path, other):
    _write_holder(tmp_path, "node7")
    with pytest.raises(LockedError, match="in use by process 123 on node7 since yesterday"):
        RunLock(tmp_path).__enter__()
    _write_holder(tmp_path, run_lock.socket.gethostname())
    other.kill()
    other.wait()
    with RunLock(tmp_path):
        assert json.loads((tmp_path / HOLDER_FILE).read_text())["pid"] == os.getpid()
    assert not (tmp_path / HOLDER_FILE).exists()


def test_the_second_can_wait(tmp_path, other, monkeypatch, caplog):
    monkeypatch.setattr(run_lock, "_WAIT_SECONDS", 0.1)
    timer = threading.Timer(0.5, other.kill)
    timer.start()
    with RunLock(tmp_path, wait=True):
        assert other.wait() != 0
    assert "in use" in caplog.text


def test_where_hosts_do_not_see_each_others_locks_the_heartbeat_decides(tmp_path):
    _write_holder(tmp_path, "node7")
    with pytest.raises(LockedError, match="node7"):
        RunLock(tmp_path).__enter__()
    _write_holder(tmp_path, "node7", seconds_ago=run_lock.STALE_SECONDS + 1)
    with RunLock(tmp_path):
        pass
