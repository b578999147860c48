"""The real Memcached where it is no child of the proxy: in a container of its own, which starts it again at its end."""

import asyncio
import re
import time

from harness.errors import HarnessError
from harness.network.cache_process import READY_WITHIN_S
from harness.network.discovery import Node

_POLL_S = 0.02
_PID = re.compile(rb"STAT pid (\d+)\r\n")


class RemoteCache:
    """A Memcached that something else starts, and starts again.

    Args:
        node: The address that it listens on.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Wait until it answers.

        Raises:
            HarnessError: It does not in time.
        """
        await self._await_other(None, "did not answer")

    async def restart(self, down_s: float) -> None:
        """Have it end, and return when another one, empty, is in its place, `down_s` seconds later or more.

        Raises:
            HarnessError: It does not end, or no other one follows it in time.
        """
        async with self._lock:
            ending = await self._pid()
            if ending is not None:
                await self._shut_down()
            await asyncio.sleep(down_s)
            await self._await_other(ending, "was not restarted")

    async def keep_alive(self) -> None:
        """Do nothing: its container starts it again."""

    async def kill(self) -> None:
        """Do nothing: it ends with its container."""

    async def _await_other(self, pid: int | None, failure: str) -> None:
        """Wait until a Memcached with another process id answers.

        It ends within a second of the command, and takes connections until then.
        """
        deadline = time.monotonic() + READY_WITHIN_S
        while await self._pid() in (None, pid):
            if time.monotonic() > deadline:
                raise HarnessError(
                    f"memcached {failure} within {READY_WITHIN_S:g} s", f"{self.node.host}:{self.node.port}"
                )
            await asyncio.sleep(_POLL_S)

    async def _pid(self) -> int | None:
        """Return its process id; None if it does not answer."""
        try:
            found = _PID.search(await self._ask(b"stats\r\n", b"END\r\n"))
        except (OSError, EOFError, TimeoutError):
            return None
        return int(found[1]) if found else None

    async def _shut_down(self) -> None:
        # Memcached takes this command with its option -A only, and closes the connection.
        # https://docs.memcached.org/protocols/basic/
        try:
            answer = await self._ask(b"shutdown\r\n", b"\n")
        except (ConnectionError, EOFError):
            return
        refusal = answer.decode(errors="replace").strip()
        raise HarnessError(f"memcached did not end: {refusal}", f"{self.node.host}:{self.node.port}")

    async def _ask(self, command: bytes, end: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.node)
        try:
            writer.write(command)
            return await asyncio.wait_for(reader.readuntil(end), READY_WITHIN_S)
        finally:
            writer.close()
