"""Which environment of a function a connection is of.

The gateway knows the environments, and the kernel knows who has a socket open:

connection -> the peer's socket -> a process that has it open -> the environment whose process tree holds that
connection -> the peer's address -> the environment whose container has it
"""

import asyncio
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import httpx
import msgspec

from harness.gateway.places import EnvironmentPlace
from harness.network.gateway_link import GatewayLink
from harness.network.peer import inode_of

_PROC = Path("/proc")

Address = tuple[str, int]


class Places:
    """The environments that are alive.

    Args:
        gateway: Lists them.
    """

    def __init__(self, gateway: GatewayLink) -> None:
        self._gateway = gateway
        self._listed: tuple[EnvironmentPlace, ...] = ()
        # How many listings were asked for so far, and which of them is the one that is here.
        self._asked = self._newest = 0
        self._refreshing = asyncio.Lock()
        # Connections that the proxies themselves make for a client, by their own address.
        self._stand_ins: dict[Address, EnvironmentPlace] = {}

    @property
    def listed(self) -> tuple[EnvironmentPlace, ...]:
        """The environments as they were listed last."""
        return self._listed

    async def of(self, connection: socket.socket) -> EnvironmentPlace | None:
        """Return the environment at the other end of a connection; None if it is no function's.

        It is looked up once for each connection; the gateway is asked again for a process that is not known yet, and
        for each connection of a container.
        """
        try:
            peer = connection.getpeername()[:2]
        except OSError:
            return None
        if peer in self._stand_ins:
            return self._stand_ins[peer]
        asked = self._asked
        # A container's address may have been another environment's when they were listed last.
        found = await self._look_up(connection, peer) if ip_address(peer[0]).is_loopback else None
        if found is not None:
            return found
        async with self._refreshing:
            # One that was under way when this client came may lack its environment.
            if self._newest <= asked:
                await self._refresh()
        return await self._look_up(connection, peer)

    def stand_in(self, own: Address, place: EnvironmentPlace) -> None:
        """Note that a connection from this address carries what an environment sends."""
        self._stand_ins[own] = place

    def stood_in(self, own: Address) -> None:
        """Forget such a connection, which has ended."""
        self._stand_ins.pop(own, None)

    async def _refresh(self) -> None:
        self._asked += 1
        # Without the gateway there are no functions; a connection that it still had is not slowed.
        with suppress(httpx.HTTPError, msgspec.MsgspecError):
            self._listed = msgspec.json.decode(await self._gateway.places(), type=tuple[EnvironmentPlace, ...])
        self._newest = self._asked

    async def _look_up(self, connection: socket.socket, peer: Address) -> EnvironmentPlace | None:
        listed = self._listed
        if not ip_address(peer[0]).is_loopback:
            return next((place for place in listed if peer[0] in place.addresses), None)
        inode = inode_of(connection)
        if not inode or not listed:
            return None
        # It takes milliseconds where there are many processes; other connections must not wait for it.
        return await asyncio.to_thread(_owner_of, inode, listed)


def _owner_of(inode: int, places: Sequence[EnvironmentPlace]) -> EnvironmentPlace | None:
    """Return the place that has the socket of this inode open."""
    name = f"socket:[{inode}]"
    return next((place for place in places if any(_has_open(pid, name) for pid in _trees(place.pids))), None)


def _has_open(pid: int, name: str) -> bool:
    folder = f"{_PROC}/{pid}/fd"
    with suppress(OSError):
        # Paths as objects take several times as long.
        for descriptor in os.listdir(folder):  # noqa: PTH208
            with suppress(OSError):
                if os.readlink(f"{folder}/{descriptor}") == name:  # noqa: PTH115
                    return True
    return False


def _trees(roots: Iterable[int]) -> Iterator[int]:
    """Yield processes and all their descendants."""
    left = list(roots)
    while left:
        pid = left.pop()
        yield pid
        with suppress(OSError):
            for thread in (_PROC / str(pid) / "task").iterdir():
                with suppress(OSError):
                    left += map(int, (thread / "children").read_bytes().split())
