"""Starting processes that end with whoever started them, and ports for them."""

import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
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


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Ports of the loopback interface that the kernel gives to nobody else within the block.

    A server that sets SO_REUSEADDR, as nearly all do, can listen on them.
    Without a reservation a port may go to a connection before the server has it: even to that of whoever waits for the
    server, which then is connected to itself.
    """
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))
            # Only now: before, the kernel would also offer ports that connections have just left.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ports.append(holder.getsockname()[1])
        yield ports


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
