"""A worker's telemetry: progress lines in its log, timings for the run's folder.

A line is one JSON object on standard output, which Lambda sends to CloudWatch Logs.
Its key `event` names its kind: `started`, `progress`, `epoch`, `finished` or `failed`;
`handed_on` (the next link was invoked), `superfluous` (a duplicate delivery);
and for recovery `recovered`, `reput`, `handed_over`, `rejoined`, `rolled_back`, `resumed`, `checkpoint`,
`checkpoint_failed`, `revived` (this rank has invoked the event of a dead one), `not_revived` (that is left to Lambda).

The timings are stored when an attempt ends by itself: `telemetry/<rank>.<attempt>.json`.
"""

import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.exchange.counting import BytesMoved
from training.exchange.waits import NOBODY, RoundWait
from training.run.results import RunFolder
from training.run.timings import MOST_ENTRIES, Intervals, RoundTimings, encoded
from training.run.zone import own_zone

# The version of the record of timings.
VERSION = 2
# Its second field is the resident size in pages: https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# A rank prints progress about this often; lines cost time, so not every round prints one.
PROGRESS_INTERVAL_S = 0.5


class Telemetry:
    """Collects one worker's timings and prints its progress.

    Args:
        run_id: The run.
        rank: This worker's rank.
        attempt: The attempt of this rank, from 1; 0 until it is known.
        request_id: The invocation's `aws_request_id`.
        cold_start: Seconds by phase before the handler ran for the first time; None in a warm environment.

    Attributes:
        phases: Seconds of the handler by phase.
        rounds: The rounds so far.
        all_reduce_s: How long each all-reduce took.
        moved: The bytes that this rank moved through the channel.
        longest_round_s: The longest round, or what one may take.
        started_at: When the handler began, seconds since the epoch.
    """

    def __init__(
        self, run_id: str, rank: int, attempt: int, request_id: str, cold_start: dict[str, float] | None = None
    ) -> None:
        self.phases: dict[str, float] = {}
        self.rounds = RoundTimings()
        self.all_reduce_s: Sequence[float] = ()
        self.moved = BytesMoved()
        self.longest_round_s = 0.0
        self.cold_start = cold_start
        self._labels: dict[str, int | str] = {
            "run_id": run_id,
            "rank": rank,
            "attempt": attempt,
            "request_id": request_id,
        }
        self.started_at = time.time()
        self._started, self._started_cpu = time.perf_counter(), time.process_time()
        self._intervals = Intervals()
        self._memory: list[tuple[float, float]] = []
        self._printed = _Printed(self._started)

    @property
    def attempt(self) -> int:
        """The attempt of this rank."""
        return int(self._labels["attempt"])

    @attempt.setter
    def attempt(self, attempt: int) -> None:
        self._labels["attempt"] = attempt

    @property
    def seconds(self) -> float:
        """Seconds since the handler began."""
        return time.perf_counter() - self._started

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all threads of this process since the handler began."""
        return time.process_time() - self._started_cpu

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a phase of the handler."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - started

    @contextmanager
    def interval(self, name: str) -> Iterator[None]:
        """Record when the block begins and ends."""
        started = self.seconds
        try:
            yield
        finally:
            self._intervals.add(name, 1e3 * started, 1e3 * self.seconds)

    def line(self, event: str, **values: object) -> None:
        """Print one line to the log."""
        record = {"event": event, **self._labels, **values}
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
        sys.stdout.flush()

    def round_done(self, number: int, rounds: int, loss: float, rows: int, started: float, waited: RoundWait) -> None:
        """Record a round, and print a progress line if the last one was `PROGRESS_INTERVAL_S` ago.

        Args:
            number: The round, from 1.
            rounds: Total number of rounds.
            loss: Mean loss over the round's global batch.
            rows: This rank's rows in that batch.
            started: `time.perf_counter()` at its start.
            waited: How long it waited for other ranks in it.
        """
        now = time.perf_counter()
        seconds = now - started
        self.rounds.add(number, 1e3 * (started - self._started), seconds, waited)
        self.longest_round_s = max(self.longest_round_s, seconds)
        since = self._printed
        since.add(number, seconds, rows, waited)
        elapsed = now - since.at
        if elapsed >= PROGRESS_INTERVAL_S:
            self.sample_memory()
            figures = since.figures(elapsed, self.moved) | {"rss_mb": self._memory[-1][1]}
            self.line("progress", round=number, rounds=rounds, loss=loss, **figures)
            self._printed = _Printed(now, self.moved.sent, self.moved.received)

    def sample_memory(self) -> None:
        """Record how much memory this process has now."""
        resident_mb = int(_STATM.read_text().split()[1]) * _PAGE_BYTES / (1 << 20)
        self._memory.append((round(1e3 * self.seconds, 1), round(resident_mb, 1)))

    def expect_round(self, seconds: float) -> None:
        """Note how long a round may take before the first such round."""
        self.longest_round_s = max(self.longest_round_s, seconds)

    def epoch_done(self, report: msgspec.Struct) -> None:
        """Print an epoch's report."""
        self.line("epoch", **msgspec.to_builtins(report))

    def store(self, folder: RunFolder) -> None:
        """Store all timings in the run's folder.

        The interval `store` begins now; it ends when the worker's own record is written, and `stay` follows.

        Raises:
            StorageError: S3 fails.
        """
        self.sample_memory()
        self._intervals.add("store", 1e3 * self.seconds, 1e3 * self.seconds)
        step = 1 + len(self.all_reduce_s) // MOST_ENTRIES
        record = {
            "version": VERSION,
            "started_at": self.started_at,
            **self.rounds.record(),
            "all_reduce_ms": encoded(1e3 * np.asarray(self.all_reduce_s or [0.0])[::step]),
            "all_reduces": len(self.all_reduce_s),
            "intervals": self._intervals.record(),
            "memory": self._memory,
            "sent_bytes": self.moved.sent,
            "received_bytes": self.moved.received,
            "cold_start": self.cold_start,
            "zone": own_zone(),
        }
        folder.write_json(f"telemetry/{self._labels['rank']}.{self.attempt}.json", record)

    def totals(self) -> dict[str, object]:
        """Return the figures of this attempt that the record of a finished worker or link has."""
        return {
            "rank": self._labels["rank"],
            "attempt": self.attempt,
            "started_at": self.started_at,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "compute_s": self.rounds.compute_s,
            "wait_s": self.rounds.wait_s,
            "phases": self.phases,
            "cold_start": self.cold_start,
            "zone": own_zone(),
            "max_rss_mb": max_rss_mb(),
        }


class _Printed:
    """What happened since the last progress line.

    Args:
        at: When it was printed, by `time.perf_counter`.
        sent: Bytes sent until then.
        received: Bytes received until then.
    """

    def __init__(self, at: float, sent: int = 0, received: int = 0) -> None:
        self.at, self._sent, self._received = at, sent, received
        self._first_round = self._rows = 0
        self._round_s: list[float] = []
        self._waits: defaultdict[int, float] = defaultdict(float)

    def add(self, number: int, seconds: float, rows: int, waited: RoundWait) -> None:
        """Add a round."""
        self._first_round = self._first_round or number
        self._rows += rows
        self._round_s.append(seconds)
        if waited.rank != NOBODY:
            self._waits[waited.rank] += waited.seconds

    def figures(self, elapsed: float, moved: BytesMoved) -> dict[str, object]:
        """Return the figures of these rounds for the next line."""
        wait_s = sum(self._waits.values())
        return {
            "rows_per_s": self._rows / elapsed,
            "first_round": self._first_round,
            "round_p50_ms": round(1e3 * float(np.median(self._round_s)), 3),
            "compute_s": round(sum(self._round_s) - wait_s, 6),
            "wait_s": round(wait_s, 6),
            "waited_for": max(self._waits, key=self._waits.__getitem__, default=NOBODY),
            "sent_bytes": moved.sent - self._sent,
            "received_bytes": moved.received - self._received,
        }


def percentiles_ms(milliseconds: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    """Return the median and the 99th percentile, in ms."""
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4)}


def max_rss_mb() -> float:
    """Return the largest resident size of this process so far, in MB."""
    # Linux counts it in KB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
