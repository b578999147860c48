"""The connections of a proxy, and the faults that last on them.

    client ---- passed() ----> service      silence, bandwidth, a limit of bytes
    client <--- write() ------ service      the same, and slices
    client <--- end() -------- service      the end of a connection, at once or late

A fault with a rank strikes what this rank's environment sends and receives, whatever that is, and nothing else.
The kinds are those of Toxiproxy: https://github.com/Shopify/toxiproxy#toxics
"""

import asyncio
import math
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass

from harness.faults.board import Board
from harness.faults.plan import LASTING_ACTIONS, Fault
from harness.network.gateway_link import GatewayLink
from harness.network.listener import reset
from harness.network.places import Places


class ConnectionEndedError(ConnectionError):
    """A fault has ended this connection, which is reset."""


class ConnectionUsedUpError(ConnectionError):
    """A connection has carried what it may, and is closed in order."""


@dataclass(frozen=True)
class Ranks:
    """Knows which rank of a run a connection is of.

    Attributes:
        places: Know the environment of a connection.
        gateway: Knows the rank that an environment works for.
    """

    places: Places
    gateway: GatewayLink

    async def of(self, writer: asyncio.StreamWriter, run_id: str) -> int | None:
        """Return the rank at the other end of a connection; None if no rank of this run is there."""
        place = await self.places.of(writer.get_extra_info("socket"))
        return None if place is None else (await self.gateway.ranks(run_id)).get(place.id)


@dataclass(frozen=True, eq=False)
class _Lasting:
    """A fault that has begun.

    Attributes:
        fault: The fault.
        run_id: The run whose plan has it.
        until: When it is over, on the event loop's clock; it is over with the run's plan at the latest.
    """

    fault: Fault
    run_id: str
    until: float


class ClientLines:
    """The connections of one service, through one proxy or several.

    Args:
        board: The plans of all runs.
        ranks: Know whose connection it is; None where no gateway does.
        by_run: Whether a fault strikes only connections whose run is known to be its own.
    """

    def __init__(self, board: Board, ranks: Ranks | None, *, by_run: bool) -> None:
        self._board, self._ranks, self._by_run = board, ranks, by_run
        self._lasting: list[_Lasting] = []
        self._open: dict[asyncio.StreamWriter, ClientLine] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, fault: Fault, run_id: str) -> None:
        """Begin a fault that lasts."""
        now = asyncio.get_running_loop().time()
        self._lasting = [*self._in_force(), _Lasting(fault, run_id, now + fault.s if fault.s else math.inf)]
        if fault.action == "cut":
            for line in self._open.values():
                self._start(line.check())

    def open(self, writer: asyncio.StreamWriter) -> "ClientLine":
        """Return the line of a connection that a client has opened."""
        line = self._open[writer] = ClientLine(self, writer)
        return line

    def close(self, writer: asyncio.StreamWriter) -> None:
        """Forget a connection that has ended."""
        self._open.pop(writer, None)

    def end(self, writer: asyncio.StreamWriter) -> None:
        """Break a connection, or let the client believe in it for a while if closing is slow."""
        line = self._open.get(writer)
        if line is None or not any(one.fault.action == "slow-close" for one in self._in_force()):
            reset(writer)
        else:
            self._start(line.break_slowly())

    async def on(self, line: "ClientLine") -> list[_Lasting]:
        """Return the faults that strike a connection now."""
        return [one for one in self._in_force() if await self._strikes(one, line)] if self._lasting else []

    async def rank_of(self, line: "ClientLine", run_id: str) -> int | None:
        """Return the rank that a connection is of, looked up anew."""
        return None if self._ranks is None else await self._ranks.of(line.writer, run_id)

    def _in_force(self) -> list[_Lasting]:
        if self._lasting:
            now = asyncio.get_running_loop().time()
            self._lasting = [one for one in self._lasting if now < one.until and one.run_id in self._board.runs]
        return self._lasting

    async def _strikes(self, one: _Lasting, line: "ClientLine") -> bool:
        if one.fault.rank is not None:
            return one.fault.rank == await line.rank_in(one.run_id)
        # A silent network is silent for everybody.
        return not self._by_run or one.fault.action == "blackhole" or line.run_id == one.run_id

    def _start(self, what: Coroutine[None, None, None]) -> None:
        async def run() -> None:
            with suppress(ConnectionError):
                await what

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class ClientLine:
    """One connection.

    Attributes:
        writer: Its client's end.
        run_id: The run that its most recent key belongs to; None where that is not known.
    """

    def __init__(self, lines: ClientLines, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.run_id: str | None = None
        self._lines = lines
        self._ranks: dict[str, int] = {}
        self._carried: dict[_Lasting, int] = {}

    def forget_ranks(self) -> None:
        """Have the rank looked up again: an environment may keep a connection and work for another rank."""
        self._ranks.clear()

    async def rank_in(self, run_id: str) -> int | None:
        """Return the rank of a run that the client is; None if it is none."""
        rank = self._ranks.get(run_id)
        if rank is None:
            rank = await self._lines.rank_of(self, run_id)
        # An emulated network says whose connection it has made only once that is there, so nobody is no answer to keep.
        if rank is not None:
            self._ranks[run_id] = rank
        return rank

    async def passed(self, count: int) -> None:
        """Wait for the time that bytes take in either direction.

        Raises:
            ConnectionEndedError: The client is cut off.
            ConnectionUsedUpError: The connection carries no more.
        """
        if await self._let_pass(count) < count:
            raise ConnectionUsedUpError

    async def write(self, data: bytes) -> None:
        """Send bytes to the client.

        Raises:
            ConnectionEndedError: The client is cut off.
            ConnectionUsedUpError: The connection carries no more.
        """
        allowed = await self._let_pass(len(data))
        pause_s, pieces = await self._slices(data[:allowed])
        for number, piece in enumerate(pieces):
            if number and pause_s:
                await asyncio.sleep(pause_s)
            self.writer.write(piece)
            await self.writer.drain()
        if allowed < len(data):
            raise ConnectionUsedUpError

    async def linger(self) -> None:
        """Wait for as long as the client does not learn that its connection has ended."""
        delays = [one.fault.delay_ms or 0.0 for one in await self._lines.on(self) if one.fault.action == "slow-close"]
        if delays:
            await asyncio.sleep(max(delays) / 1e3)

    async def check(self) -> None:
        """Check that the client may have a connection.

        Raises:
            ConnectionEndedError: It is cut off; its connection is reset.
        """
        if any(one.fault.action == "cut" for one in await self._lines.on(self)):
            reset(self.writer)
            raise ConnectionEndedError

    async def break_slowly(self) -> None:
        """Break the connection after a while."""
        await self.linger()
        reset(self.writer)

    async def _let_pass(self, count: int) -> int:
        """Wait, and return how many of so many bytes the connection may still carry."""
        loop = asyncio.get_running_loop()
        allowed = count
        for one in await self._lines.on(self):
            fault = one.fault
            match fault.action:
                case "cut":
                    raise ConnectionEndedError
                case "blackhole":
                    await asyncio.sleep(max(0.0, one.until - loop.time()))
                case "bandwidth":
                    await asyncio.sleep(8 * count / (1000 * (fault.kbps or 1.0)))
                case "limit":
                    before = self._carried.get(one, 0)
                    self._carried[one] = before + count
                    allowed = min(allowed, max(0, (fault.bytes or 0) - before))
        return allowed

    async def _slices(self, data: bytes) -> tuple[float, Iterator[bytes]]:
        """Return the pause between two slices, seconds, and the slices; one where nothing cuts them."""
        cuts = [one.fault for one in await self._lines.on(self) if one.fault.action == "slice"]
        size = min((fault.bytes or 1 for fault in cuts), default=max(1, len(data)))
        pause_s = max((fault.delay_us or 0.0 for fault in cuts), default=0.0) / 1e6
        return pause_s, (data[at : at + size] for at in range(0, len(data), size))


def lasts(fault: Fault) -> bool:
    """Return whether a fault is one of `ClientLines`: it lasts, or it cuts off one rank."""
    return fault.action in LASTING_ACTIONS or (fault.action == "cut" and fault.rank is not None)
