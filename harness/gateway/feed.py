"""What functions print, where their invocations are, and code that changes, for whoever listens.

    an environment's log   --line---------> its log stream, and the listeners
    the book of attempts   --its record---> the listeners, whenever the state of an attempt changes

CloudWatch Logs has the same lines, but later, and for a price: each look at it takes milliseconds of the same cores.
A listener that reads too slowly misses lines, and is told how many; functions never wait for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from harness.gateway.attempts import InvocationRecord
from harness.gateway.logs.output import readable

FEED = "/_harness/feed"
# What a listener may be behind.
MOST_WAITING, MOST_WAITING_BYTES = 10_000, 8 * 1_048_576


class FeedLines(msgspec.Struct, frozen=True, tag="lines"):
    """Whole lines of a function's log.

    Attributes:
        function: The function's name.
        text: The lines, each with a line feed at its end; a carriage return is a line end within one log event.
        at: When they were read, seconds since the epoch.
        environment: The name of the environment that wrote them; empty if none did.
        request_id: The request that it ran then; empty before its first one.
    """

    function: str
    text: str
    at: float = 0.0
    environment: str = ""
    request_id: str = ""


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


FeedRecord = FeedLines | InvocationRecord | FeedCode | FeedSkipped


class LogWriter(Protocol):
    """The log stream of one environment."""

    @property
    def full(self) -> bool:
        """Return whether so many lines are queued that the function must wait."""

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Queue whole lines."""

    def when_room(self, call: Callable[[], None]) -> None:
        """Call the function once there is room again."""


class FunctionLog(LogWriter, Protocol):
    """The same, which knows the request that the lines belong to."""

    def begin(self, request_id: str) -> None:
        """Take the lines from now on for those of this request."""


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
    """The listeners."""

    def __init__(self) -> None:
        self._listeners: set[FeedListener] = set()

    def change_attempt(self, record: InvocationRecord) -> None:
        """Report that the state of an attempt has changed."""
        if self._listeners:
            self._report(record)

    def write_lines(self, function: str, text: str, environment: str = "", request_id: str = "") -> None:
        """Report whole lines of a function's log."""
        if self._listeners:
            self._report(FeedLines(function, readable(text, within="\r"), time.time(), environment, request_id))

    def write_line(self, function: str, line: str) -> None:
        """Report a line about a function that is not in its log."""
        self.write_lines(function, line + "\n")

    def change_code(self, function: str, sha256: str) -> None:
        """Report that a function has other code."""
        if self._listeners:
            self._report(FeedCode(function, sha256))

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
        environment: The name of the environment that writes it.
        log: The log stream.
    """

    def __init__(self, feed: Feed, function: str, environment: str, log: LogWriter) -> None:
        self._feed, self._function, self._environment, self._log = feed, function, environment, log
        self._request_id = ""
        self.when_room = log.when_room

    def begin(self, request_id: str) -> None:
        """Take the lines from now on for those of this request."""
        self._request_id = request_id

    @property
    def full(self) -> bool:
        """Return whether the log stream is full."""
        return self._log.full

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Write whole lines."""
        self._log.write(text, urgent=urgent)
        self._feed.write_lines(self._function, text, self._environment, self._request_id)


def feed_routes(feed: Feed) -> list[Route]:
    """Return the route by which a command listens."""

    async def listen(_request: Request) -> Response:
        return StreamingResponse(feed.listen(), media_type="application/x-ndjson")

    return [Route(FEED, listen, methods=["GET"])]
