"""Lines of JSON between two workers, over a connection that the kernel watches."""

import contextlib
import json
import socket

# A host that has vanished is noticed after about this time; a process that ends, at once.
SILENCE_SECONDS = 30
_MAX_BYTES = 16 * 2**20  # of a line: what is longer comes from something else than a worker


class ClosedError(ConnectionError):
    """The other end is gone, or speaks another language."""


class Channel:
    """One connection.

    Args:
        connection: A connected socket, which the channel owns from now on.
    """

    def __init__(self, connection):
        self._socket = connection
        self._unread = b""
        options = {socket.SO_KEEPALIVE: 1}
        for option, value in options.items():
            connection.setsockopt(socket.SOL_SOCKET, option, value)
        silence = {
            "TCP_NODELAY": 1,
            "TCP_KEEPIDLE": SILENCE_SECONDS // 3,
            "TCP_KEEPINTVL": SILENCE_SECONDS // 6,
            "TCP_KEEPCNT": 4,
            "TCP_USER_TIMEOUT": 1000 * SILENCE_SECONDS,
        }
        for name, value in silence.items():
            if hasattr(socket, name):  # Linux has all of them
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def fileno(self):
        return self._socket.fileno()

    def peer(self):
        """Returns the other end's host as text."""
        try:
            return self._socket.getpeername()[0]
        except OSError:
            return "a host that is gone"

    def send(self, message):
        """Sends what JSON can say.

        Raises:
            ClosedError: If the other end is gone.
        """
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ClosedError(str(error)) from error

    def receive(self, timeout=None):
        """Returns the list of messages that have come, at least one; waits for it.

        Args:
            timeout: Seconds, or None: as long as it takes.

        Raises:
            TimeoutError: If nothing came.
            ClosedError: If the other end is gone, or speaks another language.
        """
        self._socket.settimeout(timeout)
        try:
            while b"\n" not in self._unread:
                data = self._socket.recv(2**16)
                if not data:
                    raise ClosedError("closed")
                self._unread += data
                if not self._unread.startswith(b"{") or len(self._unread) > _MAX_BYTES:
                    raise ClosedError("no worker")
        except TimeoutError:
            raise
        except OSError as error:
            raise error if isinstance(error, ClosedError) else ClosedError(str(error)) from error
        finally:
            with contextlib.suppress(OSError):
                self._socket.settimeout(None)
        *lines, self._unread = self._unread.split(b"\n")
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError as error:
            raise ClosedError("no worker") from error
        if not all(isinstance(message, dict) for message in messages):
            raise ClosedError("no worker")
        return messages

    def is_open(self):
        """Whether the other end has not hung up, as far as is known."""
        self._socket.setblocking(False)
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self._socket.setblocking(True)

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.close()
