"""A proxy in front of Memcached that reads keys on the wire and brings about what the plan says.

    worker ----> proxy ----> memcached        commands: heads are read, values are streamed
    worker <---- proxy <---- memcached        replies: counted, so that one of the proxy's own keeps the order

It speaks the text protocol as far as pymemcache does; anything else passes as a line with one reply.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from harness.faults.board import Board
from harness.faults.plan import Fault
from harness.faults.strikes import Sight
from harness.network.cache_process import CacheProcess
from harness.network.discovery import Node, is_http
from harness.network.door import Door, reset
from harness.network.gateway_link import GatewayLink
from harness.network.wire import (
    HEAD_BYTES,
    OUT_OF_MEMORY,
    ReplyCounter,
    Store,
    read_sight,
    read_store,
    run_of,
    wants_reply,
)

CHUNK_BYTES = 65_536
_END_OF_LINE = 2


class ConnectionOverError(ConnectionError):
    """A fault has ended this connection."""


@dataclass
class Weather:
    """What holds for all connections for a while.

    Attributes:
        silent_until: Nothing comes through before, on the event loop's clock.
        slow: By run, the bandwidth of each of its connections each way (kbps), and when that limit ends, on the event
            loop's clock; it ends with the run's plan at the latest.
    """

    silent_until: float = 0.0
    slow: dict[str, tuple[float, float]] = field(default_factory=dict)


class MemcachedProxy:
    """The proxy.

    Args:
        listen: Where clients connect.
        cache: The Memcached behind it.
        board: The plans of all runs.
        gateway: Carries out what concerns the Lambda service.
    """

    def __init__(self, listen: Node, cache: CacheProcess, board: Board, gateway: GatewayLink) -> None:
        self.door = Door(listen, self._client)
        self.weather = Weather()
        self.board, self.gateway, self._cache = board, gateway, cache
        self._tasks: set[asyncio.Task[None]] = set()

    async def pass_bytes(self, count: int, run_id: str | None) -> None:
        """Wait as long as these bytes take on a connection of this run."""
        loop, weather = asyncio.get_running_loop(), self.weather
        await asyncio.sleep(max(0.0, weather.silent_until - loop.time()))
        if run_id in weather.slow and run_id in self.board.runs:
            kbps, until = weather.slow[run_id]
            if loop.time() < until:
                await asyncio.sleep(8 * count / (1000 * kbps))

    def strike(self, fault: Fault, run_id: str) -> None:
        """Brings about what concerns all connections; what lasts goes on by itself."""
        now = asyncio.get_running_loop().time()
        match fault.action:
            case "cut":
                self._begin(self._cut(fault.s or 0.0))
            case "restart":
                self._begin(self._restart(fault.down_s))
            case "blackhole":
                self.weather.silent_until = now + (fault.s or 0.0)
            case "bandwidth":
                for over in self.weather.slow.keys() - self.board.runs.keys():
                    del self.weather.slow[over]
                until = float("inf") if fault.s is None else now + fault.s
                self.weather.slow[run_id] = (fault.kbps or 0.0, until)

    def _begin(self, what: Coroutine[None, None, None]) -> None:
        # Not a part of the connection that brought it about: that one ends.
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cut(self, seconds: float) -> None:
        async with self.door.shut():
            await asyncio.sleep(seconds)

    async def _restart(self, down_s: float) -> None:
        async with self.door.shut():
            await self._cache.restart(down_s)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._cache.node)
        connection = _Connection(self, reader, writer, server_reader, server_writer)
        pumps = [asyncio.create_task(pump) for pump in (connection.commands(), connection.replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for outcome in await asyncio.gather(*pumps, return_exceptions=True):
                if isinstance(outcome, ConnectionOverError):
                    reset(writer)
            server_writer.close()


@dataclass
class _Connection:
    proxy: MemcachedProxy
    client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    # The run whose keys the client has used last.
    _run_id: str | None = None
    _unanswered: int = 0
    _all_answered: asyncio.Event = field(default_factory=asyncio.Event)
    # What is due as soon as this client has finished its put: at its next command that is no store.
    _after_put: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def commands(self) -> None:
        """Passes commands on until the client goes."""
        while line := await self.client.readline():
            store = read_store(line)
            if store is not None:
                await self._store(line, store)
                continue
            if is_http(line):
                raise ConnectionOverError
            await self._strike_after_put()
            run_id = self._run_of(line)
            for fault in self.proxy.board.at_command(run_id):
                await asyncio.sleep((fault.ms or 0.0) / 1000)
            await self._send(line, answered=wants_reply(line))

    async def replies(self) -> None:
        """Passes replies back until Memcached goes."""
        counter = ReplyCounter()
        while chunk := await self.server.read(CHUNK_BYTES):
            await self.proxy.pass_bytes(len(chunk), self._run_id)
            self.to_client.write(chunk)
            await self.to_client.drain()
            self._unanswered -= counter.feed(chunk)
            if self._unanswered <= 0:
                self._all_answered.set()

    async def _store(self, line: bytes, store: Store) -> None:
        head = await self.client.readexactly(min(store.length, HEAD_BYTES))
        left = store.length + _END_OF_LINE - len(head)
        board = self.proxy.board
        run_id = run_of(store.key, board.runs)
        self._run_id = run_id or self._run_id
        sight = read_sight(store.key, run_id, head) if run_id else None
        due = board.runs[run_id].at_put(sight) if run_id and sight else []
        due += board.at_command(run_id)
        flip = refused = dropped = False
        for fault in due:
            if fault.target in {"worker", "gateway"}:
                await self._strike_lambda(fault, str(run_id), sight)
            elif fault.action == "delay":
                await asyncio.sleep((fault.ms or 0.0) / 1000)
            elif fault.action in {"cut", "restart", "blackhole", "bandwidth"}:
                self.proxy.strike(fault, str(run_id))
                if fault.action in {"cut", "restart"}:
                    raise ConnectionOverError
            flip |= fault.action == "corrupt"
            refused |= fault.action == "refuse"
            dropped |= fault.action == "evict"
        if refused:
            await self._refuse(left, store)
            return
        await self._send(line + head, answered=not store.noreply)
        await self._stream(left, flip=flip and store.length > len(head))
        if dropped:
            # The server takes one connection's commands in order: nobody can come between.
            self.to_server.write(f"delete {store.key} noreply\r\n".encode())
        await self.to_server.drain()

    def _run_of(self, line: bytes) -> str | None:
        """Return the run that a command's first key belongs to; None for no run's."""
        board = self.proxy.board
        if not board.runs:
            return None
        words = line.split(maxsplit=2)
        run_id = run_of(words[1].decode(errors="replace"), board.runs) if len(words) > 1 else None
        self._run_id = run_id or self._run_id
        return run_id

    async def _send(self, data: bytes, *, answered: bool) -> None:
        if answered:
            self._unanswered += 1
            self._all_answered.clear()
        await self.proxy.pass_bytes(len(data), self._run_id)
        self.to_server.write(data)
        await self.to_server.drain()

    async def _stream(self, left: int, *, flip: bool) -> None:
        """Passes the rest of a value on; `flip` inverts the last byte before the line's end."""
        while left:
            chunk = await self.client.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise ConnectionOverError
            await self.proxy.pass_bytes(len(chunk), self._run_id)
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
            self.to_client.write(OUT_OF_MEMORY)
            await self.to_client.drain()

    async def _strike_lambda(self, fault: Fault, run_id: str, sight: Sight | None) -> None:
        if sight is None:
            return
        strikes = self.proxy.board.find(run_id)
        if strikes is None:
            return
        gateway, victims = self.proxy.gateway, strikes.victims(fault, sight)
        if fault.action == "kill" and fault.when == "after-put":
            self._after_put.append(lambda: gateway.strike(run_id, fault, victims))
            return
        await gateway.strike(run_id, fault, victims)
        if fault.action == "kill":
            raise ConnectionOverError

    async def _strike_after_put(self) -> None:
        if not self._after_put:
            return
        for strike in self._after_put:
            await strike()
        raise ConnectionOverError
