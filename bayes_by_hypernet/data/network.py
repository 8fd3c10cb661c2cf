"""Connectivity check and small downloads, with timeouts."""

import http.client
import threading
import urllib.request

_PROBE_SECONDS = 3.0
_DOWNLOAD_SECONDS = 20.0  # without a byte
_MAX_BYTES = 2**26


def is_reachable(url, timeout=_PROBE_SECONDS):
    """Returns whether `url` answers within `timeout` seconds, name resolution included."""
    answered = threading.Event()

    def probe():
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=timeout):
                answered.set()
        except (OSError, http.client.HTTPException):
            pass

    # A socket's timeout does not cover name resolution, so the wait is on a thread that may linger.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def download(url, path):
    """Writes what `url` holds to `path`; raises OSError where that fails."""
    try:
        with urllib.request.urlopen(url, timeout=_DOWNLOAD_SECONDS) as response:
            with open(path, "wb") as file:
                while chunk := response.read(2**16):
                    file.write(chunk)
                    if file.tell() > _MAX_BYTES:
                        raise OSError(f"Download of {url} has more than {_MAX_BYTES:,} bytes.")
    except http.client.HTTPException as error:
        raise OSError(f"Download of {url} failed: {error!r}") from error
