"""How far a run is: one record per rank, and what the platform reported."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RankProgress:
    """The progress of one rank so far.

    Attributes:
        waits_for: Whom or what the rank waits for, in its own words; empty when it does not wait.
        retry_at: When Lambda retries its event, approximately, on the monotonic clock; None when no retry is due.
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
class InvocationReport:
    """The platform's REPORT line of one invocation."""

    request_id: str
    billed_ms: int
    memory_mb: int
    used_mb: int


@dataclass
class Progress:
    """The progress of a run so far.

    Attributes:
        ranks: Progress by rank.
        requests: The rank of every known invocation, by request id; Lambda's retries keep the id.
        reports: REPORT lines, one for each attempt.
        failures: How often each invocation failed or died, by request id.
        events: What went wrong during the run, and how workers recovered.
        retry_delays_s: How long Lambda waits before each retry of an event.
        waits_for: What the run as a whole waits for, when that is not a rank.
        unreadable: Names of objects below `failed/` that no worker wrote.
    """

    ranks: list[RankProgress]
    requests: dict[str, int] = field(default_factory=dict)
    reports: list[InvocationReport] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    events: list[dict[str, Any]] = field(default_factory=list)
    retry_delays_s: tuple[float, ...] = ()
    waits_for: str = ""
    unreadable: set[str] = field(default_factory=set)

    def record_failure(self, rank: int, request_id: str, state: str, cause: str) -> None:
        """Count a failed attempt of a rank's event, and estimate when Lambda retries it.

        Args:
            rank: The rank.
            request_id: The invocation's request id.
            state: `failed` when the worker reported the failure, `died` when only the platform did.
            cause: One line.
        """
        self.failures[request_id] += 1
        own = self.ranks[rank]
        own.state, own.cause, own.failures = state, cause, own.failures + 1
        own.waits_for = ""
        attempts = self.failures[request_id]
        if attempts <= len(self.retry_delays_s):
            own.retry_at = time.monotonic() + self.retry_delays_s[attempts - 1]


Watcher = Callable[[Progress], None]


def new_progress(requests: list[str], retry_delays_s: tuple[float, ...]) -> Progress:
    """Return the progress of a run whose workers have just been invoked.

    Args:
        requests: The workers' request ids by rank.
        retry_delays_s: How long Lambda waits before each retry of an event.
    """
    return Progress(
        [RankProgress(rank) for rank in range(len(requests))],
        requests={request_id: rank for rank, request_id in enumerate(requests)},
        retry_delays_s=retry_delays_s,
    )


def waits(progress: Progress) -> str:
    """Return whom or what a run waits for, in words; empty while its ranks train."""
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
