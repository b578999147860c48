"""The log lines of one run, sorted out of the logs of functions that runs share, each with its invocation."""

import json
import re
from collections.abc import Collection, Iterable

from harness.history.records import LoggedLine
from harness.runs.log_tail import LogLine

_START = re.compile(r"START RequestId: (\S+)")
# The platform's lines name their invocation; other lines belong to the one that runs in their environment.
_NAMED = re.compile(r"(?:(?:END|REPORT) |\S+Z )?(?:RequestId: )?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22})\b")
# Lines beyond this are not kept.
MOST_BYTES = 64 << 20


class RunLog:
    """Collects lines, and returns those of certain invocations."""

    def __init__(self) -> None:
        self._lines: dict[str, list[LoggedLine]] = {}
        self._current: dict[str, str] = {}
        self._bytes = 0

    def add(self, function: str, line: LogLine) -> None:
        """Take a line of a function's log.

        Args:
            function: The function.
            line: The line; those of one stream come in their order.
        """
        self._bytes += len(line.message)
        if self._bytes > MOST_BYTES:
            return
        stream = f"{function} {line.stream}"
        if started := _START.match(line.message):
            # What an environment printed before its first invocation belongs to that invocation.
            early = self._lines.pop(stream, [])
            self._current[stream] = started[1]
            for each in early:
                self._append(LoggedLine(each.at, function, started[1], each.text), started[1])
        request_id = self._current.get(stream) or _named_in(line.message)
        self._append(LoggedLine(line.timestamp / 1000, function, request_id, line.message), request_id or stream)

    def lines(self, requests: Collection[str]) -> list[LoggedLine]:
        """Return the lines of these invocations, in the order of their time."""
        found = [line for request_id in requests for line in self._lines.get(request_id, [])]
        return sorted(found, key=lambda line: line.at)

    def requests_of(self, run_id: str) -> set[str]:
        """Return the invocations that worked for a run: workers name it in every line of theirs."""
        return {request_id for request_id, lines in self._lines.items() if _first_run_in(lines) == run_id}

    def _append(self, line: LoggedLine, place: str) -> None:
        self._lines.setdefault(place, []).append(line)


def _first_run_in(lines: Iterable[LoggedLine]) -> object:
    """Return the run that the first line of the training library names; None if there is none."""
    named = (_json_of(line.text).get("run_id") for line in lines if line.text.startswith("{"))
    return next((run_id for run_id in named if run_id is not None), None)


def _named_in(message: str) -> str:
    """Return the invocation that a line names; empty if it names none."""
    if message.startswith("{"):
        named = _json_of(message).get("request_id")
        return named if isinstance(named, str) else ""
    found = _NAMED.match(message)
    return found[1] if found else ""


def _json_of(text: str) -> dict[str, object]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return line if isinstance(line, dict) else {}
