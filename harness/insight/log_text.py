"""What one line of a log says: an event of a worker, a report of the platform, or, as any text may come, nothing."""

import re
from typing import Any, NamedTuple

import msgspec

from harness.insight.timings import number_of
from training.job_fields import MOST_WORKERS

# The platform's lines: why it ended an invocation, and what an invocation used.
PLATFORM_ERROR = re.compile(
    r"RequestId: (?P<id>[0-9a-f-]{36}) Error: (?P<error>.*)|^\S+Z (?P<id2>[0-9a-f-]{36}) (?P<timeout>Task timed out.*)",
    re.DOTALL,
)
REPORT = re.compile(
    r"^REPORT RequestId: (?P<id>[0-9a-f-]{36})\tDuration: (?P<ms>[\d.]+) ms\tBilled Duration: (?P<billed>\d+) ms"
    r"\tMemory Size: (?P<memory>\d+) MB\tMax Memory Used: (?P<used>\d+) MB"
    r"(?:.*\tStatus: (?P<status>timeout|error)(?:\tError Type: (?P<error>\S+))?)?"
)
LONGEST_CAUSE = 300


def one_line(text: object, most: int = LONGEST_CAUSE) -> str:
    """Return a stranger's text on one line, cut off behind so many characters."""
    return " ".join(str(text).split())[:most]


class WorkerLine(NamedTuple):
    """A line of the training library.

    Attributes:
        at: When it was written, seconds since the epoch.
        event: Its kind; see `training.run.telemetry`.
        run_id: The run.
        rank: Who wrote it.
        attempt: The attempt of that rank; 0 if it did not know yet.
        request_id: Its invocation.
        values: All of the line.
    """

    at: float
    event: str
    run_id: str
    rank: int
    attempt: int
    request_id: str
    values: dict[str, Any]


class PlatformEnd(NamedTuple):
    """The platform's line that an invocation ended.

    Attributes:
        at: When it was written, seconds since the epoch.
        request_id: The invocation.
        cause: Why the platform ended it; empty if the handler returned or raised.
    """

    at: float
    request_id: str
    cause: str


def parse_line(at: float, text: str) -> WorkerLine | PlatformEnd | None:
    """Return what a line says; None for any other text."""
    if text.startswith("{"):
        return _worker_line(at, text)
    if found := REPORT.match(text):
        cause = ""
        if found["status"] is not None:
            cause = found["error"] or f"Task timed out after {number_of_text(found['ms']) / 1e3:.2f} seconds"
        return PlatformEnd(at, found["id"], cause[:LONGEST_CAUSE])
    if found := PLATFORM_ERROR.search(text):
        return PlatformEnd(at, found["id"] or found["id2"], error_in(found))
    return None


def error_in(found: "re.Match[str]") -> str:
    """Return what a match of `PLATFORM_ERROR` says, its first line alone."""
    text = found["error"] or found["timeout"] or ""
    return one_line(next(iter(text.splitlines()), "")) or "an error without a text"


def number_of_text(text: str) -> float:
    """Return the number that a text is; 0 if it is none."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _worker_line(at: float, text: str) -> WorkerLine | None:
    try:
        values = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    match values:
        case {"event": str(event), "run_id": str(run_id), "rank": int(rank), "request_id": str(request_id)}:
            attempt = number_of(values.get("attempt"))
            if isinstance(rank, bool) or not 0 <= rank < MOST_WORKERS:
                return None
            return WorkerLine(at, event, run_id, rank, int(attempt or 0), request_id, values)
    return None
