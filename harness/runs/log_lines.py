"""The lines of the workers' log, read into a run's progress: the workers' own and the platform's."""

import json
import time
from collections.abc import Iterable
from typing import Any

from harness.insight.log_text import PLATFORM_ERROR, REPORT, error_in
from harness.runs.log_tail import LogTail
from harness.runs.progress import InvocationReport, Progress, RankProgress

# The workers' events about recovery; the summary lists these.
RECOVERY_EVENTS = {
    "recovered",
    "reput",
    "handed_over",
    "rejoined",
    "rolled_back",
    "resumed",
    "checkpoint_failed",
    "handed_on",
    "superfluous",
    "not_revived",
}


def read_report(message: str) -> InvocationReport | None:
    """Return the figures of a REPORT line; None when the message is another line."""
    found = REPORT.match(message)
    if found is None:
        return None
    return InvocationReport(found["id"], int(found["billed"]), int(found["memory"]), int(found["used"]))


def read_log(tail: LogTail, progress: Progress, run_id: str) -> bool:
    """Read the new lines; return whether one of them was this run's, as all runs share the worker's log."""
    return read_lines((message for _, message in tail.lines()), progress, run_id)


def read_lines(messages: Iterable[str], progress: Progress, run_id: str) -> bool:
    """Read lines of workers in the order of their time; return whether one of them was this run's."""
    news = False
    for message in messages:
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
        if cause := _cause_in(message):
            _record_death(progress, report.request_id, cause)
        return True
    error = PLATFORM_ERROR.search(message)
    if error is None or (request_id := error["id"] or error["id2"]) not in progress.requests:
        return False
    _record_death(progress, request_id, error_in(error))
    return True


def _cause_in(report: str) -> str:
    """Return why the platform ended an invocation, from its REPORT line; empty if it did not."""
    found = REPORT.match(report)
    if found is None or found["status"] is None:
        return ""
    return found["error"] or f"Task timed out after {float(found['ms']) / 1e3:.2f} seconds"


def _record_death(progress: Progress, request_id: str, cause: str) -> None:
    rank = progress.requests[request_id]
    progress.record_failure(rank, request_id, "died", cause)
    progress.events.append({"event": "died", "rank": rank, "cause": cause})


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
    _note_events(progress, line)
    _note_state(progress, rank, line)
    return True


def _note_events(progress: Progress, line: dict[str, Any]) -> None:
    """Note what a line says of recovery."""
    event = line["event"]
    if event in {"superfluous", "handed_on", "finished"}:
        progress.returned.add(line["request_id"])
    if event == "revived":
        _record_revival(progress, line)
    elif event == "not_revived" and line["final"]:
        progress.ranks[line["whom"]].revivable = False
    if event in RECOVERY_EVENTS:
        progress.events.append({k: v for k, v in line.items() if k not in {"run_id", "request_id"}})


def _note_state(progress: Progress, rank: RankProgress, line: dict[str, Any]) -> None:
    """Note how far a rank is by its line."""
    event = line["event"]
    if event != "failed":
        rank.retry_at = None
    if event == "handed_on":
        progress.requests[line["next_request_id"]] = rank.rank
        rank.state, rank.revivals = "next link", 0
    elif event == "failed":
        progress.record_failure(rank.rank, line["request_id"], "failed", line["cause"])
    elif event == "progress":
        rank.state, rank.round, rank.rounds = "training", line["round"], line["rounds"]
        rank.loss, rank.rows_per_s = line["loss"], line["rows_per_s"]
        rank.compute_s, rank.wait_s = line.get("compute_s", 0.0), line.get("wait_s", 0.0)
        rank.waited_for, rank.rss_mb = line.get("waited_for", -1), line.get("rss_mb")
        rank.measured_at = time.monotonic()
        rank.sent_bytes += line.get("sent_bytes", 0)
        rank.received_bytes += line.get("received_bytes", 0)
    elif event == "epoch":
        rank.state, rank.round, rank.epoch, rank.epoch_loss = "training", line["rounds"], line["epoch"], line["loss"]
    elif event in {"started", "finished"}:
        rank.state = event
        rank.started_at = rank.started_at or line.get("started_at")


def _record_revival(progress: Progress, line: dict[str, Any]) -> None:
    """Note that a rank has invoked another one's event, whose invocation belongs to the run from now on."""
    whom = progress.ranks[line["whom"]]
    progress.requests[line["revived_request_id"]] = whom.rank
    whom.state, whom.retry_at, whom.revivals = "revived", None, line["revival"]
    by, stood_still_s = line["rank"], line["stood_still_s"]
    note = f"by rank {by}: no heartbeat for {stood_still_s:.2f} s"
    about = {"revival": line["revival"], "stood_still_s": stood_still_s, "note": note}
    progress.events.append({"event": "revived", "rank": whom.rank, "by": by, **about})
