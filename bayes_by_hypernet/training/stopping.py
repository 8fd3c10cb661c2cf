"""Requests to stop: a signal ends the run after the step in flight, a second one at once."""

import contextlib
import os
import signal
import threading
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A closing terminal and a scheduler send a signal to a sweep and to its run, which gets the sweep's
# as well: what arrives within this many seconds of the first is the same request.
SAME_REQUEST_SECONDS = 0.5


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end.

    Attributes:
        signal: `signal.Signals`.
        deadline: `time.monotonic()` at which the process will be killed, or None: unknown.
    """

    def __init__(self, number, deadline=None):
        self.signal = signal.Signals(number)
        self.deadline = deadline
        interrupted = self.signal is signal.SIGINT
        super().__init__("Interrupted" if interrupted else f"Stopped by {self.signal.name}")

    @property
    def exit_status(self):
        """As a shell says it: 128 and the signal's number."""
        return 128 + self.signal

    def to_json(self):
        """Returns the signal's number and the seconds left, for another worker."""
        left = None if self.deadline is None else self.deadline - time.monotonic()
        return [int(self.signal), left]

    @classmethod
    def first(cls, requests):
        """Returns the first request among what `to_json` of several workers gave, or None.

        Args:
            requests: List, None where a worker has no request.
        """
        for number, left in filter(None, requests):
            return cls(number, None if left is None else time.monotonic() + left)
        return None

    def leaves(self, seconds):
        """Whether so many seconds are left before the deadline."""
        return self.deadline is None or time.monotonic() + seconds <= self.deadline


class StopRequests:
    """Turns signals into requests to stop, while its block runs.

    ```
    with StopRequests(grace_seconds=30) as stop, stop.deferred():
        trainer.run(stop=stop)
    ```

    The first signal raises `Stopped` in the main thread; within `deferred` it only makes a request,
    which `stop()` returns. A second one ends the process at once, also within a call into
    TensorFlow, and so does the end of the grace period, shortly before the kill. A signal that the
    process was started to ignore stays ignored: SIGINT in a shell's background job, SIGHUP under
    `nohup`.

    Args:
        signals: What is a request.
        grace_seconds: Seconds from the first signal to the kill that follows it. None: unknown.

    Raises:
        ValueError: If this is not the main thread, which alone can handle signals.
    """

    def __init__(self, signals=SIGNALS, grace_seconds: float | None = None):
        self._signals = signals
        self._grace_seconds = grace_seconds
        self._first = {}
        self._deferrals = 0
        self._raised = False
        self._at_once = []

    def __call__(self) -> Stopped | None:
        """Returns the request, or None."""
        return self._first.get("request")

    def __enter__(self):
        handled = [n for n in self._signals if signal.getsignal(n) is not signal.SIG_IGN]
        read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        # Python's handlers wait for the end of a call into TensorFlow; a thread does not.
        self._old_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, self._handle) for number in handled}
        threading.Thread(target=self._watch, args=(read_end,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        os.close(self._write_end)  # ends the thread

    @contextlib.contextmanager
    def deferred(self):
        """Within this block a request raises nothing; at its end it does."""
        self._deferrals += 1
        try:
            yield
        finally:
            self._deferrals -= 1
        if self():
            self._raise()

    @contextlib.contextmanager
    def at_once(self, act):
        """Has `act` called where the process ends at once within this block."""
        self._at_once.append(act)
        try:
            yield
        finally:
            self._at_once.remove(act)

    def _handle(self, number, frame):
        self._begin(number)
        self._raise()

    def _begin(self, number):
        """Makes the request, in whichever thread hears of the signal first."""
        deadline = None if self._grace_seconds is None else time.monotonic() + self._usable_seconds
        self._first.setdefault("request", Stopped(number, deadline))

    @property
    def _usable_seconds(self):
        """Until the deadline, less what it takes to say so."""
        return self._grace_seconds - min(1.0, 0.1 * self._grace_seconds)

    def _raise(self):
        if not self._deferrals and not self._raised:
            self._raised = True
            raise self()

    def _watch(self, read_end):
        with open(read_end, "rb", buffering=0) as pipe:
            number = self._next(pipe)
            if number is None:
                return
            self._begin(number)
            first = time.monotonic()
            if self._grace_seconds is not None:
                said = f"--grace_seconds={self._grace_seconds:g} are over"
                timer = threading.Timer(self._usable_seconds, self._end, [number, said])
                timer.daemon = True
                timer.start()
            while (again := self._next(pipe)) is not None:
                if time.monotonic() - first >= SAME_REQUEST_SECONDS:
                    self._end(again, "A second signal")

    def _next(self, pipe):
        """Returns the number of the next signal that is a request; None: there will be none."""
        while data := pipe.read(1):
            if data[0] in self._old:
                return data[0]
        return None

    def _end(self, number, reason):
        for act in self._at_once:
            act()
        text = (
            f"\n{reason}: ended at once. What was complete is kept; rerun the command to resume.\n"
        )
        with contextlib.suppress(OSError):  # a terminal may be gone
            os.write(2, text.encode())
        os._exit(128 + number)
