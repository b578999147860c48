"""CloudWatch Logs as Lambda feeds it: a group for each function unless it names another, a stream per environment.

    environment --lines--> its stream's queue --a batch of each in turn--> the log service

The log service is not on an invocation's path but on the same cores, so lines are collected and sent in batches.
The report of an invocation is sent at once with all queued lines, because whoever follows a run waits for it.
Queues are bounded. The writer of a full stream stops reading the function's output, so a function that prints faster
than the service accepts lines has to wait, while other functions go on.
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
from harness.gateway.logs.output import events_of
from harness.guard import authorization

logger = logging.getLogger(__name__)

# How long lines are collected, and the shortest time between batches, however many reports there are.
FLUSH_INTERVAL_S, SHORTEST_INTERVAL_S = 0.25, 0.05
# The size of one call; CloudWatch adds 26 bytes per event. We use a quarter of the 10,000 lines that it allows, because
# the event loop is blocked while they are encoded.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
BATCH_LINES, BATCH_BYTES, EVENT_BYTES = 2_500, 1_048_576, 26
# A stream is full with two batches, so that one fills while the other is sent, or with less while all streams together
# hold a lot.
FULL_LINES, FULL_BYTES = 2 * BATCH_LINES, BATCH_BYTES
ALL_STREAMS_BYTES, LEAST_FULL_BYTES = 8 * BATCH_BYTES, 65_536
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html
API = "Logs_20140328"
EXISTS = b"ResourceAlreadyExistsException"
CALL_WITHIN_S = 30.0


class LogEvent(msgspec.Struct):
    """One line of an environment's output, in the service's format.

    Attributes:
        timestamp: When it was written, milliseconds since the epoch.
        message: The line, with its end.
    """

    timestamp: int
    message: str


class LogError(Exception):
    """The log emulation refused a request."""


class LogService:
    """Sends lines to the log emulation.

    Args:
        endpoint: Address of the service.
        access_key: The stack's own access key.
        sends: Whether lines are sent; otherwise they go nowhere, at the same pace.
    """

    def __init__(self, endpoint: str, access_key: str, *, sends: bool = True) -> None:
        self._sends = sends
        self._connection = HttpConnection(urlsplit(endpoint).netloc)
        # boto3's headers without a valid signature, which the emulation does not check: a boto3 client would cost the
        # gateway 20 MB, and its requests would delay invocations.
        self._headers = {
            **authorization(access_key, "logs"),
            "Content-Type": "application/x-amz-json-1.1",
        }
        self._pending_bytes = 0
        self._waiting: dict[LogStream, None] = {}
        self._gateways: dict[str, LogStream] = {}
        self._groups: set[str] = set()
        self._wake, self._urgent, self._pressed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._sending = asyncio.Lock()
        # Streams of an earlier generation belong to environments that were removed by `forget`.
        self.generation = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to send in the background."""
        self._task = asyncio.create_task(self._send_forever())

    async def stop(self) -> None:
        """Stop the background task; lines still queued are lost with the stack."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._connection.close()

    def stream(self, group: str, name: str) -> "LogStream":
        """Open a stream of a log group; its first lines create both in the service."""
        return LogStream(self, group, name)

    async def flush(self) -> None:
        """Wait until the service has all lines that were queued before."""
        self._urgent.set()
        self._pressed.set()
        await self._all_sent.wait()

    async def forget(self) -> None:
        """Drop all queued lines, and whatever the present streams still write; the service forgets its groups, too."""
        self.generation += 1
        self._waiting.clear()
        self._gateways.clear()
        self._pending_bytes = 0
        async with self._sending:
            self._groups.clear()
        if not self._waiting:
            self._all_sent.set()

    def write(self, group: str, message: str) -> None:
        """Log a message of the gateway itself about a function, for events without an environment."""
        stream = self._gateways.get(group)
        if stream is None:
            stream = self._gateways[group] = self.stream(group, "gateway")
        stream.write(message.encode(errors="replace").decode() + "\n", urgent=True)

    @property
    def crowded(self) -> bool:
        """Return whether all streams together hold so much that each may hold only a little."""
        return self._pending_bytes >= ALL_STREAMS_BYTES

    def queued(self, stream: "LogStream", size: int, *, urgent: bool) -> None:
        """Record that a stream has queued lines."""
        self._pending_bytes += size
        self._waiting[stream] = None
        self._all_sent.clear()
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
            async with self._sending:
                await self._send_waiting()
            if self._waiting:
                self._wake.set()
            else:
                self._all_sent.set()
            # Pause between batches, unless a writer waits for room.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pressed.wait(), SHORTEST_INTERVAL_S)

    async def _send_waiting(self) -> None:
        for stream in list(self._waiting):
            if stream not in self._waiting:
                continue  # forgotten while an earlier one was sent
            batch, size = stream.next_batch()
            self._pending_bytes -= size
            if not stream.pending:
                del self._waiting[stream]
            await self._send(stream, batch)
            stream.notify_waiters()
            self._press(stream)

    async def _send(self, stream: "LogStream", batch: list[LogEvent]) -> None:
        if not self._sends:
            return
        try:
            try:
                await self._put(stream, batch)
            except LogError:
                # The group may have been deleted: create it again.
                self._groups.discard(stream.group)
                stream.exists = False
                await self._put(stream, batch)
        except Exception:
            # Go on: the lines of other streams must still be sent.
            logger.exception("%d log lines were lost", len(batch))

    async def _put(self, stream: "LogStream", batch: list[LogEvent]) -> None:
        names = {"logGroupName": stream.group, "logStreamName": stream.name}
        if stream.group not in self._groups:
            await self._call("CreateLogGroup", {"logGroupName": stream.group})
            self._groups.add(stream.group)
        if not stream.exists:
            await self._call("CreateLogStream", names)
            stream.exists = True
        await self._call("PutLogEvents", {**names, "logEvents": batch})

    async def _call(self, operation: str, arguments: dict[str, Any]) -> None:
        """Call the service, and once more on a new connection if this one has failed.

        Raises:
            OSError: There is no answer.
            TimeoutError: The answer did not arrive in time.
            LogError: The service refuses, unless because the resource already exists.
        """
        headers = {**self._headers, "X-Amz-Target": f"{API}.{operation}"}
        body = msgspec.json.encode(arguments)
        try:
            answer = await self._connection.post("/", body, headers, CALL_WITHIN_S)
        except TimeoutError:
            # Do not repeat the call, which the service may have executed.
            raise
        except OSError:
            answer = await self._connection.post("/", body, headers, CALL_WITHIN_S)
        if answer.status != HTTPStatus.OK and EXISTS not in answer.body:
            raise LogError(f"{operation}: {answer.status} {answer.body[:200].decode(errors='replace')}")


class LogStream:
    """The stream of one environment, with the lines still to be sent.

    Args:
        service: Sends the lines.
        group: The log group's name.
        name: The stream's name.
    """

    def __init__(self, service: LogService, group: str, name: str) -> None:
        self.group, self.name = group, name
        self.exists = False
        self.pending: deque[LogEvent] = deque()
        self._service = service
        self._generation = service.generation
        self._bytes = 0
        self._now_ms = 0
        self._calls: dict[Callable[[], None], None] = {}

    @property
    def full(self) -> bool:
        """Return whether so many lines are queued that no more should be written."""
        if len(self.pending) >= FULL_LINES or self._bytes >= FULL_BYTES:
            return True
        return self._bytes >= LEAST_FULL_BYTES and self._service.crowded

    def write(self, text: str, *, urgent: bool = False) -> None:
        """Queue whole lines, each as one event; see `events_of` for marks within them. Never blocks."""
        if self._generation != self._service.generation:
            return
        # The service refuses a batch whose timestamps decrease.
        now_ms = self._now_ms = max(self._now_ms, time.time_ns() // 1_000_000)
        events = events_of(text)
        self.pending += [LogEvent(now_ms, event) for event in events]
        size = sum(map(len, events)) + EVENT_BYTES * len(events)
        self._bytes += size
        self._service.queued(self, size, urgent=urgent)

    def when_room(self, call: Callable[[], None]) -> None:
        """Call the function once there is room again; once, however often it was passed."""
        self._calls[call] = None

    def next_batch(self) -> tuple[list[LogEvent], int]:
        """Remove and return the events for one call of the service, with their size."""
        batch: list[LogEvent] = []
        size, size_sent = 0, 0
        while self.pending and len(batch) < BATCH_LINES:
            event = self.pending[0]
            # `size` counts bytes as the service does, `size_sent` characters as `write` did.
            message = event.message
            size += (len(message) if message.isascii() else len(message.encode())) + EVENT_BYTES
            if batch and size > BATCH_BYTES:
                break
            size_sent += len(message) + EVENT_BYTES
            batch.append(self.pending.popleft())
        self._bytes -= size_sent
        return batch, size_sent

    def notify_waiters(self) -> None:
        """Call the functions that wait for room, if there is room."""
        if self._calls and not self.full:
            calls, self._calls = self._calls, {}
            for call in calls:
                call()
