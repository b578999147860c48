"""Readiness probes: each checks a service once and returns at once; `wait_until` repeats one."""

import http.client
import socket
import time
from collections.abc import Callable

from harness.guard import authorization
from harness.system.ports import LOOPBACK

# The longest that one probe can take.
PROBE_TIMEOUT_S = 0.5

FIRST_DELAY_S = 0.002
LONGEST_DELAY_S = 0.05
BACK_OFF = 1.5

_HTTP_OK = 200


def answers_http(port: int, path: str, access_key: str = "") -> bool:
    """Return whether GET of `path` is answered with 200; the request is signed with the access key, if one is given."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path, headers=authorization(access_key) if access_key else {})
        return connection.getresponse().status == _HTTP_OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def answers_memcached(port: int) -> bool:
    """Return whether `version` is answered as memcached answers it."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(b"version\r\n")
            return connection.recv(64).startswith(b"VERSION ")
    except OSError:
        return False


def next_delay(delay_s: float) -> float:
    """Return the delay that follows a delay of `delay_s`."""
    return min(delay_s * BACK_OFF, LONGEST_DELAY_S)


def wait_until(predicate: Callable[[], bool], timeout_s: float) -> bool:
    """Poll with back-off until the predicate holds or the time is up; return whether it held."""
    deadline = time.monotonic() + timeout_s
    delay_s = FIRST_DELAY_S
    while not predicate():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(delay_s, left_s))
        delay_s = next_delay(delay_s)
    return True
