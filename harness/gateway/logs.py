"""CloudWatch Logs as Lambda feeds it: one group per function, one stream per environment.

    environment --lines--> its stream's queue --a batch of each in turn--> the log service

The log service is not on an invocation's path, but on the same cores: lines are gathered and sent in batches.
The report of an invocation goes out at once, and with it all that waits: whoever follows a run looks for it.
A queue is bounded: a stream that is full says so, and whoever writes into it stops reading the function's output, so
that a function that prints faster than the service takes lines waits, and no other function does.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from harness.gateway.connection import HttpConnection
from harness.guard import authorization

logger = logging.getLogger(__name__)

# How long lines are gathered; and how far apart batches are at least, however many reports there are.
FLUSH_INTERVAL_S, SHORTEST_INTERVAL_S = 0.25, 0.05
# What one call takes, each event counted with 26 bytes of CloudWatch's own; of the 10,000 lines that it may have, a
# quarter, as others wait while they are encoded.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
BATCH_LINES, BATCH_BYTES, EVENT_BYTES = 2_500, 1_048_576, 26
# A stream is full with two batches, so that one fills while the other is sent; or with less when many streams together
# have many.
FULL_LINES, FULL_BYTES = 2 * BATCH_LINES, BATCH_BYTES
ALL_STREAMS_BYTES, LEAST_FULL_BYTES = 8 * BATCH_BYTES, 65_536
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html
API = "Logs_20140328"
EXISTS = b"ResourceAlreadyExistsException"
CALL_WITHIN_S = 30.0
GROUP_PREFIX = "/aws/lambda/"


class LogEvent(msgspec.Struct):
    """One line of one environment's output, as the service takes it.

    Attributes:
        timestamp: When it was written, milliseconds since the epoch.
        message: The line.
    """

    timestamp: int
    message: str


class LogError(Exception):
    """The log emulation refused a request."""


class LogService:
    """Sends lines to the log emulation.

    Args:
        endpoint: Address of the service.
        access_key: The stack's own.
    """

    def __init__(self, endpoint: str, access_key: str) -> None:
        self._connection = HttpConnection(urlsplit(endpoint).netloc)
        # As boto3 would sign it, but for the signature, which the emulation does not look at: a client of boto3's
        # costs the gateway 20 MB, and its requests time that invocations wait for.
        self._headers = {
            **authorization(access_key, "logs"),
            "Content-Type": "application/x-amz-json-1.1",
        }
        self._pending_bytes = 0
        self._waiting: dict[LogStream, None] = {}
        self._gateways: dict[str, LogStream] = {}
        self._groups: set[str] = set()
        self._wake, self._urgent, self._pressed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to send in the background."""
        self._task = asyncio.create_task(self._send_forever())

    async def stop(self) -> None:
        """Stops the background task; what is still pending goes with the stack."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._connection.close()

    def stream(self, function: str, name: str) -> "LogStream":
        """Open a stream of a function's log; the service gets to know of it with the first lines."""
        return LogStream(self, function, name)

    def write(self, function: str, message: str) -> None:
        """Log what the gateway itself has to say of a function, where no environment can."""
        stream = self._gateways.get(function)
        if stream is None:
            stream = self._gateways[function] = self.stream(function, "gateway")
        stream.write(message.encode(errors="replace").decode() + "\n", urgent=True)

    @property
    def crowded(self) -> bool:
        """Whether all streams together have so much that each may have little."""
        return self._pending_bytes >= ALL_STREAMS_BYTES

    def queued(self, stream: "LogStream", size: int, *, urgent: bool) -> None:
        """Take note of a stream's lines."""
        self._pending_bytes += size
        self._waiting[stream] = None
        self._wake.set()
        if urgent:
            self._urgent.set()
        self._press(stream)

    def _press(self, stream: "LogStream") -> None:
        if stream.full:
            self._pressed.set()
            self._urgent.set()

    async def _send_forever(self) -> None:
        while True:
            await self._wake.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), FLUSH_INTERVAL_S)
            for event in (self._wake, self._urgent, self._pressed):
                event.clear()
            for stream in list(self._waiting):
                batch, size = stream.next_batch()
                self._pending_bytes -= size
                if not stream.pending:
                    del self._waiting[stream]
                await self._send(stream, batch)
                stream.notify_waiters()
                self._press(stream)
            if self._waiting:
                self._wake.set()
            # Somebody waits for room: no time for a pause.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pressed.wait(), SHORTEST_INTERVAL_S)

    async def _send(self, stream: "LogStream", batch: list[LogEvent]) -> None:
        try:
            try:
                await self._put(stream, batch)
            except LogError:
                # Perhaps somebody has deleted the group: create it again.
                self._groups.discard(stream.function)
                stream.exists = False
                await self._put(stream, batch)
        except Exception:
            # Whatever it is, the lines of others are to be sent all the same.
            logger.exception("%d log lines were lost", len(batch))

    async def _put(self, stream: "LogStream", batch: list[LogEvent]) -> None:
        group = GROUP_PREFIX + stream.function
        names = {"logGroupName": group, "logStreamName": stream.name}
        if stream.function not in self._groups:
            await self._call("CreateLogGroup", {"logGroupName": group})
            self._groups.add(stream.function)
        if not stream.exists:
            await self._call("CreateLogStream", names)
            stream.exists = True
        await self._call("PutLogEvents", {**names, "logEvents": batch})

    async def _call(self, operation: str, arguments: dict[str, Any]) -> None:
        """Calls the service, and once more on another connection when this one has failed.

        Raises:
            OSError: There is no answer.
            TimeoutError: It did not come in time.
            LogError: The service refuses, not only because the thing exists already.
        """
        headers = {**self._headers, "X-Amz-Target": f"{API}.{operation}"}
        body = msgspec.json.encode(arguments)
        try:
            answer = await self._connection.post("/", body, headers, CALL_WITHIN_S)
        except TimeoutError:
            # The service may have taken it.
            raise
        except OSError:
            answer = await self._connection.post("/", body, headers, CALL_WITHIN_S)
        if answer.status != HTTPStatus.OK and EXISTS not in answer.body:
            raise LogError(f"{operation}: {answer.status} {answer.body[:200].decode(errors='replace')}")


class LogStream:
    """The stream of one environment, with the lines that are still to be sent.

    Args:
        service: Sends them.
        function: The function's name.
        name: The stream's.
    """

    def __init__(self, service: LogService, function: str, name: str) -> None:
        self.function, self.name = function, name
        self.exists = False
        self.pending: deque[LogEvent] = deque()
        self._service = service
        self._bytes = 0
        self._now_ms = 0
        self._calls: dict[Callable[[], None], None] = {}

    @property
    def full(self) -> bool:
        """Whether so many lines wait that no more should come."""
        if len(self.pending) >= FULL_LINES or self._bytes >= FULL_BYTES:
            return True
        return self._bytes >= LEAST_FULL_BYTES and self._service.crowded

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Take whole lines, each one an event; a carriage return is a line's end within one. Never blocks."""
        # The service refuses a batch in which time goes back.
        now_ms = self._now_ms = max(self._now_ms, time.time_ns() // 1_000_000)
        lines = text.split("\n")[:-1]
        if "\r" in text:
            lines = [line.replace("\r", "\n") for line in lines]
        self.pending += [LogEvent(now_ms, line) for line in lines]
        size = len(text) + EVENT_BYTES * len(lines)
        self._bytes += size
        self._service.queued(self, size, urgent=urgent)

    def when_room(self, call: Callable[[], None]) -> None:
        """Call once there is room again; once, however often it was asked for."""
        self._calls[call] = None

    def next_batch(self) -> tuple[list[LogEvent], int]:
        """Take out what one call of the service may hold; returns its size, too."""
        batch: list[LogEvent] = []
        size, size_sent = 0, 0
        while self.pending and len(batch) < BATCH_LINES:
            event = self.pending[0]
            # As the service counts, and as `write` did.
            message = event.message
            size += (len(message) if message.isascii() else len(message.encode())) + EVENT_BYTES
            if batch and size > BATCH_BYTES:
                break
            size_sent += len(message) + 1 + EVENT_BYTES
            batch.append(self.pending.popleft())
        self._bytes -= size_sent
        return batch, size_sent

    def notify_waiters(self) -> None:
        """Call those who wait for room, if there is."""
        if self._calls and not self.full:
            calls, self._calls = self._calls, {}
            for call in calls:
                call()
