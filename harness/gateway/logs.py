"""CloudWatch Logs as Lambda feeds it: one group per function, one stream per environment.

Lines are gathered and sent in batches: the log service is not on an invocation's path, but on the same cores.
The report of an invocation goes out at once, and with it all that waits: whoever follows a run looks for it.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from harness.gateway.connection import HttpConnection
from harness.guard import authorization

logger = logging.getLogger(__name__)

# How long lines are gathered; and how far apart batches are at least, however many reports there are.
FLUSH_INTERVAL_S, SHORTEST_INTERVAL_S = 0.25, 0.05
REPORT = "REPORT "
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
BATCH_LINES = 10_000
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html
API = "Logs_20140328"
EXISTS = b"ResourceAlreadyExistsException"
CALL_WITHIN_S = 30.0
GROUP_PREFIX = "/aws/lambda/"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one environment's output.

    Attributes:
        function: The function's name.
        stream: The environment's log stream.
        timestamp_ms: When it was written, milliseconds since the epoch.
        message: The line.
    """

    function: str
    stream: str
    timestamp_ms: int
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
        self._pending: list[LogLine] = []
        self._groups: set[str] = set()
        self._streams: set[tuple[str, str]] = set()
        self._wake, self._reported = asyncio.Event(), asyncio.Event()
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

    def write(self, function: str, stream: str, message: str) -> None:
        """Takes a line; never blocks."""
        self._pending.append(LogLine(function, stream, time.time_ns() // 1_000_000, message))
        self._wake.set()
        if message.startswith(REPORT):
            self._reported.set()

    async def _send_forever(self) -> None:
        while True:
            await self._wake.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._reported.wait(), FLUSH_INTERVAL_S)
            self._wake.clear()
            self._reported.clear()
            batch, self._pending = self._pending[:BATCH_LINES], self._pending[BATCH_LINES:]
            await self._send(batch)
            if self._pending:
                self._wake.set()
            await asyncio.sleep(SHORTEST_INTERVAL_S)

    async def _send(self, batch: list[LogLine]) -> None:
        by_stream: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for line in batch:
            event = {"timestamp": line.timestamp_ms, "message": line.message}
            by_stream.setdefault((line.function, line.stream), []).append(event)
        for (function, stream), events in by_stream.items():
            names = {"logGroupName": GROUP_PREFIX + function, "logStreamName": stream}
            try:
                if function not in self._groups:
                    await self._call("CreateLogGroup", {"logGroupName": names["logGroupName"]})
                    self._groups.add(function)
                if (function, stream) not in self._streams:
                    await self._call("CreateLogStream", names)
                    self._streams.add((function, stream))
                await self._call("PutLogEvents", {**names, "logEvents": events})
            except (OSError, TimeoutError, LogError):
                logger.exception("%d log lines were lost", len(events))
                # Perhaps somebody has deleted them: the next lines make them anew.
                self._groups.discard(function)
                self._streams.discard((function, stream))

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
        except OSError:
            answer = await self._connection.post("/", body, headers, CALL_WITHIN_S)
        if answer.status != HTTPStatus.OK and EXISTS not in answer.body:
            raise LogError(f"{operation}: {answer.status} {answer.body[:200].decode(errors='replace')}")
