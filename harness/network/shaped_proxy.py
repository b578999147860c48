"""A proxy in front of Memcached that emulates a function's network: latency, token bucket, the node's bandwidth.

    function ---- bucket, cable, half a trip ----> cache
    function <--- bucket, cable, half a trip ----- cache

It reads no commands, so that it costs little: whatever a function sends before it is answered belongs to one trip.
Each trip takes what was drawn for it. The time that the cache takes, and that this proxy takes, are part of it.

Most of what a trip costs are the times that this process is woken (decision 70), so it is woken twice:

    0            the request is here, and goes on to the cache
    the draw     the answer is fetched, which has waited in the kernel, and goes on to the function

The cache's clock is thereby ahead by half of a trip: by the same for all functions, which nobody can tell. Only what
a trip is longer than usual, as from another zone, holds a request back.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, cast

from harness.network.conditions import FunctionNetwork, SharedCable, Tally
from harness.network.delay_line import DelayLine
from harness.network.discovery import Node
from harness.network.listener import reset_transport

logger = logging.getLogger(__name__)

# The network of a connection's function; None if the connection is not a function's.
NetworkOf = Callable[[socket.socket], Awaitable[FunctionNetwork | None]]

# A request is not held back for less.
SHORTEST_HOLD_S = 1e-4
# More of an answer than fetched is read when it comes, this long after the fetch at the latest.
LISTEN_AFTER_S = 0.005
FETCHED_BYTES = 262_144
# A timer is 20 us late on an idle machine, and later on a busy one.
LEAD_STEP_S, LONGEST_LEAD_S = 1e-6, 3e-4
# The last line of any answer but `STAT` and numbers, which are then read a little later.
_ENDS = (b"END\r\n", b"STORED\r\n", b"DELETED\r\n", b"FOUND\r\n", b"EXISTS\r\n", b"ERROR\r\n", b"OK\r\n")


class StandIns(Protocol):
    """Knows which connections of a proxy carry what a function sends."""

    def stand_in(self, own: tuple[str, int], network: FunctionNetwork) -> None:
        """Note that a connection from this address does."""

    def stood_in(self, own: tuple[str, int]) -> None:
        """Forget a connection that has ended."""


class ShapedProxy:
    """The proxy.

    Attributes:
        own_s: The part of each trip that this machine takes before and after the proxy can see it, s; it is taken off
            each draw.
        ahead_s: How much earlier than emulated the cache sees each request, s: half of a usual trip.
        stand_ins: Told which of the proxy's own connections carry what a function sends; None where nobody behind it
            asks.
        lead_s: How much too late answers are usually fetched, s; they are fetched so much earlier.

    Args:
        listen: The address that functions connect to.
        cache: The address of Memcached, or of the proxy that injects faults into it.
        network_of: Finds the network of a connection.
        to_cache: The cable of the cache's node.
        from_cache: The same, the other way.
        tally: Told of each trip.
    """

    def __init__(
        self,
        listen: Node,
        cache: Node,
        network_of: NetworkOf,
        to_cache: SharedCable,
        from_cache: SharedCable,
        tally: Tally,
    ) -> None:
        self._listen, self.cache, self.network_of = listen, cache, network_of
        self.to_cache, self.from_cache, self.tally = to_cache, from_cache, tally
        self.own_s = self.ahead_s = self.lead_s = 0.0
        self.stand_ins: StandIns | None = None
        self.clients: set[_Client] = set()
        # Clients that have their answer, and do not listen to the cache: since when.
        self.quiet: dict[_Client, float] = {}
        self._looks = False
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Start to accept clients; return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), *self._listen)
        self._listen = Node(self._listen.host, int(self._server.sockets[0].getsockname()[1]))
        return self._listen.port

    @property
    def address(self) -> Node:
        """Where clients connect to."""
        return self._listen

    @contextlib.asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Break all connections, and accept new ones at another port, which the kernel chooses, after the block."""
        self.close()
        yield
        self._listen = Node(self._listen.host, 0)
        await self.open()

    def close(self) -> None:
        """Refuse new connections and break the existing ones."""
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.reset()

    def fetched(self, late_s: float) -> None:
        """Follow the median of how late answers are fetched: a step up or down each time."""
        step_s = LEAD_STEP_S if late_s > 0 else -LEAD_STEP_S
        self.lead_s = min(max(0.0, self.lead_s + step_s), LONGEST_LEAD_S)

    def listen_later(self, client: "_Client", now: float) -> None:
        """Let a client listen to its cache in a while, unless it has asked again by then."""
        self.quiet[client] = now
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(LISTEN_AFTER_S, self._listen_now)

    def _listen_now(self) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time() - LISTEN_AFTER_S
        for client in [one for one, at in self.quiet.items() if at <= since]:
            del self.quiet[client]
            client.listen()
        self._looks = bool(self.quiet)
        if self._looks:
            loop.call_later(LISTEN_AFTER_S, self._listen_now)


class _End(asyncio.Protocol):
    """One end of a connection; its source waits as long as anything holds it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._held = 0

    def hold(self) -> None:
        """Read nothing from here, until `free` is called as often."""
        self._held += 1
        if self._held == 1 and not self.transport.is_closing():
            self.transport.pause_reading()

    def hold_from_start(self) -> None:
        """Read nothing from a connection that was just made."""
        # asyncio of Python 3.11.2, which Debian has, begins to read right after `connection_made`, whatever that says.
        asyncio.get_running_loop().call_soon(self.hold)

    def free(self) -> None:
        """Read again, unless something else still holds it."""
        self._held -= 1
        if not self._held and not self.transport.is_closing():
            self.transport.resume_reading()


class _Client(_End):
    """A function's end of a connection."""

    def __init__(self, proxy: ShapedProxy) -> None:
        super().__init__()
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._server: _Server | None = None
        self._network: FunctionNetwork | None = None
        # The address of the connection to the cache, if somebody behind it asks whose it is.
        self._stand_in: tuple[str, int] | None = None
        # Of the trip under way: what was drawn, what is to be added, and for how long its request is held back.
        self._drawn_s = self._trip_s = self._hold_s = 0.0
        # What was sent last has been answered, so that what comes next is a new trip.
        self._answered = True
        # Something has left for the cache since its last answer: when bandwidth let its last bytes pass, and when the
        # answer is due.
        self._asked, self._asked_at, self._due = False, 0.0, 0.0
        # How long an answer is still on its way when it is here.
        self._rest_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Find whose connection this is, and open one to the cache; nothing is read before."""
        self.transport = cast("asyncio.Transport", transport)
        self.hold_from_start()
        self._proxy.clients.add(self)
        self._task = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            self._network = await self._proxy.network_of(self.transport.get_extra_info("socket"))
            _, self._server = await self._loop.create_connection(lambda: _Server(self), *self._proxy.cache)
        except OSError:
            self.reset()
            return
        except Exception:
            # Otherwise the client would wait for ever.
            logger.exception("a connection to the cache could not be opened")
            self.reset()
            return
        if self._network is not None and self._proxy.stand_ins is not None:
            self._stand_in = self._server.transport.get_extra_info("sockname")
            self._proxy.stand_ins.stand_in(self._stand_in, self._network)
        if self._network is not None:
            self._counter = self._proxy.tally.counter(self._network.store, self._network.zone)
        self._cache = self._server
        self.up = DelayLine(self._server.transport.write, self.hold, self.free)
        self.down = DelayLine(self.transport.write, self._server.hold, self._server.free)
        self._server.free()
        self.free()

    def data_received(self, data: bytes) -> None:
        """Take what the function sends."""
        network = self._network
        if network is None:
            self.up.put(data, 0.0, 0.0)
            return
        now, size = self._loop.time(), len(data)
        proxy = self._proxy
        if self._answered:
            self._answered = False
            self._drawn_s = network.draw_s(network.store)
            self._trip_s = max(0.0, self._drawn_s - proxy.own_s)
            hold_s = self._drawn_s / 2 - proxy.ahead_s
            self._hold_s = hold_s if hold_s > SHORTEST_HOLD_S else 0.0
        passed = max(network.sent.pass_bytes(size, now), proxy.to_cache.pass_bytes(size, now))
        self.up.put(data, passed + self._hold_s, now, self._left)

    def _left(self, due: float, _at: float) -> None:
        """Fetch the answer to a request that is on its way to the cache when it is due, and not before."""
        self._asked_at = due - self._hold_s
        self._due = self._asked_at + self._trip_s
        if self._asked:
            return
        self._asked = True
        proxy = self._proxy
        proxy.quiet.pop(self, None)
        if self._cache.listens:
            self._cache.wait()
        self._loop.call_at(self._due - proxy.lead_s, self._fetch)

    def _fetch(self) -> None:
        """Read an answer that is due; what is not there yet is read when it comes."""
        server = self._cache
        if not self._asked or server.transport.is_closing():
            return
        data = server.fetch()
        if data:
            now = self._loop.time()
            if now > self._due - LONGEST_LEAD_S:
                self._proxy.fetched(now - self._due)
                # It is late or early by as much as usual, and goes on.
                self._due = now
            self.answer_received(data, now)
        if data and len(data) < FETCHED_BYTES and data.endswith(_ENDS):
            self._proxy.listen_later(self, now)
        else:
            server.listen()

    def listen(self) -> None:
        """Listen to the cache, which may close the connection."""
        self._cache.listen()

    def answer_received(self, data: bytes, now: float) -> None:
        """Take what the cache answers."""
        network = self._network
        if network is None:
            self.down.put(data, 0.0, 0.0)
            return
        size = len(data)
        passed = max(network.received.pass_bytes(size, now), self._proxy.from_cache.pass_bytes(size, now))
        arrived = None
        if self._asked:
            # What is left of the trip is the latency of the whole answer.
            self._rest_s = max(0.0, self._due - now)
            self._asked, self._answered = False, True
            began, drawn_s = self._asked_at + passed - now, self._drawn_s
            own_s, counter = self._proxy.own_s, self._counter

            def arrived(_due: float, at: float) -> None:
                counter.add(drawn_s, at - began + own_s)

        self.down.put(data, passed + self._rest_s, now, arrived)

    def connection_lost(self, error: Exception | None) -> None:
        """Let the cache have what is on its way, and close."""
        self._proxy.clients.discard(self)
        self._proxy.quiet.pop(self, None)
        if self._stand_in is not None and self._proxy.stand_ins is not None:
            self._proxy.stand_ins.stood_in(self._stand_in)
        if self._task is not None:
            self._task.cancel()
        if self._server is None or self._server.transport.is_closing():
            return
        if error is None:
            self.up.end(self._server.transport.close)
        else:
            self.up.close()
            self._server.transport.abort()

    def server_lost(self, error: Exception | None) -> None:
        """End as the cache has: in order behind its last answer, or at once."""
        if self._server is None:
            return  # the function was gone before
        self.up.close()
        if error is None:
            self.down.end(self.transport.close)
        else:
            self.reset()

    def reset(self) -> None:
        """Break the connection."""
        reset_transport(self.transport)

    def pause_writing(self) -> None:
        """Let the cache wait while the function does not read."""
        cast("_Server", self._server).hold()

    def resume_writing(self) -> None:
        """Let the cache go on."""
        cast("_Server", self._server).free()


class _Server(_End):
    """The cache's end of a connection.

    Attributes:
        listens: Whether it is woken by what the cache answers.
    """

    def __init__(self, client: _Client) -> None:
        super().__init__()
        self._client = client
        self._loop = asyncio.get_running_loop()
        self.listens = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing before the lines are there."""
        self.transport = cast("asyncio.Transport", transport)
        self._descriptor = self.transport.get_extra_info("socket").fileno()
        self.hold_from_start()

    def listen(self) -> None:
        """Be woken by what the cache answers."""
        if not self.listens:
            self.listens = True
            self.free()

    def wait(self) -> None:
        """Leave what the cache answers in the kernel until it is fetched."""
        if self.listens:
            self.listens = False
            self.hold()

    def fetch(self) -> bytes:
        """Return what the cache has answered so far; nothing if that is nothing, or if it has closed the connection."""
        try:
            # An asyncio transport does not read on request.
            return os.read(self._descriptor, FETCHED_BYTES)
        except OSError:
            return b""

    def data_received(self, data: bytes) -> None:
        """Take what the cache answers."""
        self._client.answer_received(data, self._loop.time())

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the function."""
        self._client.server_lost(error)

    def pause_writing(self) -> None:
        """Let the function wait while the cache does not read."""
        self._client.hold()

    def resume_writing(self) -> None:
        """Let the function go on."""
        self._client.free()
