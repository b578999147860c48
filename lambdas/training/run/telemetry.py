"""A worker's telemetry: progress lines in its log, timings for the run's folder.

A line is one JSON object on standard output, which Lambda sends to CloudWatch Logs.
Its key `event` names its kind: `started`, `progress`, `epoch`, `finished` or `failed`;
`handed_on` (the next link was invoked), `superfluous` (a duplicate delivery);
and for recovery `recovered`, `reput`, `handed_over`, `rejoined`, `resumed`, `checkpoint`, `checkpoint_failed`.
"""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import numpy as np

# A rank prints progress about this often; lines cost time, so not every round prints one.
PROGRESS_INTERVAL_S = 0.5


class Telemetry:
    """Collects one worker's timings and prints its progress.

    Args:
        run_id: The run.
        rank: This worker's rank.
        attempt: The attempt of this rank, from 1; 0 until it is known.
        request_id: The invocation's `aws_request_id`.
    """

    def __init__(self, run_id: str, rank: int, attempt: int, request_id: str) -> None:
        self.phases: dict[str, float] = {}
        self.round_s: list[float] = []
        self.longest_round_s = 0.0
        self._labels: dict[str, int | str] = {
            "run_id": run_id,
            "rank": rank,
            "attempt": attempt,
            "request_id": request_id,
        }
        self.started_at = time.time()
        self._started, self._started_cpu = time.perf_counter(), time.process_time()
        self._last_progress = self._started
        self._rows_since = 0

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

    def line(self, event: str, **values: object) -> None:
        """Print one line to the log."""
        record = {"event": event, **self._labels, **values}
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
        sys.stdout.flush()

    def round_done(self, number: int, rounds: int, loss: float, rows: int, started: float) -> None:
        """Record a round, and print a progress line if the last one was `PROGRESS_INTERVAL_S` ago.

        Args:
            number: The round, from 1.
            rounds: Total number of rounds.
            loss: Mean loss over the round's global batch.
            rows: This rank's rows in that batch.
            started: `time.perf_counter()` at its start.
        """
        now = time.perf_counter()
        self.round_s.append(now - started)
        self.longest_round_s = max(self.longest_round_s, now - started)
        self._rows_since += rows
        elapsed = now - self._last_progress
        if elapsed >= PROGRESS_INTERVAL_S:
            self.line("progress", round=number, rounds=rounds, loss=loss, rows_per_s=self._rows_since / elapsed)
            self._last_progress, self._rows_since = now, 0

    def expect_round(self, seconds: float) -> None:
        """Note how long a round may take before the first such round."""
        self.longest_round_s = max(self.longest_round_s, seconds)

    def epoch_done(self, report: msgspec.Struct) -> None:
        """Print an epoch's report."""
        self.line("epoch", **msgspec.to_builtins(report))


def percentiles_ms(seconds: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile, in ms."""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4)}


def max_rss_mb() -> float:
    """Return the largest resident size of this process so far, in MB."""
    # Linux counts it in KB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
