"""Following a run: what its workers log and what lies in its folder, until it succeeded or failed.

Only CloudWatch Logs and S3 are read, so a run on AWS is followed by the same code.
A worker that fails says why in `failed/`; one that dies leaves only the platform's own words in the log.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from training.results import RunFolder

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

LONGEST_POLL_S = 0.2
OUT_OF_ORDER_MS = 5000
FIRST_POLL_S = 0.02
# The platform's report of an invocation comes after its results; costs are taken from it.
REPORTS_WITHIN_S = 3.0

_PLATFORM_ERROR = re.compile(
    r"RequestId: (?P<id>[0-9a-f-]{36}) Error: (?P<error>.*)|^\S+Z (?P<id2>[0-9a-f-]{36}) (?P<timeout>Task timed out.*)",
    re.DOTALL,
)
_REPORT = re.compile(
    r"^REPORT RequestId: (?P<id>[0-9a-f-]{36})\t.*Billed Duration: (?P<billed>\d+) ms\tMemory Size: (?P<memory>\d+) MB"
    r"\tMax Memory Used: (?P<used>\d+) MB"
)


@dataclass
class RankProgress:
    """What is known of one rank so far."""

    rank: int
    state: str = "invoked"
    round: int = 0
    rounds: int = 0
    epoch: int = 0
    loss: float | None = None
    rows_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The platform's REPORT line of one invocation."""

    request_id: str
    billed_ms: int
    memory_mb: int
    used_mb: int


@dataclass
class Progress:
    """What is known of a run so far.

    Attributes:
        ranks: Progress by rank.
        reports: REPORT lines by request id.
        died: The platform's words on invocations that ended without an answer, by request id.
    """

    ranks: list[RankProgress]
    reports: dict[str, Report] = field(default_factory=dict)
    died: dict[str, str] = field(default_factory=dict)


Watcher = Callable[[Progress], None]


class LogTail:
    """New lines of one log group, each once.

    Args:
        logs: A client.
        group: The log group.
        since_ms: Lines before this time are left out; milliseconds since the epoch.
    """

    def __init__(self, logs: "CloudWatchLogsClient", group: str, since_ms: int) -> None:
        self._logs, self._group, self._since_ms = logs, group, since_ms
        self._seen: set[str] = set()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Time and text of the lines that came since the last call."""
        try:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=self._group, startTime=self._since_ms
            )
            events = [event for page in pages for event in page["events"]]
        except self._logs.exceptions.ResourceNotFoundException:
            return
        new = [event for event in events if event["eventId"] not in self._seen]
        # Lines of several environments come out of order, but not by more than this.
        newest = max((event["timestamp"] for event in events), default=0)
        self._since_ms = max(self._since_ms, newest - OUT_OF_ORDER_MS)
        self._seen = {event["eventId"] for event in events if event["timestamp"] >= self._since_ms}
        for event in new:
            yield event["timestamp"], event["message"]


def read_report(message: str) -> Report | None:
    """The REPORT line's figures; None when the message is another line."""
    found = _REPORT.match(message)
    return Report(found["id"], int(found["billed"]), int(found["memory"]), int(found["used"])) if found else None


def follow(folder: RunFolder, tail: LogTail, requests: list[str], *, patience_s: float, watch: Watcher) -> Progress:
    """Waits until every rank of a run has stored its results.

    Args:
        folder: The run's folder.
        tail: The workers' log.
        requests: The workers' request ids by rank.
        patience_s: How long nothing at all may happen.
        watch: Called after every look.

    Raises:
        HarnessError: A worker failed or died, or nothing happened for too long; the first cause is told.
    """
    progress = Progress([RankProgress(rank) for rank in range(len(requests))])
    wanted = {"result.json"} | {f"workers/{rank}" for rank in range(len(requests))}
    delay, last_change = FIRST_POLL_S, time.monotonic()
    present: set[str] = set()
    while True:
        news = _read_log(tail, progress, folder.run_id, requests)
        found = set(folder.names(""))
        if news or found != present:
            last_change, delay = time.monotonic(), FIRST_POLL_S
        present = found
        watch(progress)
        if progress.died:
            # The platform's report follows its words at once, and may tell their cause.
            _await_reports(tail, progress, folder.run_id, list(progress.died))
        _raise_failure(folder, present, progress, requests)
        if wanted <= {_without_attempt(name) for name in present}:
            break
        if time.monotonic() - last_change > patience_s:
            missing = sorted(wanted - {_without_attempt(name) for name in present})
            raise HarnessError(
                f"nothing has happened for {patience_s:.0f} s",
                f"still missing: {', '.join(missing)}",
                "see `harness logs linear_ec_2`",
            )
        time.sleep(delay)
        delay = min(1.5 * delay, LONGEST_POLL_S)
    _await_reports(tail, progress, folder.run_id, requests)
    watch(progress)
    return progress


def _await_reports(tail: LogTail, progress: Progress, run_id: str, requests: list[str]) -> None:
    deadline = time.monotonic() + REPORTS_WITHIN_S
    while not progress.reports.keys() >= set(requests) and time.monotonic() < deadline:
        if not _read_log(tail, progress, run_id, requests):
            time.sleep(FIRST_POLL_S)


def _read_log(tail: LogTail, progress: Progress, run_id: str, requests: list[str]) -> bool:
    """Takes in the new lines; tells whether one was of this run, as all runs share the worker's log."""
    news = False
    for _, message in tail.lines():
        if message.startswith("{"):
            news |= _read_line(message, progress, run_id)
        elif report := read_report(message):
            if report.request_id in requests:
                progress.reports[report.request_id] = report
                news = True
        elif error := _PLATFORM_ERROR.search(message):
            request_id = error["id"] or error["id2"]
            if request_id in requests:
                progress.died[request_id] = error["error"] or error["timeout"]
                news = True
    return news


def _read_line(message: str, progress: Progress, run_id: str) -> bool:
    try:
        line: dict[str, Any] = json.loads(message)
        if line["run_id"] != run_id:
            return False
        rank = progress.ranks[line["rank"]]
        event = line["event"]
    except (ValueError, LookupError, TypeError):
        return False  # not one of our lines: a function may print what it likes
    if event == "progress":
        rank.state, rank.round, rank.rounds = "training", line["round"], line["rounds"]
        rank.loss, rank.rows_per_s = line["loss"], line["rows_per_s"]
    elif event == "epoch":
        rank.state, rank.round, rank.epoch, rank.loss = "training", line["rounds"], line["epoch"], line["loss"]
    else:
        rank.state = event
    return True


def _raise_failure(folder: RunFolder, present: set[str], progress: Progress, requests: list[str]) -> None:
    failures = [folder.read_json(name) for name in sorted(present) if name.startswith("failed/")]
    if failures:
        # A rank that was told to stop, or that waited in vain, did not cause the failure if another one did.
        first = min(failures, key=lambda failure: (failure["kind"] in {"RunAborted", "RanksMissing"}, failure["time"]))
        raise HarnessError(f"worker {first['rank']} failed: {first['cause']}", f"run folder: {folder.location('')}")
    for rank, request_id in enumerate(requests):
        if request_id in progress.died:
            raise _death(rank, progress.died[request_id].splitlines()[0], request_id, progress.reports.get(request_id))


def _death(rank: int, words: str, request_id: str, report: Report | None) -> HarnessError:
    """On AWS, too, only the memory that was used tells a lack of memory from any other SIGKILL."""
    where = f"request {request_id}"
    if report is not None and "signal: killed" in words and report.used_mb >= report.memory_mb:
        return HarnessError(
            f"worker {rank} ran out of memory: Runtime.ExitError: {words}",
            f"{where}; its memory size is {report.memory_mb} MB",
            "raise the function's memory_mb, take more workers, or a smaller batch_size",
        )
    return HarnessError(f"worker {rank} died: {words}", where, "see `harness logs`")


def _without_attempt(name: str) -> str:
    """`workers/3.1.json` is a result of rank 3, whichever attempt wrote it."""
    return name.split(".", maxsplit=1)[0] if name.startswith("workers/") else name
