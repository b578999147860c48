"""A stage's own memcached: empty at each reset, because it is another process then."""

from collections.abc import Sequence

from harness.network.cache_process import CacheProcess
from harness.network.discovery import Node


class StageCache:
    """One memcached.

    Args:
        address: Where it listens, `host:port`.
        command: Its command line.
    """

    def __init__(self, address: str, command: Sequence[str]) -> None:
        host, _, port = address.rpartition(":")
        self.address = address
        self._process = CacheProcess(Node(host, int(port)), command)

    async def start(self) -> None:
        """Start it.

        Raises:
            HarnessError: It does not start.
        """
        await self._process.start()

    async def empty(self) -> None:
        """Replace the process by another one at the same address.

        Raises:
            HarnessError: It does not start.
        """
        await self._process.restart(0.0)

    async def stop(self) -> None:
        """End it."""
        await self._process.kill()
