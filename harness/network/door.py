"""A listening port that can be shut: connections break, and new ones are refused, as by a network that is cut."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from harness.network.discovery import Node

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# Closing with a wait of no seconds sends RST, as a host does that knows nothing of a connection.
_RESET = struct.pack("ii", 1, 0)
LONGEST_LINE = 1 << 20


class Door:
    """One port of a proxy and the connections behind it.

    Args:
        listen: Where clients connect.
        serve: Serves one client to the end of its connection.
    """

    def __init__(self, listen: Node, serve: Serve) -> None:
        self._listen, self._serve = listen, serve
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._times_shut = 0

    async def open(self) -> None:
        """Lets clients in."""
        self._server = await asyncio.start_server(self._client, *self._listen, limit=LONGEST_LINE)

    @contextlib.asynccontextmanager
    async def shut(self) -> AsyncIterator[None]:
        """Breaks all connections, and refuses new ones for the length of the block."""
        self._times_shut += 1
        self.close()
        try:
            yield
        finally:
            self._times_shut -= 1
            if not self._times_shut:
                await self.open()

    def close(self) -> None:
        """Refuses new connections and breaks those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._connections:
            reset(writer)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            # A client that goes away, or an upstream that does, concerns nobody else; ValueError is asyncio's word
            # for a line over the limit.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, ValueError):
                await self._serve(reader, writer)
        finally:
            self._connections.discard(writer)
            writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection at once and without a farewell."""
    transport = writer.transport
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
