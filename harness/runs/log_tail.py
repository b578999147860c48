"""The new lines of a function's log, and how often it is polled.

Only CloudWatch Logs is read, so the same code reads the log of a function on AWS.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient

GROUP_PREFIX = "/aws/lambda/"


@dataclass(frozen=True, slots=True)
class PollingProfile:
    """How a run's target is polled, and how late its log may be.

    Attributes:
        longest_poll_s: The longest pause between two polls while nothing happens; AWS counts and bills them.
        out_of_order_ms: By how much lines of several environments may come out of order.
        reports_within_s: How long after the results the platform's report of an invocation, from which costs are
            computed, may come.
    """

    longest_poll_s: float
    out_of_order_ms: int
    reports_within_s: float


LOCAL_POLLING = PollingProfile(longest_poll_s=0.2, out_of_order_ms=5000, reports_within_s=3.0)
# CloudWatch Logs shows a line some seconds late, and accepts 5 to 10 calls of FilterLogEvents per second and account:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
AWS_POLLING = PollingProfile(longest_poll_s=2.0, out_of_order_ms=30_000, reports_within_s=20.0)


class LogLine(NamedTuple):
    """One event of a log group.

    Attributes:
        timestamp: When it was written, milliseconds since the epoch.
        stream: The log stream: one for each environment.
        message: The line, or the lines, without the last line end.
    """

    timestamp: int
    stream: str
    message: str


class LogTail:
    """The new lines of one log group, each of them once.

    Args:
        logs: A client.
        group: The log group.
        since_ms: Skip lines before this time, in milliseconds since the epoch.
        polling: How the log's service is polled.
        function: The only function whose streams count, in a group that functions share; empty for all streams.
        heard: Called with each line that is new, before it is returned.
        until_ms: Skip lines after this time; None for no end.
    """

    def __init__(
        self,
        logs: "CloudWatchLogsClient",
        group: str,
        since_ms: int,
        polling: PollingProfile = LOCAL_POLLING,
        function: str = "",
        heard: Callable[[LogLine], None] = lambda _line: None,
        until_ms: int | None = None,
    ) -> None:
        self.polling, self._heard = polling, heard
        self._end: dict[str, Any] = {} if until_ms is None else {"endTime": until_ms}
        self._stream = f"/{function}[" if function else ""
        self._logs, self._group, self._since_ms = logs, group, since_ms
        self._seen: set[str] = set()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the time and the text of each line that is new since the last call."""
        for timestamp, _, message in self.events():
            yield timestamp, message

    def events(self) -> Iterator[LogLine]:
        """Yield each line that is new since the last call."""
        try:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=self._group, startTime=self._since_ms, **self._end
            )
            events = [event for page in pages for event in page["events"]]
        except self._logs.exceptions.ResourceNotFoundException:
            return
        events = [event for event in events if self._stream in event["logStreamName"]]
        new = [event for event in events if event["eventId"] not in self._seen]
        # Lines of several environments come out of order, but not by more than this.
        newest = max((event["timestamp"] for event in events), default=0)
        self._since_ms = max(self._since_ms, newest - self.polling.out_of_order_ms)
        self._seen = {event["eventId"] for event in events if event["timestamp"] >= self._since_ms}
        for event in new:
            line = LogLine(event["timestamp"], event["logStreamName"], event["message"].rstrip("\n"))
            self._heard(line)
            yield line


def log_group_of(functions: "LambdaClient", function: str) -> str:
    """Return the log group that a function's configuration names; that of its name if there is no such function."""
    try:
        configuration = functions.get_function_configuration(FunctionName=function)
    except functions.exceptions.ResourceNotFoundException:
        return GROUP_PREFIX + function
    return configuration.get("LoggingConfig", {}).get("LogGroup", GROUP_PREFIX + function)


def has_log(logs: "CloudWatchLogsClient", group: str) -> bool:
    """Return whether there is a log group of this name."""
    groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return any(found["logGroupName"] == group for found in groups)
