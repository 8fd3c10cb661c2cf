"""Signals as requests to stop: raised, deferred, ignored, and a second one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bayes_by_hypernet.training import Stopped, StopRequests

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_raises_and_the_old_handler_comes_back(number, request):
    old = signal.getsignal(number)
    request.addfinalizer(lambda: signal.signal(number, old))
    before = signal.SIG_DFL  # tests may run where the signal is ignored, as under nohup
    signal.signal(number, before)
    with pytest.raises(Stopped) as stopped, StopRequests() as stop:
        assert stop() is None
        os.kill(os.getpid(), number)
        time.sleep(10)
    assert stopped.value.signal == number and stopped.value.exit_status == 128 + number
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert signal.getsignal(number) == before


def test_a_deferred_request_is_raised_at_the_end_of_the_block():
    seen = []
    with pytest.raises(Stopped), StopRequests(grace_seconds=1000) as stop:
        with stop.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            seen.append(stop())
        seen.append("after")
    [request] = seen
    assert request.leaves(990) and not request.leaves(1001)


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequests() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
            assert stop() is None
    finally:
        signal.signal(signal.SIGHUP, before)


# Sleeps in a call that Python's handlers wait for, as they wait for TensorFlow's.
SCRIPT = """
import ctypes, sys
from bayes_by_hypernet.training import StopRequests
with StopRequests(grace_seconds=float(sys.argv[1])) as stop, stop.deferred():
    print("ready", flush=True)
    for _ in range(100):
        ctypes.CDLL(None).usleep(900_000)
"""


@pytest.mark.slow
def test_a_second_signal_and_the_end_of_the_grace_period_end_at_once():
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    for grace, again, said in (("1000", True, b"A second signal"), ("1", False, b"--grace_sec")):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, grace], **options)
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        if again:
            time.sleep(1.0)  # what comes within half a second is the same request
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        assert said in errors and b"Traceback" not in errors
