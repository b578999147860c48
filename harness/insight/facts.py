"""What is known of a run so far, gathered record by record in any order; `harness.insight.recorder` draws on it."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness.insight.attempt_log import AttemptLog
from harness.insight.log_text import PlatformEnd, WorkerLine, parse_line
from harness.insight.names import attempt_of
from harness.insight.timings import Timings, number_of, read_timings

Key = tuple[int, int]

DOCUMENTS = ("job.json", "result.json", "run.json", "aborted.json", "invoked.json")
WORKER_RECORDS = ("workers/", "failed/", "links/")
# Events that become marks; a chain of checkpoints may print very many.
MARKED = {
    "revived",
    "recovered",
    "reput",
    "handed_over",
    "rejoined",
    "rolled_back",
    "resumed",
    "checkpoint",
    "checkpoint_failed",
    "handed_on",
}
MOST_EVENTS = 20_000


@dataclass
class RunFacts:
    """A run's records.

    Attributes:
        run_id: The run.
        logs: What the log tells, by rank and attempt.
        early: When each invocation printed something before its attempt had a number, seconds since the epoch.
        timings: Stored timings, by rank and attempt.
        workers: `workers/`, by rank and attempt.
        failed: `failed/`, by rank and attempt.
        links: `links/`, by rank and attempt.
        documents: The objects that a run has once, by name.
        summary: What `harness run --json` printed.
        invocations: The service's records, by number.
        ends: What the platform said of the ends of invocations.
        events: Lines of recovery, checkpoints and links.
        epochs: The report of each epoch and when it was printed, by epoch.
        requests: The rank of each invocation.
        first_lines: When each invocation printed its first line.
        problems: Records that cannot be read, one clause each.
    """

    run_id: str
    logs: dict[Key, AttemptLog] = field(default_factory=dict)
    early: dict[str, float] = field(default_factory=dict)
    timings: dict[Key, Timings] = field(default_factory=dict)
    workers: dict[Key, dict[str, Any]] = field(default_factory=dict)
    failed: dict[Key, dict[str, Any]] = field(default_factory=dict)
    links: dict[Key, dict[str, Any]] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] | None = None
    invocations: dict[int, dict[str, Any]] = field(default_factory=dict)
    ends: list[PlatformEnd] = field(default_factory=list)
    events: list[WorkerLine] = field(default_factory=list)
    epochs: dict[int, tuple[int, float, dict[str, Any]]] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    first_lines: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def add_line(self, at: float, request_id: str, text: str) -> None:
        """Take a line of a log in; text that says nothing about the run changes nothing."""
        line = parse_line(at, text)
        own_id = request_id or ("" if line is None else line.request_id)
        if own_id:
            self.first_lines[own_id] = min(at, self.first_lines.get(own_id, at))
        if isinstance(line, PlatformEnd):
            self.ends.append(line)
        elif line is not None and line.run_id == self.run_id:
            self._add_worker_line(line)

    def add_record(self, name: str, body: bytes) -> None:
        """Take an object of the run's folder in."""
        if not (name in DOCUMENTS or name.endswith(".json")):
            return
        folder = next((kind for kind in (*WORKER_RECORDS, "telemetry/") if name.startswith(kind)), None)
        if folder is None and name not in DOCUMENTS:
            return
        try:
            record = msgspec.json.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            self.problems[name] = f"{name} is not what a run leaves there"
            return
        if folder is None:
            self.documents[name] = record
            self._add_requests(record)
        elif (key := attempt_of(name)) is not None:
            self._add_of_worker(folder, key, name, record)

    def add_invocation(self, record: dict[str, Any]) -> None:
        """Take a record of the Lambda service in; a later state of the same attempt replaces an earlier one."""
        number, request_id = number_of(record.get("number")), record.get("request_id")
        if number is None or not isinstance(request_id, str):
            self.problems["invocations"] = "a record of an invocation has no number, or no request id"
            return
        self.invocations[int(number)] = record

    def attempts(self) -> list[Key]:
        """Return rank and attempt of all attempts that some record or line tells of."""
        known = {*self.logs, *self.timings, *self.workers, *self.failed, *self.links}
        return sorted(known)

    def _add_of_worker(self, folder: str, key: Key, name: str, record: dict[str, Any]) -> None:
        if folder == "telemetry/":
            self.timings[key] = read_timings(record)
            for problem in self.timings[key].problems[:1]:
                self.problems[name] = f"of {name}: {problem}"
            return
        {"workers/": self.workers, "failed/": self.failed, "links/": self.links}[folder][key] = record
        if folder == "links/" and isinstance(next_id := record.get("next_request_id"), str):
            self.requests[next_id] = key[0]

    def _add_requests(self, record: dict[str, Any]) -> None:
        requests = record.get("requests")
        if isinstance(requests, list):
            self.requests |= {one: rank for rank, one in enumerate(requests) if isinstance(one, str)}

    def _add_worker_line(self, line: WorkerLine) -> None:
        self.requests[line.request_id] = line.rank
        if line.event == "handed_on" and isinstance(next_id := line.values.get("next_request_id"), str):
            self.requests[next_id] = line.rank
        if line.event == "revived" and isinstance(its_id := line.values.get("revived_request_id"), str):
            self.requests[its_id] = int(number_of(line.values.get("whom")) or 0)
        if line.attempt < 1:
            self.early[line.request_id] = min(line.at, self.early.get(line.request_id, line.at))
            return
        key = (line.rank, line.attempt)
        if key not in self.logs:
            self.logs[key] = AttemptLog(line.rank, line.attempt, line.request_id)
        self.logs[key].add(line)
        if line.event in MARKED and len(self.events) < MOST_EVENTS:
            self.events.append(line)
        elif line.event == "epoch" and (number := number_of(line.values.get("epoch"))):
            known = self.epochs.get(int(number))
            # The lowest rank's report counts; of two of the same rank, the later one.
            if known is None or (line.rank, -line.at) <= (known[0], -known[1]):
                self.epochs[int(number)] = (line.rank, line.at, line.values)
