"""CloudWatch metrics: Lambda's own, and those that functions embed in their logs.

    an invocation, a log line --plain call--> figures in memory --after 3 s, then every 10 s--> PutMetricData

Nothing here is on an invocation's path: a call adds to figures, and the background sends them, one request for each
namespace. CloudWatch gets sums with their least and greatest value (`StatisticValues`), and so has no percentiles.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

import asyncio
import logging
import math
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from harness.gateway.connection import HttpConnection
from harness.gateway.logs.embedded_metrics import EmbeddedMetric, MalformedMetricsError, embedded_in, may_embed
from harness.guard import authorization

logger = logging.getLogger(__name__)

NAMESPACE = "AWS/Lambda"
# How long figures are collected, first and while there are more; how long a request may take, and the last ones.
COLLECT_S, INTERVAL_S = 3.0, 10.0
SENT_WITHIN_S, LAST_WITHIN_S = 30.0, 2.0
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
MOST_DATA = 500
_MILLISECONDS = {"Duration", "AsyncEventAge"}

Dimensions = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """One metric as CloudWatch identifies it, within a second for those that functions embed."""

    namespace: str
    name: str
    unit: str
    dimensions: Dimensions
    at: int = 0


@dataclass(slots=True)
class MetricFigures:
    """What CloudWatch keeps of the values of a series."""

    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: float) -> None:
        """Count a value."""
        self.count += 1
        self.total += value
        # Each invocation does this several times, and calls of `min` and `max` would double its time.
        if value < self.least:  # noqa: PLR1730
            self.least = value
        if value > self.most:  # noqa: PLR1730
            self.most = value

    def merge(self, other: "MetricFigures") -> None:
        """Count the values of another one."""
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)


class Metrics:
    """Collects figures, and sends them to the emulation of CloudWatch.

    Args:
        endpoint: Address of the service.
        access_key: The stack's own access key.
        sends: Whether figures are sent; otherwise they go nowhere.
    """

    def __init__(self, endpoint: str, access_key: str, *, sends: bool = True) -> None:
        self._sends = sends
        self._connection = HttpConnection(urlsplit(endpoint).netloc)
        # As for the logs: the signature is not checked, and boto3 would cost the gateway 20 MB.
        self._headers = {
            **authorization(access_key, "monitoring"),
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        }
        self._lambda: dict[tuple[str, str], dict[str, MetricFigures]] = {}
        self._embedded: dict[Series, MetricFigures] = {}
        self._told: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def invocation(self, function: str, resource: str, *, failed: bool, duration_ms: float) -> None:
        """Count an invocation that has ended.

        Args:
            function: The function's name.
            resource: The same with the qualifier by which it was invoked, if there was one.
            failed: Whether it ended with an error.
            duration_ms: Its duration.
        """
        values = {"Invocations": 1.0, "Errors": float(failed), "Throttles": 0.0, "Duration": duration_ms}
        self._add(function, resource, values)

    def start_invocation(self, function: str, resource: str, running: int) -> None:
        """Count an invocation that begins, and how many run of its function."""
        self._add(function, resource, {"ConcurrentExecutions": float(running)})

    def start_provisioned(self, function: str, resource: str, busy: int, allocated: int) -> None:
        """Count an invocation that begins in an environment of provisioned concurrency.

        Args:
            function: The function's name.
            resource: The same with the qualifier by which it was invoked.
            busy: How many of these environments run invocations now.
            allocated: How many there are.
        """
        values = {"ProvisionedConcurrencyInvocations": 1.0, "ProvisionedConcurrentExecutions": float(busy)}
        self._add(function, resource, values | {"ProvisionedConcurrencyUtilization": busy / max(allocated, busy)})

    def spill_over(self, function: str, resource: str) -> None:
        """Count an invocation of a version with provisioned concurrency that begins on demand."""
        self._add(function, resource, {"ProvisionedConcurrencySpilloverInvocations": 1.0})

    def throttle(self, function: str, resource: str) -> None:
        """Count an invocation that was refused for want of concurrency."""
        self._add(function, resource, {"Throttles": 1.0})

    def receive_event(self, function: str, resource: str) -> None:
        """Count an event that was queued."""
        self._add(function, resource, {"AsyncEventsReceived": 1.0})

    def start_event(self, function: str, resource: str, age_s: float) -> None:
        """Count an attempt to run an event, by the event's age."""
        self._add(function, resource, {"AsyncEventAge": 1e3 * age_s})

    def drop_event(self, function: str, resource: str) -> None:
        """Count an event that was given up."""
        self._add(function, resource, {"AsyncEventsDropped": 1.0})

    def fail_delivery(self, function: str, name: str) -> None:
        """Count an event or a record of one that could not be sent, by the name of the metric for it."""
        self._add(function, function, {name: 1.0})

    def read_lines(self, function: str, text: str) -> None:
        """Count the metrics that whole lines of a function's log embed; report each kind of malformed ones once."""
        if not may_embed(text):
            return
        for line in text.split("\n"):
            try:
                for metric in embedded_in(line):
                    self._embed(metric)
            except MalformedMetricsError as error:
                if (function, str(error)) not in self._told:
                    self._told.add((function, str(error)))
                    logger.warning("%s: a line embeds no metrics as CloudWatch reads them: %s", function, error)

    def start(self) -> None:
        """Start to send in the background."""
        self._task = asyncio.create_task(self._send_forever())

    async def stop(self) -> None:
        """Send the last figures, if the service still answers, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WITHIN_S):
                await self.flush()
        self._connection.close()

    async def flush(self) -> None:
        """Send all figures so far; return when CloudWatch has them."""
        async with self._sending:
            namespaces = defaultdict(list)
            taken = self._taken()
            for series, figures in taken.items() if self._sends else ():
                namespaces[series.namespace].append((series, figures))
            for namespace, data in namespaces.items():
                for start in range(0, len(data), MOST_DATA):
                    await self._put(namespace, data[start : start + MOST_DATA])

    async def forget(self) -> None:
        """Drop all figures."""
        async with self._sending:
            self._taken()
            self._told.clear()

    def _add(self, function: str, resource: str, values: dict[str, float]) -> None:
        figures = self._lambda.get((function, resource))
        if figures is None:
            figures = self._lambda[function, resource] = defaultdict(MetricFigures)
            self._wake.set()
        for name, value in values.items():
            figures[name].add(value)

    def _embed(self, metric: EmbeddedMetric) -> None:
        at = metric.timestamp_ms // 1000
        series = Series(metric.namespace, metric.name, metric.unit, metric.dimensions, at)
        figures = self._embedded.setdefault(series, MetricFigures())
        for value in metric.values:
            figures.add(value)
        self._wake.set()

    def _taken(self) -> dict[Series, MetricFigures]:
        """Take all figures; each of Lambda's own belongs to the function's resource, to the function, and to all."""
        own, taken = self._lambda, self._embedded
        self._lambda, self._embedded = {}, {}
        for (function, resource), by_name in own.items():
            named = ("FunctionName", function)
            for name, figures in by_name.items():
                unit = "Milliseconds" if name in _MILLISECONDS else "Count"
                for dimensions in ((), (named,), (named, ("Resource", resource))):
                    series = Series(NAMESPACE, name, unit, dimensions)
                    taken.setdefault(series, MetricFigures()).merge(figures)
        return taken

    async def _send_forever(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(COLLECT_S)
            self._wake.clear()
            await self.flush()
            await asyncio.sleep(INTERVAL_S - COLLECT_S)

    async def _put(self, namespace: str, data: list[tuple[Series, MetricFigures]]) -> None:
        body = urlencode(_query(namespace, data, datetime.now(UTC))).encode()
        try:
            answer = await self._connection.post("/", body, self._headers, SENT_WITHIN_S)
        except (OSError, TimeoutError) as error:
            logger.warning("%d metrics of %s were lost: %s", len(data), namespace, str(error) or type(error).__name__)
            return
        if answer.status != HTTPStatus.OK:
            cause = answer.body[:200].decode(errors="replace")
            logger.error("%d metrics of %s were refused: %d %s", len(data), namespace, answer.status, cause)


def _query(namespace: str, data: list[tuple[Series, MetricFigures]], now: datetime) -> dict[str, str]:
    query = {"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": namespace}
    for number, (series, figures) in enumerate(data, 1):
        datum = f"MetricData.member.{number}"
        at = datetime.fromtimestamp(series.at, UTC) if series.at else now
        query |= {
            f"{datum}.MetricName": series.name,
            f"{datum}.Unit": series.unit,
            f"{datum}.Timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            f"{datum}.StatisticValues.SampleCount": str(figures.count),
            f"{datum}.StatisticValues.Sum": repr(figures.total),
            f"{datum}.StatisticValues.Minimum": repr(figures.least),
            f"{datum}.StatisticValues.Maximum": repr(figures.most),
        }
        for place, (name, value) in enumerate(series.dimensions, 1):
            query[f"{datum}.Dimensions.member.{place}.Name"] = name
            query[f"{datum}.Dimensions.member.{place}.Value"] = value
    return query
