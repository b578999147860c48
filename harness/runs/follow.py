"""Following a run: what its workers log and what lies in its folder, until it succeeded or failed.

Only CloudWatch Logs and S3 are read, so a run on AWS is followed by the same code.
A worker that fails says why in `failed/`; one that dies leaves only the platform's own words in the log.
Neither ends the run by itself: Lambda tries the event again, and the worker's peers wait for it.
The run is lost when a worker says that another try cannot help, when Lambda has tried often enough, or when every
worker has failed, so that nobody is left to wait.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.runs.records import Failure, rank_of
from training.errors import InputError
from training.run.results import RunFolder

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

FIRST_POLL_S = 0.05
# Workers have to load and to train first: looking for results costs time on the cores that they do it on.
FIRST_LOOK_S = 0.1
# The same goes for looking on: between two looks is at least so many times what the last one took.
PAUSE_PER_LOOK = 3.0
# The log may be late, or lose a line: the run's folder is looked at this often whatever the log says.
LIST_EVERY_S = 1.0
# How long Lambda waits before its second and its last try.
RETRY_DELAYS_S = (60.0, 120.0)
LONGEST_RETRY_DELAY_S = RETRY_DELAYS_S[-1]
# What workers tell about recovery; the summary lists these.
RECOVERY_EVENTS = {
    "recovered",
    "reput",
    "handed_over",
    "rejoined",
    "resumed",
    "checkpoint_failed",
    "handed_on",
    "superfluous",
}
# How often a quiet run's Lambda service is asked whether it is there, and how often in a row it may fail to answer.
SERVICE_CHECK_S = 1.0
MOST_SILENCES = 2

_PLATFORM_ERROR = re.compile(
    r"RequestId: (?P<id>[0-9a-f-]{36}) Error: (?P<error>.*)|^\S+Z (?P<id2>[0-9a-f-]{36}) (?P<timeout>Task timed out.*)",
    re.DOTALL,
)
_REPORT = re.compile(
    r"^REPORT RequestId: (?P<id>[0-9a-f-]{36})\t.*Billed Duration: (?P<billed>\d+) ms\tMemory Size: (?P<memory>\d+) MB"
    r"\tMax Memory Used: (?P<used>\d+) MB"
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly a place tells what happens in it.

    Attributes:
        longest_poll_s: Between two looks when nothing happens; AWS counts and bills them.
        out_of_order_ms: By how much lines of several environments may come out of order.
        reports_within_s: How long after its results the platform's report of an invocation, from which costs are
            taken, may come.
    """

    longest_poll_s: float
    out_of_order_ms: int
    reports_within_s: float


HERE = Pace(longest_poll_s=0.2, out_of_order_ms=5000, reports_within_s=3.0)
# CloudWatch Logs takes lines in after some seconds, and takes 5 to 10 calls a second of FilterLogEvents an account:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
ON_AWS = Pace(longest_poll_s=2.0, out_of_order_ms=30_000, reports_within_s=20.0)


@dataclass
class RankProgress:
    """What is known of one rank so far.

    Attributes:
        waits_for: For whom or what it waits, in its own words; empty when it does not.
        retry_at: When Lambda tries it again, about, on the monotonic clock; None when it does not have to.
    """

    rank: int
    state: str = "invoked"
    failures: int = 0
    cause: str = ""
    round: int = 0
    rounds: int = 0
    epoch: int = 0
    loss: float | None = None
    rows_per_s: float | None = None
    waits_for: str = ""
    retry_at: float | None = None


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
        requests: The rank of every invocation known, by request id; Lambda's further tries keep the id.
        reports: REPORT lines; one for each try.
        failures: How often each invocation failed or died, by request id.
        events: What went wrong on the way, and what workers did about it.
        retry_delays_s: How long Lambda waits before each further try of an event.
        waits_for: What the run as a whole waits for, when that is no rank.
        unreadable: Names of objects below `failed/` that no worker wrote.
    """

    ranks: list[RankProgress]
    requests: dict[str, int] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    events: list[dict[str, Any]] = field(default_factory=list)
    retry_delays_s: tuple[float, ...] = ()
    waits_for: str = ""
    unreadable: set[str] = field(default_factory=set)


Watcher = Callable[[Progress], None]


class LogTail:
    """New lines of one log group, each once.

    Args:
        logs: A client.
        group: The log group.
        since_ms: Lines before this time are left out; milliseconds since the epoch.
        pace: Of the place that the log is in.
    """

    def __init__(self, logs: "CloudWatchLogsClient", group: str, since_ms: int, pace: Pace = HERE) -> None:
        self.pace = pace
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
        self._since_ms = max(self._since_ms, newest - self.pace.out_of_order_ms)
        self._seen = {event["eventId"] for event in events if event["timestamp"] >= self._since_ms}
        for event in new:
            yield event["timestamp"], event["message"]


def has_log(logs: "CloudWatchLogsClient", function: str) -> bool:
    """Return whether a function of this name has ever written a log."""
    group = f"/aws/lambda/{function}"
    groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return any(found["logGroupName"] == group for found in groups)


def read_report(message: str) -> Report | None:
    """The REPORT line's figures; None when the message is another line."""
    found = _REPORT.match(message)
    return Report(found["id"], int(found["billed"]), int(found["memory"]), int(found["used"])) if found else None


def follow(  # noqa: PLR0913 - keywords, each what a place or a job decides
    folder: RunFolder,
    tail: LogTail,
    requests: list[str],
    *,
    retries: int,
    oom_is_final: bool,
    patience_s: float,
    watch: Watcher,
    service_answers: Callable[[], bool],
    retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S,
) -> Progress:
    """Waits until every rank of a run has stored its results.

    Args:
        folder: The run's folder.
        tail: The workers' log.
        requests: The workers' request ids by rank.
        retries: How often Lambda tries a failed event again.
        oom_is_final: Whether a worker that runs out of memory ends the run: another try would run out of it, too.
        patience_s: How long nothing at all may happen, Lambda's wait before a try left out.
        watch: Called after every look.
        service_answers: Whether the Lambda service is there; without it nobody would ever tell of a worker's death.
        retry_delays_s: How long Lambda waits before each further try of an event.

    Raises:
        HarnessError: The run is lost, or nothing happened for too long; the first cause is told.
    """
    progress = Progress([RankProgress(rank) for rank in range(len(requests))], retry_delays_s=retry_delays_s)
    progress.requests = {request_id: rank for rank, request_id in enumerate(requests)}
    wanted = {"result.json"} | {f"workers/{rank}" for rank in range(len(requests))}
    delay, last_change = FIRST_POLL_S, time.monotonic()
    present: set[str] = set()
    next_list = last_change
    service = _ServiceWatch(service_answers)
    watch(progress)
    time.sleep(FIRST_LOOK_S)
    while True:
        look_began = time.monotonic()
        news = _read_log(tail, progress, folder.run_id)
        found = present
        # A look takes time from the cores that workers train on: one when the log says that there is something to see.
        if _something_to_see(progress) or time.monotonic() >= next_list:
            found, next_list = set(folder.names("")), time.monotonic() + LIST_EVERY_S
        if news or found != present:
            last_change, delay = time.monotonic(), FIRST_POLL_S
        present = found
        watch(progress)
        if wanted <= {_without_attempt(name) for name in present}:
            break
        lost = {request_id for request_id, count in progress.failures.items() if count > retries}
        if lost:
            # The platform's report follows its words at once, and may tell their cause.
            _await_reports(tail, progress, folder.run_id, lost)
        _raise_failure(folder, present, progress, retries)
        if oom_is_final:
            _raise_lack_of_memory(progress)
        service.check()
        retrying = any(rank.failures for rank in progress.ranks)
        if time.monotonic() - last_change > patience_s + LONGEST_RETRY_DELAY_S * retrying:
            missing = sorted(wanted - {_without_attempt(name) for name in present})
            raise HarnessError(
                f"nothing has happened for {patience_s:.0f} s",
                f"still missing: {', '.join(missing)}",
                "see `harness logs linear_ec_2`",
            )
        looked_s = time.monotonic() - look_began
        time.sleep(max(delay, min(PAUSE_PER_LOOK * looked_s, SERVICE_CHECK_S)))
        delay = min(1.5 * delay, tail.pace.longest_poll_s)
    progress.waits_for = "the platform's reports of its invocations"
    _await_reports(tail, progress, folder.run_id, set(progress.requests), watch)
    progress.waits_for = ""
    watch(progress)
    return progress


def waits(progress: Progress) -> str:
    """Return for whom or what a run waits, in words; empty while its ranks train."""
    if progress.waits_for:
        return progress.waits_for
    now = time.monotonic()
    words = []
    for rank in progress.ranks:
        if rank.retry_at is not None:
            left_s = max(0.0, rank.retry_at - now)
            words.append(f"Lambda's next try of rank {rank.rank} (in about {left_s:.0f} s)")
    starting = [
        str(rank.rank) for rank in progress.ranks if rank.state in {"invoked", "next link"} and not rank.waits_for
    ]
    if starting:
        words.append(f"rank {', '.join(starting)} to start")
    waiting: dict[str, list[str]] = {}
    for rank in progress.ranks:
        if rank.waits_for:
            waiting.setdefault(rank.waits_for, []).append(str(rank.rank))
    words += [f"{whom} (rank {', '.join(ranks)})" for whom, ranks in waiting.items()]
    return "; ".join(words)


def _something_to_see(progress: Progress) -> bool:
    """Whether the log says that all results are stored, or that a cause of failure may be."""
    return bool(progress.failures) or all(rank.state == "finished" for rank in progress.ranks)


class _ServiceWatch:
    """Asks now and then whether the Lambda service is there."""

    def __init__(self, answers: Callable[[], bool]) -> None:
        self._answers, self._silences = answers, 0
        self._next = time.monotonic() + SERVICE_CHECK_S

    def check(self) -> None:
        """Asks, when it is time.

        Raises:
            HarnessError: It has not answered several times in a row.
        """
        if time.monotonic() < self._next:
            return
        self._silences = 0 if self._answers() else self._silences + 1
        self._next = time.monotonic() + SERVICE_CHECK_S
        if self._silences >= MOST_SILENCES:
            raise HarnessError(
                "the Lambda service does not answer any more, and with it the workers are gone",
                f"asked {self._silences} times, {SERVICE_CHECK_S:g} s apart",
                "start the stack again; `harness status` tells what runs",
            )


def _await_reports(
    tail: LogTail, progress: Progress, run_id: str, requests: set[str], watch: Watcher = lambda _: None
) -> None:
    deadline, delay = time.monotonic() + tail.pace.reports_within_s, FIRST_POLL_S
    while time.monotonic() < deadline:
        if requests <= {report.request_id for report in progress.reports}:
            return
        watch(progress)
        if not _read_log(tail, progress, run_id):
            time.sleep(delay)
            delay = min(1.5 * delay, tail.pace.longest_poll_s)


def _read_log(tail: LogTail, progress: Progress, run_id: str) -> bool:
    """Takes in the new lines; tells whether one was of this run, as all runs share the worker's log."""
    news = False
    for _, message in tail.lines():
        if message.startswith("{"):
            news |= _read_line(message, progress, run_id)
        elif report := read_report(message):
            if report.request_id in progress.requests:
                progress.reports.append(report)
                news = True
        elif error := _PLATFORM_ERROR.search(message):
            request_id = error["id"] or error["id2"]
            if request_id in progress.requests:
                cause = (error["error"] or error["timeout"]).splitlines()[0]
                rank = progress.requests[request_id]
                _failed(progress, rank, request_id, "died", cause)
                progress.events.append({"event": "died", "rank": rank, "cause": cause})
                news = True
    return news


def _read_line(message: str, progress: Progress, run_id: str) -> bool:
    try:
        line: dict[str, Any] = json.loads(message)
        if line["run_id"] != run_id:
            return False
        rank = progress.ranks[line["rank"]]
        event, request_id = line["event"], line["request_id"]
    except (ValueError, LookupError, TypeError):
        return False  # not one of our lines: a function may print what it likes
    progress.requests.setdefault(request_id, rank.rank)
    rank.waits_for = str(line.get("waits_for", "")) if event == "waiting" else ""
    if event != "failed":
        rank.retry_at = None
    if event in RECOVERY_EVENTS:
        progress.events.append({k: v for k, v in line.items() if k not in {"run_id", "request_id"}})
    if event == "handed_on":
        progress.requests[line["next_request_id"]] = rank.rank
        rank.state = "next link"
    elif event == "failed":
        _failed(progress, rank.rank, request_id, "failed", line["cause"])
    elif event == "progress":
        rank.state, rank.round, rank.rounds = "training", line["round"], line["rounds"]
        rank.loss, rank.rows_per_s = line["loss"], line["rows_per_s"]
    elif event == "epoch":
        rank.state, rank.round, rank.epoch, rank.loss = "training", line["rounds"], line["epoch"], line["loss"]
    elif event in {"started", "finished"}:
        rank.state = event
    return True


def _failed(progress: Progress, rank: int, request_id: str, state: str, cause: str) -> None:
    progress.failures[request_id] += 1
    own = progress.ranks[rank]
    own.state, own.cause, own.failures = state, cause, own.failures + 1
    own.waits_for = ""
    tries = progress.failures[request_id]
    if tries <= len(progress.retry_delays_s):
        own.retry_at = time.monotonic() + progress.retry_delays_s[tries - 1]


def _raise_failure(folder: RunFolder, present: set[str], progress: Progress, retries: int) -> None:
    failures = _read_failures(folder, present, progress)
    # Lambda tries again what is not final, in a minute or two; where every rank has failed, it is rather the address of
    # the cache or of S3 that is wrong, and that is told at once.
    nobody_left = all(rank.state == "failed" for rank in progress.ranks)
    if any(failure.final for failure in failures) or (failures and nobody_left):
        # A rank that was told to stop, or that waited in vain, did not cause the failure if another one did.
        first = min(failures, key=lambda failure: (failure.kind in {"RunAborted", "RanksMissing"}, failure.time))
        raise HarnessError(f"worker {first.rank} failed: {first.cause}", f"run folder: {folder.location('')}")
    for request_id, count in progress.failures.items():
        if count > retries:
            _raise_lack_of_memory(progress)
            rank = progress.ranks[progress.requests[request_id]]
            often = f", {count} times" if count > 1 else ""
            raise HarnessError(
                f"worker {rank.rank} {rank.state}{often}: {rank.cause}", f"request {request_id}", "see `harness logs`"
            )


def _read_failures(folder: RunFolder, present: set[str], progress: Progress) -> list[Failure]:
    """Return the failures that workers stored; what else is in their folder is skipped, and told once."""
    failures = []
    for name in sorted(present):
        if not name.startswith("failed/") or name in progress.unreadable:
            continue
        try:
            failure = folder.read_as(name, Failure) if rank_of(name) is not None else None
            cause = f"{folder.location(name)} is not what a worker stores there"
        except InputError as error:
            failure, cause = None, str(error)
        if failure is not None:
            failures.append(failure)
        else:
            progress.unreadable.add(name)
            progress.events.append({"event": "skipped", "note": cause})
    return failures


def _raise_lack_of_memory(progress: Progress) -> None:
    """On AWS, too, only the memory that was used tells a lack of memory from any other SIGKILL."""
    for report in progress.reports:
        rank = progress.ranks[progress.requests[report.request_id]]
        if rank.state == "died" and "signal: killed" in rank.cause and report.used_mb >= report.memory_mb:
            raise HarnessError(
                f"worker {rank.rank} ran out of memory: Runtime.ExitError: {rank.cause}",
                f"request {report.request_id}; its memory size is {report.memory_mb} MB",
                "raise the function's memory_mb, take more workers, or a smaller batch_size",
            )


def _without_attempt(name: str) -> str:
    """`workers/3.1.json` is a result of rank 3, whichever attempt wrote it."""
    return name.split(".", maxsplit=1)[0] if name.startswith("workers/") else name
