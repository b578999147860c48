"""A listening port that can be closed for a while: connections break and new ones are refused, as in an outage."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from harness.network.discovery import Node

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
End = Callable[[asyncio.StreamWriter], None]

# Closing a socket with a linger time of 0 s sends RST, as a host does for a connection it does not know.
_RESET = struct.pack("ii", 1, 0)
LONGEST_LINE = 1 << 20


class Listener:
    """One port of a proxy, and its connections.

    Args:
        listen: The address that clients connect to.
        serve: Serves one client until its connection ends.
        end: Breaks a connection in an outage; by default it is reset.
    """

    def __init__(self, listen: Node, serve: Serve, end: End | None = None) -> None:
        self._listen, self._serve, self._end = listen, serve, end or reset
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._outages = 0
        self._opened = asyncio.Event()

    @property
    def address(self) -> Node:
        """Where clients connect to."""
        return self._listen

    async def open(self) -> None:
        """Start to accept clients."""
        self._server = await asyncio.start_server(self._client, *self._listen, limit=LONGEST_LINE)
        self._listen = Node(self._listen.host, self._server.sockets[0].getsockname()[1])
        self._opened.set()

    @contextlib.asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Break all connections, and refuse new ones within the block."""
        self._outages += 1
        self.close()
        try:
            yield
        finally:
            self._outages -= 1
            if not self._outages:
                await self.open()

    @contextlib.asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Break all connections, and accept new ones at another port, which the kernel chooses, after the block.

        It returns when it accepts them, which another outage may delay.
        """
        async with self.outage():
            yield
            self._listen = Node(self._listen.host, 0)
        await self._opened.wait()

    def close(self) -> None:
        """Refuse new connections and break the existing ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._opened.clear()
        for writer in list(self._connections):
            self._end(writer)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            # A lost client or upstream affects only this connection. asyncio raises ValueError for a line over the
            # limit.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, ValueError):
                await self._serve(reader, writer)
        finally:
            self._connections.discard(writer)
            writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of an orderly shutdown."""
    reset_transport(writer.transport)


def reset_transport(transport: asyncio.WriteTransport) -> None:
    """Do the same to a transport."""
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
