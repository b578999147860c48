"""A rank of a run's view."""

from collections.abc import Callable, Sequence

import numpy as np

from harness.insight.attempts import AttemptFacts
from harness.insight.entries import buckets_of
from harness.insight.facts import RunFacts
from harness.insight.view import Attempt, Interval, Rank

Window = tuple[float, float]

MOST_MEMORY = 200


def rank_view(
    rank: int,
    attempts: Sequence[AttemptFacts],
    facts: RunFacts,
    blamed_s: float,
    drawn: Callable[[AttemptFacts], Attempt],
) -> Rank:
    """Return a rank.

    Args:
        rank: The rank.
        attempts: Its attempts, the oldest first.
        facts: The run's records.
        blamed_s: Seconds for which others waited for it.
        drawn: Returns an attempt as it is drawn, see `attempt_view`.
    """
    if not attempts:
        return Rank(rank=rank, blamed_s=blamed_s)
    wait_s = sum(float(one.entries.wait_s.sum()) for one in attempts)
    busy_s = sum(float(one.entries.busy_s.sum()) for one in attempts)
    rounds = [int(one.entries.first_round[-1] + one.entries.rounds[-1] - 1) for one in attempts if len(one.entries.end)]
    return Rank(
        rank=rank,
        state=_state(attempts[-1], facts),
        round=max(rounds, default=0),
        rows=max(one.rows for one in attempts),
        compute_s=busy_s - wait_s,
        wait_s=wait_s,
        blamed_s=blamed_s,
        sent_bytes=sum(one.sent_bytes for one in attempts),
        received_bytes=sum(one.received_bytes for one in attempts),
        max_rss_mb=max(one.max_rss_mb for one in attempts),
        cpu_s=sum(one.cpu_s for one in attempts),
        zone=attempts[-1].zone,
        attempts=[drawn(one) for one in attempts],
    )


def _state(last: AttemptFacts, facts: RunFacts) -> str:
    if last.outcome in {"finished", "failed", "died"}:
        return last.outcome
    if last.outcome == "handed_on":
        return "invoked"
    log = facts.logs.get((last.rank, last.attempt))
    if log is not None and log.waits_for[1] and log.waits_for[0] >= log.last_at:
        return "waiting"
    return "training"


def attempt_view(one: AttemptFacts, zero: float, most: int, window: Window | None = None) -> Attempt:
    """Return an attempt.

    Args:
        one: The attempt.
        zero: What is returned counts from here, seconds since the epoch.
        most: The largest number of bars for its rounds.
        window: Draw only the rounds between these seconds; None for all.
    """
    began = one.started - zero
    entries = one.entries._replace(start=one.entries.start + began, end=one.entries.end + began)
    return Attempt(
        attempt=one.attempt,
        link=one.link,
        request_id=one.request_id,
        started=round(began, 6),
        ended=None if one.ended is None else round(one.ended - zero, 6),
        outcome=one.outcome,
        cause=one.cause,
        cold_start=one.cold_start,
        intervals=[*_cold_intervals(one, began), *(_moved(span, began) for span in one.intervals)],
        buckets=buckets_of(entries, most, window),
        memory=_memory(one, began),
        complete=one.complete,
    )


def _cold_intervals(one: AttemptFacts, began: float) -> list[Interval]:
    """Return the phases of a cold start, the last of which ends as the handler begins.

    An environment that was there before the run, such as one of provisioned concurrency, started before it: what lies
    before the run's beginning is left out.
    """
    found: list[Interval] = []
    end = began
    for phase, seconds in reversed((one.cold_start or {}).items()):
        start = max(0.0, end - seconds)
        if end > 0 and seconds > 0:
            found.append(Interval("start", round(start, 6), round(end, 6), phase))
        end -= seconds
    return found[::-1]


def _moved(span: Interval, by: float) -> Interval:
    return Interval(span.phase, round(span.start + by, 6), round(span.end + by, 6), span.note)


def _memory(one: AttemptFacts, began: float) -> list[tuple[float, float]]:
    """Return an attempt's resident sizes, thinned, the largest kept."""
    points = one.memory
    if len(points) > MOST_MEMORY:
        group = np.arange(len(points)) * MOST_MEMORY // len(points)
        order = np.lexsort((points[:, 1], group))
        points = points[order[np.flatnonzero(np.diff(group[order], append=MOST_MEMORY))]]
    at, mb = np.round(points[:, 0] + began, 3).tolist(), np.round(points[:, 1], 2).tolist()
    return list(zip(at, mb, strict=True))
