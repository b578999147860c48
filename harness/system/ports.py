"""Ports on the loopback interface, reserved so that no other process gets them before our child listens.

The kernel does not offer the port of a socket that is bound but does not listen to anyone who asks for a free one.
A child can still bind it, because both sockets set SO_REUSEADDR.
The supervisor holds these sockets as long as the stack runs.
"""

import errno
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from harness.errors import HarnessError

LOOPBACK = "127.0.0.1"
TAKEN_REMEDY = "stop what listens there, or set another port, or 0 for a free one"


class ReservedPorts:
    """One port per service, reserved until `close`."""

    def __init__(self, names: Iterable[str], fixed: Mapping[str, int]) -> None:
        """Reserve all ports, or none.

        Args:
            names: The services that need a port.
            fixed: The required port of a service; absent or 0 picks a free one.

        Raises:
            HarnessError: A fixed port is taken.
        """
        self.numbers: dict[str, int] = {}
        with ExitStack() as sockets:
            for name in names:
                reserved = sockets.enter_context(_reserve(name, fixed.get(name, 0)))
                self.numbers[name] = reserved.getsockname()[1]
            self._sockets = sockets.pop_all()

    def close(self) -> None:
        """Release the ports."""
        self._sockets.close()


def _reserve(name: str, port: int) -> socket.socket:
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((LOOPBACK, port))
    except OSError as error:
        reserved.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        taken = error.errno == errno.EADDRINUSE
        raise HarnessError(
            f"port {port}, set for {name}, {'is taken' if taken else 'needs root'}",
            f"{LOOPBACK}:{port}; [stack.ports] in harness.toml",
            TAKEN_REMEDY if taken else "set a port of 1024 or above, or 0 for a free one",
        ) from error
    return reserved


def claim_ports_from(first: int, count: int) -> list[int]:
    """Return the first free ports at or above a number, which this process then has a claim on until it ends.

    A server binds such a port only later, so two commands would choose the same one.
    A claim is a socket with an abstract name, which the kernel gives once and takes back when the process ends.
    It leaves the port itself alone: the server may even use one that connections have just left.

    Returns:
        The ports; fewer than `count` where there are no more.
    """
    found: list[int] = []
    for port in range(first, 65_536):
        if len(found) == count:
            break
        if _is_free(port) and _claim(port):
            found.append(port)
    return found


_claims: dict[int, socket.socket] = {}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    """Claim a port; return whether this process has the claim now."""
    if port in _claims:
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0lambda-harness-port-{port}")
    except OSError:
        claim.close()
        return False
    _claims[port] = claim
    return True
