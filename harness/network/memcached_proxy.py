"""A proxy in front of Memcached that reads keys on the wire and injects the planned faults.

    worker ----> proxy ----> memcached        commands: the proxy parses heads and streams values
    worker <---- proxy <---- memcached        replies: the proxy counts them, so that its own come in order

It implements the part of the text protocol that pymemcache uses; any other line passes through and expects one reply.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from harness.faults.board import Board
from harness.faults.injections import ObservedPut
from harness.faults.plan import Fault
from harness.network.cache_process import CacheProcess
from harness.network.discovery import Node, is_http
from harness.network.gateway_link import GatewayLink
from harness.network.lines import ClientLine, ClientLines, ConnectionEndedError, Ranks, lasts
from harness.network.listener import Listener, reset
from harness.network.places import Places
from harness.network.remote_cache import RemoteCache
from harness.network.wire import (
    HEAD_BYTES,
    OUT_OF_MEMORY,
    ReplyCounter,
    Store,
    read_put,
    read_store,
    run_of,
    wants_reply,
)
from harness.presets.zones import CACHE_ZONE

CHUNK_BYTES = 65_536
_END_OF_LINE = 2
_SHUTDOWN = b"shutdown"
# Faults that end all connections of a node.
_BREAKING = {"cut", "restart", "replace", "lose"}

# Takes a fault, its run, and the proxy that has seen the put at which it is due.
InjectEverywhere = Callable[[Fault, str, "MemcachedProxy"], bool]


class MemcachedProxy:
    """The proxy.

    Args:
        listen: The address that clients connect to.
        cache: The Memcached behind the proxy.
        board: The plans of all runs.
        gateway: Injects the faults of the Lambda service.
        places: Knows the zone of each client; None where no fault depends on it.
        lines: The connections of all nodes, on which a fault may last; by default those of this proxy.

    Attributes:
        inject_everywhere: Starts a fault on all nodes that it is about, of which this proxy's may be one; returns
            whether it is. Without others, it is about this one.
    """

    def __init__(
        self,
        listen: Node,
        cache: CacheProcess | RemoteCache,
        board: Board,
        gateway: GatewayLink,
        places: Places | None = None,
        lines: ClientLines | None = None,
    ) -> None:
        self.lines = lines or ClientLines(board, Ranks(places, gateway) if places else None, by_run=True)
        self.listener = Listener(listen, self._client, self.lines.end)
        self.board, self.gateway, self.places, self._cache = board, gateway, places, cache
        self.inject_everywhere: InjectEverywhere = _inject_here
        self._tasks: set[asyncio.Task[None]] = set()

    def inject(self, fault: Fault, run_id: str) -> None:
        """Start a fault that affects connections; lasting faults continue in the background."""
        if lasts(fault):
            self.lines.begin(fault, run_id)
            return
        match fault.action:
            case "cut":
                self._begin(self._cut(fault.s or 0.0))
            case "lose":
                # The cache is lost with its zone, and comes back empty.
                self._begin(self._restart(fault.s or 0.0))
            case "restart":
                self._begin(self._restart(fault.down_s))

    def _begin(self, what: Coroutine[None, None, None]) -> None:
        # The fault outlives the connection that triggered it.
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cut(self, seconds: float) -> None:
        async with self.listener.outage():
            await asyncio.sleep(seconds)

    async def _restart(self, down_s: float) -> None:
        async with self.listener.outage():
            await self._cache.restart(down_s)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = self.lines.open(writer)
        try:
            await line.check()
            server_reader, server_writer = await asyncio.open_connection(*self._cache.node)
            try:
                await self._serve(_Connection(self, line, reader, server_reader, server_writer))
                await line.linger()
            finally:
                server_writer.close()
        finally:
            self.lines.close(writer)

    async def _serve(self, connection: "_Connection") -> None:
        """Forward commands and replies until one end closes its connection."""
        pumps = [asyncio.create_task(pump) for pump in (connection.commands(), connection.replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for outcome in await asyncio.gather(*pumps, return_exceptions=True):
                if isinstance(outcome, ConnectionEndedError):
                    reset(connection.line.writer)


def _inject_here(fault: Fault, run_id: str, proxy: MemcachedProxy) -> bool:
    proxy.inject(fault, run_id)
    return True


@dataclass
class _Connection:
    proxy: MemcachedProxy
    line: ClientLine
    client: asyncio.StreamReader
    server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    _zone: str | None = None
    _unanswered: int = 0
    _all_answered: asyncio.Event = field(default_factory=asyncio.Event)
    # Faults due once this client has finished its put, which its next command other than a store shows.
    _after_put: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def commands(self) -> None:
        """Forward commands until the client closes the connection."""
        while line := await self.client.readline():
            store = read_store(line)
            if store is not None:
                await self._store(line, store)
                continue
            # Only this proxy itself may have Memcached end.
            if is_http(line) or line.split()[:1] == [_SHUTDOWN]:
                raise ConnectionEndedError
            await self._inject_after_put()
            run_id = self._run_of(line)
            for fault in self.proxy.board.at_command(run_id, await self._own_zone()):
                await asyncio.sleep(fault.draw_delay_s(self.proxy.board.dice))
            await self._send(line, answered=wants_reply(line))

    async def replies(self) -> None:
        """Forward replies until Memcached closes the connection."""
        counter = ReplyCounter()
        while chunk := await self.server.read(CHUNK_BYTES):
            await self.line.write(chunk)
            self._unanswered -= counter.feed(chunk)
            if self._unanswered <= 0:
                self._all_answered.set()

    async def _store(self, line: bytes, store: Store) -> None:
        head = await self.client.readexactly(min(store.length, HEAD_BYTES))
        left = store.length + _END_OF_LINE - len(head)
        board = self.proxy.board
        run_id = run_of(store.key, board.runs)
        self.line.run_id = run_id or self.line.run_id
        put = read_put(store.key, run_id, head) if run_id else None
        zone = await self._own_zone()
        due = board.runs[run_id].at_put(put, zone) if run_id and put else []
        due += board.at_command(run_id, zone)
        flip = refused = dropped = False
        for fault in due:
            if fault.target in {"worker", "gateway", "zone"}:
                await self._inject_into_lambda(fault, str(run_id), put)
                if fault.action == "lose" and fault.zone == CACHE_ZONE:
                    self.proxy.inject_everywhere(fault, str(run_id), self.proxy)
                    raise ConnectionEndedError
            elif fault.action == "delay":
                await asyncio.sleep(fault.draw_delay_s(self.proxy.board.dice))
            elif fault.action in _BREAKING or lasts(fault):
                hit = self.proxy.inject_everywhere(fault, str(run_id), self.proxy)
                if hit and fault.action in _BREAKING:
                    raise ConnectionEndedError
            flip |= fault.action == "corrupt"
            refused |= fault.action == "refuse"
            dropped |= fault.action == "evict"
        if refused:
            await self._refuse(left, store)
            return
        await self._send(line + head, answered=not store.noreply)
        await self._stream(left, flip=flip and store.length > len(head))
        if dropped:
            # The server executes a connection's commands in order, and no other client has read the frame yet.
            self.to_server.write(f"delete {store.key} noreply\r\n".encode())
        await self.to_server.drain()

    async def _own_zone(self) -> str:
        """Return the zone of the client, looked up once; empty as long as no fault depends on it."""
        if not self.proxy.board.depends_on_zones or self.proxy.places is None:
            return ""
        if self._zone is None:
            place = await self.proxy.places.of(self.line.writer.get_extra_info("socket"))
            self._zone = place.zone if place else ""
        return self._zone

    def _run_of(self, line: bytes) -> str | None:
        """Return the run that a command's first key belongs to; None if it belongs to no run."""
        board = self.proxy.board
        if not board.runs:
            return None
        words = line.split(maxsplit=2)
        run_id = run_of(words[1].decode(errors="replace"), board.runs) if len(words) > 1 else None
        self.line.run_id = run_id or self.line.run_id
        return run_id

    async def _send(self, data: bytes, *, answered: bool) -> None:
        if answered:
            self._unanswered += 1
            self._all_answered.clear()
        await self.line.passed(len(data))
        self.to_server.write(data)
        await self.to_server.drain()

    async def _stream(self, left: int, *, flip: bool) -> None:
        """Forward the rest of a value; `flip` inverts its last byte."""
        while left:
            chunk = await self.client.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise ConnectionEndedError
            await self.line.passed(len(chunk))
            last = left - _END_OF_LINE - 1
            if flip and last < len(chunk):
                chunk = chunk[:last] + bytes([chunk[last] ^ 0xFF]) + chunk[last + 1 :]
                flip = False
            self.to_server.write(chunk)
            await self.to_server.drain()
            left -= len(chunk)

    async def _refuse(self, left: int, store: Store) -> None:
        await self.client.readexactly(left)
        while self._unanswered > 0:
            await self._all_answered.wait()
        if not store.noreply:
            await self.line.write(OUT_OF_MEMORY)

    async def _inject_into_lambda(self, fault: Fault, run_id: str, put: ObservedPut | None) -> None:
        if put is None:
            return
        injections = self.proxy.board.find(run_id)
        if injections is None:
            return
        gateway, ranks = self.proxy.gateway, injections.target_ranks(fault, put)
        if fault.action == "kill" and fault.when == "after-put":
            self._after_put.append(lambda: gateway.inject(run_id, fault, ranks))
            return
        await gateway.inject(run_id, fault, ranks)
        if fault.action == "kill":
            raise ConnectionEndedError

    async def _inject_after_put(self) -> None:
        if not self._after_put:
            return
        for inject in self._after_put:
            await inject()
        raise ConnectionEndedError
