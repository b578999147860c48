"""What the log tells of one attempt of a rank, gathered line by line in any order."""

from array import array
from dataclasses import dataclass, field

import numpy as np

from harness.insight.entries import Entries
from harness.insight.log_text import LONGEST_CAUSE, WorkerLine
from harness.insight.timings import Floats, cold_start_of, number_of, zone_of
from harness.insight.view import NOBODY, AttemptOutcome
from training.job_fields import MOST_WORKERS

# The numbers of a progress line that are kept, and what stands for a missing one.
COLUMNS = {
    "round": 0.0,
    "first_round": np.nan,
    "rounds": 0.0,
    "loss": np.nan,
    "compute_s": np.nan,
    "wait_s": np.nan,
    "waited_for": float(NOBODY),
    "rss_mb": 0.0,
    "sent_bytes": 0.0,
    "received_bytes": 0.0,
    "round_p50_ms": 0.0,
}
_ENDS: dict[str, AttemptOutcome] = {
    "finished": "finished",
    "failed": "failed",
    "handed_on": "handed_on",
    "superfluous": "superfluous",
}


@dataclass
class AttemptLog:
    """One attempt's lines.

    Attributes:
        rank: The rank.
        attempt: Counts the rank's attempts, from 1.
        request_id: Its invocation.
        link: Which function of the chain it belongs to; None if no line tells.
        first_at: When its first line was written, seconds since the epoch.
        last_at: When its last line was written.
        started_at: When its handler began, if a line tells.
        cold_start: Seconds by phase before its handler ran for the first time.
        zone: The ID of its zone; empty if unknown.
        outcome: How it ended, as far as its own lines tell.
        ended_at: When it ended; None while it has not.
        cause: Why it failed.
        waits_for: What it said that it waits for, and when.
        columns: The numbers of its progress lines, and `at`.
    """

    rank: int
    attempt: int
    request_id: str
    link: int | None = None
    first_at: float = float("inf")
    last_at: float = float("-inf")
    started_at: float | None = None
    cold_start: dict[str, float] | None = None
    zone: str = ""
    outcome: AttemptOutcome = "running"
    ended_at: float | None = None
    cause: str = ""
    waits_for: tuple[float, str] = (float("-inf"), "")
    columns: dict[str, "array[float]"] = field(
        default_factory=lambda: {name: array("d") for name in ("at", *COLUMNS)}, repr=False
    )

    _in_order: bool | None = None

    def add(self, line: WorkerLine) -> None:
        """Take a line in."""
        self.first_at, self.last_at = min(self.first_at, line.at), max(self.last_at, line.at)
        if line.event == "progress":
            self._add_progress(line)
        elif line.event == "waiting":
            self.waits_for = max(self.waits_for, (line.at, str(line.values.get("waits_for", ""))[:LONGEST_CAUSE]))
        elif line.event == "started":
            link = number_of(line.values.get("link"))
            self.link = int(link) if link else self.link
            self.started_at = number_of(line.values.get("started_at"))
            self.cold_start = cold_start_of(line.values.get("cold_start"))
            self.zone = zone_of(line.values.get("zone"))
        elif line.event in _ENDS:
            self.outcome, self.ended_at = _ENDS[line.event], line.at
            self.cause = str(line.values.get("cause", ""))[:LONGEST_CAUSE]

    def column(self, name: str) -> Floats:
        """Return a number of each progress line in the order of time, float64 [lines]."""
        at = np.frombuffer(self.columns["at"])
        if self._in_order is None:
            self._in_order = bool((at[1:] >= at[:-1]).all())
        # A copy: an array that lends its memory cannot grow.
        values = np.array(np.frombuffer(self.columns[name]))
        return values if self._in_order else values[np.argsort(at, kind="stable")]

    def entries(self, zero: float, began_at: float) -> Entries:
        """Return the rounds between progress lines.

        Args:
            zero: What is returned counts from here, seconds since the epoch.
            began_at: When the attempt began.
        """
        at, last_round = self.column("at"), self.column("round").astype(np.int64)
        # A line of an older version counts from the line before it; the first one of a later attempt is alone.
        guess = np.concatenate([[1 if self.attempt <= 1 else last_round[0]], last_round + 1])[:-1] if len(at) else at
        first_round = self.column("first_round")
        before = np.where(np.isfinite(first_round), first_round, guess).astype(np.int64) - 1
        start = np.concatenate([[began_at], at])[:-1]
        rounds = last_round - before
        moves = (rounds > 0) & (at > start)
        compute_s, wait_s = self.column("compute_s"), self.column("wait_s")
        tells_waits = len(at) > 0 and bool(np.isfinite(wait_s).all() and np.isfinite(compute_s).all())
        if not tells_waits:
            compute_s, wait_s = at - start, np.zeros(len(at))
        named = self.column("waited_for")
        peers = np.where((named >= 0) & (named < MOST_WORKERS), named, NOBODY).astype(np.int64)
        # Its first line counts what it did before its first round, too.
        start = np.where(tells_waits, np.maximum(start, at - compute_s - wait_s), start)
        return Entries(
            (start - zero)[moves],
            (at - zero)[moves],
            (before + 1)[moves],
            rounds[moves],
            (compute_s + wait_s)[moves],
            wait_s[moves],
            peers[moves],
            tells_waits,
        )

    def _add_progress(self, line: WorkerLine) -> None:
        if number_of(line.values.get("round")) is None:
            return
        self.columns["at"].append(line.at)
        self._in_order = None
        for name, missing in COLUMNS.items():
            value = number_of(line.values.get(name))
            self.columns[name].append(missing if value is None else value)
