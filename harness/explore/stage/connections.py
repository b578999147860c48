"""The addresses that functions connect to, told by their runtimes: what a stage can neither record nor bring back.

    runtime --datagram `host:port`--> a socket with an abstract name, which every namespace of this machine can reach

https://man7.org/linux/man-pages/man7/unix.7.html
"""

import asyncio
import secrets
import socket
from collections.abc import Iterable

_LONGEST_BYTES = 512


class Connections:
    """Collects addresses.

    Args:
        own: Addresses that belong to the stage, `host:port`.

    Attributes:
        name: The socket's abstract name.
    """

    def __init__(self, own: Iterable[str]) -> None:
        self._own = set(own)
        self._found: dict[str, None] = {}
        self._used: set[str] = set()
        self.name = f"lambda-harness-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{self.name}")

    def start(self) -> None:
        """Collect, in the loop that runs."""
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def stop(self) -> None:
        """Collect no more."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def know(self, own: Iterable[str]) -> None:
        """Add addresses that belong to the stage."""
        self._own |= set(own)

    def take(self) -> list[str]:
        """Return the addresses of others since the last time, in the order in which they were first used."""
        self._read()
        found = list(self._found)
        self._found.clear()
        return found

    def used(self, address: str) -> bool:
        """Return whether somebody has connected to an address of the stage since the last time."""
        self._read()
        was_used = address in self._used
        self._used.discard(address)
        return was_used

    def _read(self) -> None:
        while True:
            try:
                address = self._socket.recv(_LONGEST_BYTES).decode(errors="replace")
            except BlockingIOError:
                return
            if address in self._own:
                self._used.add(address)
            else:
                self._found[address] = None
