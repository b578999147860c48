"""The real Memcached behind the proxy: a process that can be killed and restarted empty."""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.network.discovery import Node
from harness.system.cache_names import NAME, PORT
from harness.system.deaths import BackOff, Death, note_death

logger = logging.getLogger(__name__)

READY_WITHIN_S = 10.0
READY_POLL_S = 0.002


def command_on(port: int, command: Sequence[str]) -> list[str]:
    """Return the command of a Memcached on a port."""
    return [str(port) if part == PORT else part for part in command]


class CacheProcess:
    """One Memcached process.

    Args:
        node: The address that it listens on.
        command: Its whole command line, which binds it to this process.
        directory: The stack's folder, in which its deaths are recorded; None to record none.
        name: Its name among the parts of the stack.
    """

    def __init__(self, node: Node, command: Sequence[str], directory: Path | None = None, name: str = NAME) -> None:
        self.node, self._name = node, name
        self._command, self._directory = command, directory
        self._back_off = BackOff()
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Start the process and wait until it accepts connections.

        Raises:
            HarnessError: The process ends, or accepts no connection in time.
        """
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.DEVNULL)
        self._back_off.started()
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
        """Kill the process and, after `down_s` seconds, start it again on the same port."""
        async with self._lock:
            await self.kill()
            await asyncio.sleep(down_s)
            await self.start()

    async def keep_alive(self) -> None:
        """Restart the process, empty and on the same port, whenever it ends by itself; run until cancelled."""
        while (process := self._process) is not None:
            status = await process.wait()
            async with self._lock:
                if self._process is not process:
                    continue  # a fault has restarted it
                delay_s = self._back_off.next_delay()
                death = Death(self._name, status, time.time(), restarts=True)
                logger.error("%s; starting it again in %g s", death, delay_s)
                if self._directory is not None:
                    note_death(self._directory, death)
                await asyncio.sleep(delay_s)
                try:
                    await self.start()
                except (HarnessError, OSError) as error:
                    logger.warning("memcached cannot be started again: %s", error)

    async def kill(self) -> None:
        """Kill the process and wait until it has ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
