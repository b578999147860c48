"""Processes: how they are identified, tied to the process that started them, and given ports.

Invariant: a process is identified by its pid *and* its start time.
A pid that the kernel has since given to another process is never mistaken for ours.
"""

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import msgspec

from harness.errors import HarnessError

# Fields of /proc/<pid>/stat, counted from the one after the name in brackets (3 and 22 in the manual).
_STAT_STATE = 0
_STAT_START = 19
_DEAD_STATES = "ZX"


class ProcessIdentity(msgspec.Struct, frozen=True):
    """The identity of one process, which no other process ever has.

    Attributes:
        pid: The kernel's number, which it reuses later.
        started: Start time in clock ticks after boot.
    """

    pid: int
    started: int


def identity_of(pid: int) -> ProcessIdentity | None:
    """Return the identity of the process that has this pid now; None if there is none, or it is a zombie or hidden."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The name may hold spaces and brackets: the fields start after the last one.
    fields = stat.rpartition(")")[2].split()
    if fields[_STAT_STATE] in _DEAD_STATES:
        return None
    return ProcessIdentity(pid, int(fields[_STAT_START]))


def own_identity() -> ProcessIdentity:
    """Return the identity of the calling process."""
    # The caller runs, so the identity exists.
    return cast("ProcessIdentity", identity_of(os.getpid()))


def is_alive(identity: ProcessIdentity) -> bool:
    """Return whether this very process still runs."""
    return identity_of(identity.pid) == identity


def bound_to_parent(command: Sequence[str | Path]) -> list[str]:
    """Return the command, wrapped so that the kernel kills its process when the thread that starts it ends."""
    return [setpriv(), "--pdeathsig", "KILL", "--", *map(str, command)]


def setpriv() -> str:
    """Return the program that ties a process to its parent.

    Raises:
        HarnessError: The program is not installed.
    """
    found = shutil.which("setpriv")
    if found is None:
        raise HarnessError("setpriv is not installed", remedy="install your system's package util-linux")
    return found


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Provide ports of the loopback interface that the kernel gives to nobody else within the block.

    A server that sets SO_REUSEADDR, as nearly all do, can listen on them.
    Without a reservation, the kernel may give the port to a connection before the server binds it. It may even give it
    to the client that waits for the server, which then connects to itself.
    """
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))
            # Set it only after `bind`, which would otherwise also pick ports that connections have just left.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ports.append(holder.getsockname()[1])
        yield ports


def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
