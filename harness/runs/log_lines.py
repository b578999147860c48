"""The lines of the workers' log, read into a run's progress: the workers' own and the platform's."""

import json
import re
from typing import Any

from harness.runs.log_tail import LogTail
from harness.runs.progress import InvocationReport, Progress

# The workers' events about recovery; the summary lists these.
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

_PLATFORM_ERROR = re.compile(
    r"RequestId: (?P<id>[0-9a-f-]{36}) Error: (?P<error>.*)|^\S+Z (?P<id2>[0-9a-f-]{36}) (?P<timeout>Task timed out.*)",
    re.DOTALL,
)
_REPORT = re.compile(
    r"^REPORT RequestId: (?P<id>[0-9a-f-]{36})\t.*Billed Duration: (?P<billed>\d+) ms\tMemory Size: (?P<memory>\d+) MB"
    r"\tMax Memory Used: (?P<used>\d+) MB"
)


def read_report(message: str) -> InvocationReport | None:
    """Return the figures of a REPORT line; None when the message is another line."""
    found = _REPORT.match(message)
    if found is None:
        return None
    return InvocationReport(found["id"], int(found["billed"]), int(found["memory"]), int(found["used"]))


def read_log(tail: LogTail, progress: Progress, run_id: str) -> bool:
    """Read the new lines; return whether one of them was this run's, as all runs share the worker's log."""
    news = False
    for _, message in tail.lines():
        if message.startswith("{"):
            news |= _read_worker_line(message, progress, run_id)
        else:
            news |= _read_platform_line(message, progress)
    return news


def _read_platform_line(message: str, progress: Progress) -> bool:
    if report := read_report(message):
        if report.request_id not in progress.requests:
            return False
        progress.reports.append(report)
        return True
    error = _PLATFORM_ERROR.search(message)
    if error is None or (request_id := error["id"] or error["id2"]) not in progress.requests:
        return False
    cause = (error["error"] or error["timeout"]).splitlines()[0]
    rank = progress.requests[request_id]
    progress.record_failure(rank, request_id, "died", cause)
    progress.events.append({"event": "died", "rank": rank, "cause": cause})
    return True


def _read_worker_line(message: str, progress: Progress, run_id: str) -> bool:
    try:
        line: dict[str, Any] = json.loads(message)
        if line["run_id"] != run_id:
            return False
        rank = progress.ranks[line["rank"]]
        event, request_id = line["event"], line["request_id"]
    except (ValueError, LookupError, TypeError):
        return False  # not a line of the training library: a function may print anything
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
        progress.record_failure(rank.rank, request_id, "failed", line["cause"])
    elif event == "progress":
        rank.state, rank.round, rank.rounds = "training", line["round"], line["rounds"]
        rank.loss, rank.rows_per_s = line["loss"], line["rows_per_s"]
    elif event == "epoch":
        rank.state, rank.round, rank.epoch, rank.loss = "training", line["rounds"], line["epoch"], line["loss"]
    elif event in {"started", "finished"}:
        rank.state = event
    return True
