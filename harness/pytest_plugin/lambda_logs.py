"""The functions' logs, as they are in CloudWatch Logs."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

    from harness.pytest_plugin.control import Control

GROUPS = "/aws/lambda/"
# Lambda's own lines about an invocation, and the runtime's.
_PLATFORM = re.compile(
    r"^((START RequestId|END RequestId|REPORT RequestId|INIT_START|INIT_REPORT)\b"
    r'|\{"time":"[^"]+","type":"platform\.)'
)
# The name of a stream, with the function's name if its group is not the function's own.
_STREAM = re.compile(r"^\d{4}/\d{2}/\d{2}/(?P<function>[^\[]*)\[")
# The runtime's format for Python's logging: `[INFO]<tab>time<tab>request id<tab>message`.
_LOGGED = re.compile(r"^\[(?P<level>[A-Z]+)\]\t(?P<time>\S+)\t(?P<request>[0-9a-f-]*)\t(?P<message>.*)", re.DOTALL)
_REQUEST = re.compile(r'(?:RequestId: |"requestId": ?")([0-9a-f-]{36})')


@dataclass(frozen=True)
class LambdaLogRecord:
    """One event of a log.

    Attributes:
        function: The function's name.
        stream: The log stream: one for each environment.
        timestamp: When it was written, milliseconds since the epoch.
        line: The whole line, as CloudWatch Logs has it, without its end.
        message: The message that the function logged, without level, time and request id; otherwise the line.
        level: The level of a message that was logged with Python's `logging`; empty for others.
        request_id: The request that it belongs to; empty if unknown.
    """

    function: str
    stream: str
    timestamp: int
    line: str
    message: str
    level: str = ""
    request_id: str = ""

    @property
    def is_platform(self) -> bool:
        """Return whether Lambda wrote the line (START, END, REPORT, or an event in JSON) and not the function."""
        return _PLATFORM.match(self.line) is not None


class LambdaLogs:
    """The logs of all functions since the test began, or since `clear`.

    Reading them waits until the service has every line that was written before.

    Args:
        client: Reads the log.
        control: Flushes it.
    """

    def __init__(self, client: "CloudWatchLogsClient", control: "Control") -> None:
        self._client, self._control = client, control
        self._cleared: dict[tuple[str, str], int] = {}

    @property
    def records(self) -> list[LambdaLogRecord]:
        """Return every line, in the order of their time."""
        return [record for record, place in self._read() if place >= self._cleared.get(_key(record), 0)]

    @property
    def lines(self) -> list[str]:
        """Return every line, including Lambda's own."""
        return [record.line for record in self.records]

    @property
    def messages(self) -> list[str]:
        """Return what the functions have printed and logged, without Lambda's own lines."""
        return [record.message for record in self.records if not record.is_platform]

    @property
    def text(self) -> str:
        """Return every line with its function's name."""
        return "".join(f"{record.function}: {record.line}\n" for record in self.records)

    def of(self, function: object) -> list[LambdaLogRecord]:
        """Return the lines of one function, given by its name or as `deploy` returned it."""
        name = str(getattr(function, "name", function))
        return [record for record in self.records if record.function == name]

    def clear(self) -> None:
        """Forget the lines so far."""
        for record, place in self._read():
            self._cleared[_key(record)] = place + 1

    def forget(self) -> None:
        """Begin anew with an empty service."""
        self._cleared.clear()

    def _read(self) -> list[tuple[LambdaLogRecord, int]]:
        """Return the lines, each with its place in its stream."""
        self._control.call("POST", "logs/flush")
        found: list[tuple[LambdaLogRecord, int]] = []
        for groups in self._client.get_paginator("describe_log_groups").paginate():
            for group in groups["logGroups"]:
                found += self._read_group(group["logGroupName"])
        # The order within a stream is kept.
        return sorted(found, key=lambda one: one[0].timestamp)

    def _read_group(self, group: str) -> list[tuple[LambdaLogRecord, int]]:
        found: list[tuple[LambdaLogRecord, int]] = []
        places: dict[str, int] = {}
        requests: dict[str, str] = {}
        for page in self._client.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                stream, line = event["logStreamName"], event["message"].rstrip("\n")
                function = _function_of(group, stream)
                if function is None:
                    continue
                place = places[stream] = places.get(stream, -1) + 1
                if (named := _REQUEST.search(line)) is not None:
                    requests[stream] = named[1]
                record = _record(function, stream, event["timestamp"], line, requests.get(stream, ""))
                found.append((record, place))
        return found


def _function_of(group: str, stream: str) -> str | None:
    """Return the function that writes a stream; None if no function does."""
    named = _STREAM.match(stream)
    if named is not None and named["function"]:
        return named["function"]
    return group.removeprefix(GROUPS) if group.startswith(GROUPS) else None


def _record(function: str, stream: str, timestamp: int, line: str, request_id: str) -> LambdaLogRecord:
    logged = _LOGGED.match(line)
    if logged is None:
        message, level, request = _logged_in_json(line)
        return LambdaLogRecord(function, stream, timestamp, line, message, level, request or request_id)
    return LambdaLogRecord(
        function,
        stream,
        timestamp,
        line,
        logged["message"].rstrip("\n"),
        logged["level"],
        logged["request"] or request_id,
    )


def _logged_in_json(line: str) -> tuple[str, str, str]:
    """Return message, level and request id of a message of Python's `logging` in JSON; any other line is a message."""
    if line.startswith('{"timestamp"'):
        with suppress(ValueError):
            logged = json.loads(line)
            if isinstance(logged.get("message"), str) and "logger" in logged:
                return logged["message"], str(logged.get("level", "")), str(logged.get("requestId", ""))
    return line, "", ""


def _key(record: LambdaLogRecord) -> tuple[str, str]:
    return record.function, record.stream
