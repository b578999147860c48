"""How far a run is: one record per rank, and what the platform reported."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RankProgress:
    """The progress of one rank so far.

    Attributes:
        started_at: When its handler began for the first time, seconds since the epoch; None before that.
        waits_for: Whom or what the rank waits for, in its own words; empty when it does not wait.
        retry_at: When Lambda retries its event, approximately, on the monotonic clock; None when no retry is due.
        loss: Of the last batch that its log has.
        epoch_loss: Of the last epoch.
        compute_s: Seconds between its last two progress lines in which it computed.
        wait_s: Seconds between its last two progress lines in which it waited for other ranks.
        waited_for: The rank that it waited for longest in that time; -1 for none.
        rss_mb: Its resident size.
        measured_at: When its last progress line was read, on the monotonic clock.
        sent_bytes: Bytes of values that it has stored in the channel, up to its last progress line.
        received_bytes: Bytes of values that it has read from the channel, up to its last progress line.
        revivals: How often other ranks have invoked its event again, in its present link.
        revivable: Whether other ranks may do so; False once one has said that it must not be.
    """

    rank: int
    state: str = "invoked"
    failures: int = 0
    cause: str = ""
    started_at: float | None = None
    round: int = 0
    rounds: int = 0
    epoch: int = 0
    loss: float | None = None
    epoch_loss: float | None = None
    rows_per_s: float | None = None
    compute_s: float = 0.0
    wait_s: float = 0.0
    waited_for: int = -1
    rss_mb: float | None = None
    measured_at: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    waits_for: str = ""
    retry_at: float | None = None
    revivals: int = 0
    revivable: bool = True


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
        returned: Invocations that ended well, so that Lambda does not retry them.
        events: What went wrong during the run, and how workers recovered.
        retry_delays_s: How long Lambda waits before each retry of an event.
        revive: Whether ranks invoke the event of one that died.
        waits_for: What the run as a whole waits for, when that is not a rank.
        unreadable: Names of objects below `failed/` that no worker wrote.
    """

    ranks: list[RankProgress]
    requests: dict[str, int] = field(default_factory=dict)
    reports: list[InvocationReport] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    returned: set[str] = field(default_factory=set)
    events: list[dict[str, Any]] = field(default_factory=list)
    retry_delays_s: tuple[float, ...] = ()
    revive: bool = False
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


# States of a rank whose event Lambda has, and whose handler has printed nothing yet.
_STARTING = {"invoked", "next link", "revived"}
Watcher = Callable[[Progress], None]


def new_progress(requests: list[str], retry_delays_s: tuple[float, ...], *, revive: bool = False) -> Progress:
    """Return the progress of a run whose workers have just been invoked.

    Args:
        requests: The workers' request ids by rank.
        retry_delays_s: How long Lambda waits before each retry of an event.
        revive: Whether ranks invoke the event of one that died.
    """
    return Progress(
        [RankProgress(rank) for rank in range(len(requests))],
        requests={request_id: rank for rank, request_id in enumerate(requests)},
        retry_delays_s=retry_delays_s,
        revive=revive,
    )


# A rank is late if another one spent this share of its time waiting for it, and it waited little itself.
LATE_SHARE = 0.3
# Older measurements show nothing: a frozen rank lets all others print no more lines.
FRESH_S = 1.5


@dataclass(frozen=True, slots=True)
class LateRank:
    """The rank that the others wait for.

    Attributes:
        rank: The rank.
        wait_s: The longest wait of another rank for it, between that rank's last two progress lines.
        seconds: The time between those lines that was spent in rounds.
    """

    rank: int
    wait_s: float
    seconds: float


def late_rank(progress: Progress, now: float) -> LateRank | None:
    """Return the rank that the others waited for between their last progress lines; None if none stands out.

    In a ring or a tree, a rank waits for its neighbour, and that one for the next: the wait is followed to its end.

    Args:
        progress: The run's progress.
        now: The time on the monotonic clock.
    """
    found: dict[int, LateRank] = {}
    fresh = [rank for rank in progress.ranks if rank.state == "training" and now - rank.measured_at <= FRESH_S]
    waiting = [rank for rank in fresh if _is_held_up(rank)]
    for rank in waiting:
        end, seen = rank, {rank.rank}
        while _is_held_up(end) and 0 <= end.waited_for < len(progress.ranks) and end.waited_for not in seen:
            end = progress.ranks[end.waited_for]
            seen.add(end.rank)
        best = found.get(end.rank)
        if end.wait_s <= rank.wait_s / 2 and (best is None or rank.wait_s > best.wait_s):
            found[end.rank] = LateRank(end.rank, rank.wait_s, rank.wait_s + rank.compute_s)
    return max(found.values(), key=lambda late: late.wait_s, default=None)


def _is_held_up(rank: RankProgress) -> bool:
    return rank.waited_for >= 0 and rank.wait_s >= LATE_SHARE * (rank.wait_s + rank.compute_s) > 0


def format_ranks(ranks: Iterable[int]) -> str:
    """Return ranks in a few characters: `0-2, 5, 6`."""
    runs: list[list[int]] = []
    for rank in sorted(ranks):
        if runs and rank == runs[-1][-1] + 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def waits(progress: Progress) -> str:
    """Return whom or what a run waits for, in words; empty while its ranks train."""
    if progress.waits_for:
        return progress.waits_for
    now = time.monotonic()
    words = []
    due = {rank.rank: rank.retry_at for rank in progress.ranks if rank.retry_at is not None}
    if due:
        first = "the first in" if len(due) > 1 else "in"
        left_s = max(0.0, min(due.values()) - now)
        when = f"{first} about {left_s:.0f} s" if left_s >= 0.5 else "due now"
        words.append(f"Lambda's next try of rank {format_ranks(due)} ({when})")
    starting = [rank.rank for rank in progress.ranks if rank.state in _STARTING and not rank.waits_for]
    if starting:
        words.append(f"rank {format_ranks(starting)} to start")
    waiting: dict[str, list[int]] = {}
    for rank in progress.ranks:
        if rank.waits_for:
            waiting.setdefault(rank.waits_for, []).append(rank.rank)
    words += [f"{whom} (awaited by rank {format_ranks(ranks)})" for whom, ranks in waiting.items()]
    return "; ".join(words)
