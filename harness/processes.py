"""Starting processes that end with whoever started them, and ports for them."""

import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError


def bound_to_parent(command: Sequence[str | Path]) -> list[str]:
    """The command, wrapped so that the kernel kills it when the thread that starts it ends."""
    return [setpriv(), "--pdeathsig", "KILL", "--", *map(str, command)]


def setpriv() -> str:
    """The program that ties a process to its parent.

    Raises:
        HarnessError: It is not installed.
    """
    found = shutil.which("setpriv")
    if found is None:
        raise HarnessError("setpriv is not installed", remedy="install your system's package util-linux")
    return found


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
