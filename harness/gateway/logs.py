"""CloudWatch Logs as Lambda feeds it: one group per function, one stream per environment.

Lines are gathered and sent in batches: the log service is not on an invocation's path.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

logger = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 0.05
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
BATCH_LINES = 10_000
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


class LogService:
    """Sends lines to the log emulation.

    Args:
        endpoint: Address of the service.
        region: AWS region to sign for.
    """

    def __init__(self, endpoint: str, region: str) -> None:
        self._client: CloudWatchLogsClient = boto3.client(
            "logs",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the emulation takes any
        )
        self._pending: list[LogLine] = []
        self._known: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to send in the background."""
        self._task = asyncio.create_task(self._send_forever())

    async def stop(self) -> None:
        """Stops the background task; what is still pending goes with the stack."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def write(self, function: str, stream: str, message: str) -> None:
        """Takes a line; never blocks."""
        self._pending.append(LogLine(function, stream, time.time_ns() // 1_000_000, message))
        self._wake.set()

    async def _send_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._pending = self._pending[:BATCH_LINES], self._pending[BATCH_LINES:]
            try:
                await asyncio.to_thread(self._send, batch)
            except (BotoCoreError, ClientError):
                logger.exception("%d log lines were lost", len(batch))
            if self._pending:
                self._wake.set()
            await asyncio.sleep(FLUSH_INTERVAL_S)

    def _send(self, batch: list[LogLine]) -> None:
        by_stream: dict[tuple[str, str], list[Any]] = {}
        for line in batch:
            event = {"timestamp": line.timestamp_ms, "message": line.message}
            by_stream.setdefault((line.function, line.stream), []).append(event)
        for (function, stream), events in by_stream.items():
            group = GROUP_PREFIX + function
            self._create(group, stream)
            self._client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    def _create(self, group: str, stream: str) -> None:
        if (group, stream) in self._known:
            return
        exists = self._client.exceptions.ResourceAlreadyExistsException
        with contextlib.suppress(exists):
            self._client.create_log_group(logGroupName=group)
        with contextlib.suppress(exists):
            self._client.create_log_stream(logGroupName=group, logStreamName=stream)
        self._known.add((group, stream))
