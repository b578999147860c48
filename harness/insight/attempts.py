"""The attempts of all ranks, put together from stored records, the log, and what the platform said of their ends."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.insight.attempt_log import AttemptLog
from harness.insight.entries import Entries
from harness.insight.facts import Key, RunFacts
from harness.insight.log_text import LONGEST_CAUSE, PlatformEnd
from harness.insight.stored import StoredRounds
from harness.insight.timings import Floats, Timings, cold_start_of, number_of, zone_of
from harness.insight.view import AttemptOutcome, Interval

NO_MEMORY = np.zeros((0, 2))
_NONE, _NO_NUMBERS = np.zeros(0), np.zeros(0, np.int64)
NO_ENTRIES = Entries(_NONE, _NONE, _NO_NUMBERS, _NO_NUMBERS, _NONE, _NONE, _NO_NUMBERS, tells_waits=False)


@dataclass(frozen=True)
class AttemptFacts:
    """One attempt; all times are seconds since the epoch, those of `entries` after `started`.

    Attributes:
        rank: The rank.
        attempt: Counts the rank's attempts, from 1.
        link: Which function of the chain it belongs to, from 1.
        request_id: Its invocation; empty if unknown.
        started: When its handler began.
        ended: When it ended; None while it runs, or if nobody knows.
        last_at: When it was last heard of.
        outcome: How it ended.
        cause: Why it failed.
        cold_start: Seconds by phase before its handler ran for the first time.
        entries: Its rounds.
        intervals: Its phases: name, start and end after `started`.
        memory: Seconds after `started` and resident MB, float64 [samples, 2].
        complete: Whether its timings were stored.
        exchange_s: How long the exchanges of its rounds took, waits excluded; 0 if unknown.
        sent_bytes: Bytes that it stored in the channel.
        received_bytes: Bytes that it read from the channel.
        max_rss_mb: Its largest resident size.
        cpu_s: Its processor time.
        rows: Its training rows.
        phases: Seconds by phase of its handler.
        zone: The ID of its zone; empty if unknown.
    """

    rank: int
    attempt: int
    link: int
    request_id: str
    started: float
    ended: float | None
    last_at: float
    outcome: AttemptOutcome
    cause: str
    cold_start: dict[str, float] | None
    entries: Entries = NO_ENTRIES
    intervals: list[Interval] = field(default_factory=list)
    memory: Floats = field(default_factory=lambda: NO_MEMORY)
    complete: bool = False
    exchange_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    max_rss_mb: float = 0.0
    cpu_s: float = 0.0
    rows: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    zone: str = ""


def put_together(facts: RunFacts, stored: Mapping[Key, StoredRounds], *, over: bool) -> dict[int, list[AttemptFacts]]:
    """Return the attempts of each rank, the oldest first.

    Args:
        facts: The run's records.
        stored: The rounds of stored timings, as `stored_rounds` returns them.
        over: Whether the run is over, so that an attempt of which nobody tells an end has died.
    """
    found = [one for key in facts.attempts() if (one := _attempt(facts, key, stored.get(key))) is not None]
    found = _with_deaths(found, facts.ends)
    by_rank: dict[int, list[AttemptFacts]] = {}
    for one in sorted(found, key=lambda one: (one.rank, one.attempt)):
        by_rank.setdefault(one.rank, []).append(one)
    return {rank: _with_unknown_ends(attempts, over=over) for rank, attempts in by_rank.items()}


def _attempt(facts: RunFacts, key: Key, stored: StoredRounds | None) -> AttemptFacts | None:
    log, timings = facts.logs.get(key), facts.timings.get(key)
    worker, link = facts.workers.get(key, {}), facts.links.get(key, {})
    failed = facts.failed.get(key)
    started = _started(facts, log, timings, [worker, link])
    if started is None:
        failed_at = number_of((failed or {}).get("time"))
        if failed_at is None:
            return None
        started = failed_at
    outcome, ended, cause = _end(started, log, worker, link, failed)
    entries = NO_ENTRIES if log is None or stored is not None else log.entries(started, started)
    memory = timings.memory if timings is not None else NO_MEMORY
    if log is not None and not len(memory):
        memory = np.stack([log.column("at") - started, log.column("rss_mb")], axis=1)
        memory = memory[memory[:, 1] > 0]
    times = [started, *([] if log is None else [log.last_at]), *([] if ended is None else [ended])]
    return AttemptFacts(
        rank=key[0],
        attempt=key[1],
        link=_link(log, worker, link),
        request_id="" if log is None else log.request_id,
        started=started,
        ended=ended,
        last_at=max(times),
        outcome=outcome,
        cause=cause,
        cold_start=_cold_start(log, timings, worker),
        entries=entries if stored is None else stored.entries,
        intervals=_intervals(timings, worker, None if ended is None else ended - started),
        memory=memory,
        complete=timings is not None and len(timings.round_s) > 0,
        exchange_s=0.0 if stored is None else stored.exchange_s,
        sent_bytes=_bytes(timings, log, "sent_bytes"),
        received_bytes=_bytes(timings, log, "received_bytes"),
        max_rss_mb=max([number_of(worker.get("max_rss_mb")) or 0.0, float(memory[:, 1].max(initial=0.0))]),
        cpu_s=number_of(worker.get("cpu_seconds")) or 0.0,
        rows=int(number_of(worker.get("rows")) or 0),
        phases=cold_start_of(worker.get("phases")) or {},
        zone=zone_of(worker.get("zone")) or (timings.zone if timings else "") or (log.zone if log else ""),
    )


def _started(
    facts: RunFacts, log: AttemptLog | None, timings: Timings | None, records: Iterable[dict[str, Any]]
) -> float | None:
    told = [*(number_of(record.get("started_at")) for record in records)]
    told = [timings.started_at if timings else None, *told, log.started_at if log else None]
    known = next((at for at in told if at is not None), None)
    if known is not None or log is None:
        return known
    # Of several attempts of one invocation, its first line belongs to the first.
    early = facts.early.get(log.request_id, log.first_at)
    return early if log.attempt == 1 else log.first_at


def _end(
    started: float,
    log: AttemptLog | None,
    worker: dict[str, Any],
    link: dict[str, Any],
    failed: dict[str, Any] | None,
) -> tuple[AttemptOutcome, float | None, str]:
    """Return how an attempt ended, when, and why."""
    outcome: AttemptOutcome = "running" if log is None else log.outcome
    ended, cause = (None, "") if log is None else (log.ended_at, log.cause)
    record = worker or link
    if record and outcome == "running":
        outcome = "finished" if worker else "handed_on"
    if ended is None and (seconds := number_of(record.get("seconds"))) is not None:
        ended = started + seconds
    if failed is not None:
        cause = cause or str(failed.get("cause", ""))[:LONGEST_CAUSE]
        ended = ended if ended is not None else number_of(failed.get("time"))
        outcome = "failed" if outcome == "running" else outcome
    return outcome, ended, " ".join(cause.split())


def _link(log: AttemptLog | None, worker: dict[str, Any], link: dict[str, Any]) -> int:
    told = [number_of(worker.get("link")), number_of(link.get("link")), log.link if log else None]
    return int(next((number for number in told if number), 1))


def _cold_start(log: AttemptLog | None, timings: Timings | None, worker: dict[str, Any]) -> dict[str, float] | None:
    own = timings.cold_start if timings is not None else None
    return own or cold_start_of(worker.get("cold_start")) or (log.cold_start if log is not None else None)


def _intervals(timings: Timings | None, worker: dict[str, Any], length: float | None) -> list[Interval]:
    """Return an attempt's phases; of an older version's they are drawn where they usually are.

    Args:
        timings: Its stored timings. They are stored as `store` begins.
        worker: Its record, which is written as `store` ends and `stay` begins.
        length: Seconds from its beginning to its end; None if unknown.
    """
    phases, recorded_at = cold_start_of(worker.get("phases")) or {}, number_of(worker.get("seconds"))
    if timings is not None and timings.intervals:
        found = [Interval(*one) for one in timings.intervals]
        if recorded_at is not None:
            found = [_with_end(one, recorded_at) if one.phase == "store" else one for one in found]
    else:
        found = [Interval("load", 0.0, phases["load"])] if "load" in phases else []
        if "store" in phases and recorded_at is not None:
            found.append(Interval("store", max(0.0, recorded_at - phases["store"]), recorded_at))
    if recorded_at is not None and length is not None and length > recorded_at:
        found.append(Interval("stay", recorded_at, length))
    return found


def _with_end(one: Interval, end: float) -> Interval:
    """Return a phase that ends at this time, but not before it began."""
    return Interval(one.phase, one.start, max(one.start, end), one.note)


def _bytes(timings: Timings | None, log: AttemptLog | None, name: str) -> int:
    if timings is not None and (stored := int(getattr(timings, name))):
        return stored
    return 0 if log is None else int(log.column(name).sum())


def _with_deaths(attempts: list[AttemptFacts], ends: list[PlatformEnd]) -> list[AttemptFacts]:
    """Let attempts have died of which the platform says so: the last of the invocation that had begun by then."""
    of_request: dict[str, list[int]] = {}
    for at, one in enumerate(attempts):
        if one.request_id:
            of_request.setdefault(one.request_id, []).append(at)
    for end in sorted(ends, key=lambda end: end.at):
        begun = [at for at in of_request.get(end.request_id, []) if attempts[at].started <= end.at]
        if not begun:
            continue
        last = max(begun, key=lambda at: attempts[at].started)
        one = attempts[last]
        if end.cause and one.outcome == "running":
            attempts[last] = replace(
                one, outcome="died", ended=end.at, last_at=max(one.last_at, end.at), cause=end.cause
            )
    return attempts


def _with_unknown_ends(attempts: list[AttemptFacts], *, over: bool) -> list[AttemptFacts]:
    """Let attempts have died of which nobody tells an end, though another began or the run is over."""
    last = len(attempts) - 1
    return [
        replace(one, outcome="died") if one.outcome == "running" and (over or at < last) else one
        for at, one in enumerate(attempts)
    ]
