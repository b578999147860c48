"""The real Memcached behind the proxy, as a process that can be killed and started empty."""

import asyncio
import time
from collections.abc import Sequence

from harness.errors import HarnessError
from harness.network.discovery import Node

READY_WITHIN_S = 10.0
READY_POLL_S = 0.002


class CacheProcess:
    """One Memcached.

    Args:
        node: Where it listens.
        command: Its whole command line, bound to this process.
    """

    def __init__(self, node: Node, command: Sequence[str]) -> None:
        self.node = node
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Starts it and waits until it takes connections.

        Raises:
            HarnessError: It ends, or takes none in time.
        """
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.DEVNULL)
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline and self._process.returncode is None:
            try:
                _, writer = await asyncio.open_connection(*self.node)
            except OSError:
                await asyncio.sleep(READY_POLL_S)
                continue
            writer.close()
            return
        raise HarnessError(
            f"memcached did not start within {READY_WITHIN_S:g} s (status {self._process.returncode})",
            f"{self.node.host}:{self.node.port}",
        )

    async def restart(self, down_s: float) -> None:
        """Kills it and starts it anew on the same port, `down_s` later."""
        async with self._lock:
            await self.kill()
            await asyncio.sleep(down_s)
            await self.start()

    async def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
