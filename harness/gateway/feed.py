"""What functions print, how invocations end, code that changes, for whoever listens; the last invocations with events.

    an environment's log --line-----------> its log stream, and the listeners
    an environment       --invocation end-> the last invocations, and the listeners

CloudWatch Logs has the same lines, but later, and for a price: each look at it takes milliseconds of the same cores.
A listener that reads too slowly misses lines, and is told how many; functions never wait for it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

FEED, INVOCATIONS = "/_harness/feed", "/_harness/invocations"
# The last invocations are kept with their events, up to so many bytes of them.
KEPT, KEPT_BYTES = 100, 8 * 1_048_576
# What a listener may be behind.
MOST_WAITING, MOST_WAITING_BYTES = 10_000, 8 * 1_048_576


class FeedLines(msgspec.Struct, frozen=True, tag="lines"):
    """Whole lines of a function's log.

    Attributes:
        function: The function's name.
        text: The lines, each with a line feed at its end; a carriage return is a line end within one log event.
    """

    function: str
    text: str


class FeedInvocation(msgspec.Struct, frozen=True, tag="invocation", kw_only=True):
    """One attempt of an invocation that has ended, however it did.

    Attributes:
        number: Increases by one with each.
        function: The function's name.
        version: The version that ran.
        request_id: Its request id; a retried event keeps it.
        attempt: Which attempt of this request it was, from 1.
        error: The type of its error; empty if it succeeded.
        duration_ms: Its duration.
        billed_ms: The duration that AWS would bill.
        memory_mb: The function's memory size.
        used_mb: The most memory that the environment has used.
        init_ms: How long the start of the environment took; None if the environment was warm.
        ended_at: When it ended, seconds since the epoch.
        payload: The event. The feed leaves it out.
    """

    number: int = 0
    function: str
    version: str
    request_id: str
    attempt: int = 1
    error: str
    duration_ms: float
    billed_ms: int
    memory_mb: int
    used_mb: int
    init_ms: float | None
    ended_at: float
    payload: str = ""


class FeedSkipped(msgspec.Struct, frozen=True, tag="skipped"):
    """A listener has missed records, because it was too slow.

    Attributes:
        count: How many.
    """

    count: int


class FeedCode(msgspec.Struct, frozen=True, tag="code"):
    """A function was created, or its code was updated.

    Attributes:
        function: The function's name.
        sha256: The hash of its code, as the Lambda API returns it.
    """

    function: str
    sha256: str


FeedRecord = FeedLines | FeedInvocation | FeedCode | FeedSkipped


class LogWriter(Protocol):
    """The log stream of one environment."""

    @property
    def full(self) -> bool:
        """Return whether so many lines are queued that the function must wait."""

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Queue whole lines."""

    def when_room(self, call: Callable[[], None]) -> None:
        """Call the function once there is room again."""


class FeedListener:
    """One listener, with the encoded records that it has not read yet."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._skipped = 0
        self._arrived = asyncio.Event()

    def put(self, record: bytes) -> None:
        """Queue a record, or count it as skipped if too many are queued."""
        if len(self._waiting) >= MOST_WAITING or self._bytes + len(record) > MOST_WAITING_BYTES:
            self._skipped += 1
            return
        self._waiting.append(record)
        self._bytes += len(record)
        self._arrived.set()

    async def take(self) -> bytes:
        """Return all records that have arrived, one a line, as soon as there is one."""
        await self._arrived.wait()
        self._arrived.clear()
        records = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        if self._skipped:
            records.append(msgspec.json.encode(FeedSkipped(self._skipped)))
            self._skipped = 0
        return b"".join(record + b"\n" for record in records)


class Feed:
    """The listeners, and the last invocations of all functions."""

    def __init__(self) -> None:
        self._listeners: set[FeedListener] = set()
        self._last: deque[FeedInvocation] = deque()
        self._attempts = Counter[str]()
        self._bytes = 0
        self._number = 0

    def end_invocation(self, ended: FeedInvocation) -> None:
        """Keep an invocation that has ended, and report it."""
        self._number += 1
        self._attempts[ended.request_id] += 1
        ended = msgspec.structs.replace(ended, number=self._number, attempt=self._attempts[ended.request_id])
        self._last.append(ended)
        self._bytes += len(ended.payload)
        while len(self._last) > KEPT or (self._bytes > KEPT_BYTES and len(self._last) > 1):
            oldest = self._last.popleft()
            self._bytes -= len(oldest.payload)
            if self._attempts[oldest.request_id] == oldest.attempt:
                del self._attempts[oldest.request_id]
        if self._listeners:
            self._report(msgspec.structs.replace(ended, payload=""))

    def write_lines(self, function: str, text: str) -> None:
        """Report whole lines of a function's log."""
        if self._listeners:
            self._report(FeedLines(function, text))

    def change_code(self, function: str, sha256: str) -> None:
        """Report that a function has other code."""
        if self._listeners:
            self._report(FeedCode(function, sha256))

    def last_invocations(self) -> list[FeedInvocation]:
        """Return the last invocations with their events, the oldest first."""
        return list(self._last)

    async def listen(self) -> AsyncIterator[bytes]:
        """Yield records as lines of JSON, from now on; the first line is empty, and says that the listener is known."""
        listener = FeedListener()
        self._listeners.add(listener)
        try:
            yield b"\n"
            while True:
                yield await listener.take()
        finally:
            self._listeners.discard(listener)

    def _report(self, record: FeedRecord) -> None:
        encoded = msgspec.json.encode(record)
        for listener in self._listeners:
            listener.put(encoded)


class FeedingLog:
    """A log stream whose lines the feed reports, too.

    Args:
        feed: The feed.
        function: The function's name.
        log: The log stream.
    """

    def __init__(self, feed: Feed, function: str, log: LogWriter) -> None:
        self._feed, self._function, self._log = feed, function, log
        self.when_room = log.when_room

    @property
    def full(self) -> bool:
        """Return whether the log stream is full."""
        return self._log.full

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Write whole lines."""
        self._log.write(text, urgent=urgent)
        self._feed.write_lines(self._function, text)


def feed_routes(feed: Feed) -> list[Route]:
    """Return the routes by which a command listens and asks for the last invocations."""

    async def listen(_request: Request) -> Response:
        return StreamingResponse(feed.listen(), media_type="application/x-ndjson")

    async def last_invocations(_request: Request) -> Response:
        return Response(msgspec.json.encode(feed.last_invocations()), media_type="application/json")

    return [Route(FEED, listen, methods=["GET"]), Route(INVOCATIONS, last_invocations, methods=["GET"])]
