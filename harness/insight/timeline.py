"""A run's attempts on one time axis: where it begins and ends, whose clock runs ahead, and who waited for whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.insight.attempts import AttemptFacts
from harness.insight.entries import Entries
from harness.insight.facts import RunFacts
from harness.insight.straggler import straggler_of
from harness.insight.timings import Floats, Whole, number_of
from harness.insight.view import NOBODY, Straggler
from harness.insight.waits import Blame, RoundWaits, blame, side_by_side

# Clocks are compared at so many rounds. One that differs by less than this, or than a few rounds take, is right.
COMPARED_ROUNDS = 200
# A rank that did at least this part of the rounds was there all the time.
PRESENT = 0.9
LEAST_SKEW_S = 0.1
SKEW_PER_ROUND = 3.0


@dataclass(frozen=True)
class ComparedRounds:
    """The rounds of all ranks, compared: who waited for whom.

    Attributes:
        waits: The rounds of all ranks side by side.
        blame: Whom each round waited for.
        observer: The rank that waited longest of those that were there from the beginning to the end.
        waited_for: Seconds that it waited, by the rank that the waits go back to.
        between_s: Seconds of its waits that lie between rounds.
        straggler: The rank that stands out; None if none does.
    """

    waits: RoundWaits
    blame: Blame
    observer: int
    waited_for: dict[int, float]
    between_s: float
    straggler: Straggler | None


@dataclass(frozen=True)
class Timeline:
    """A run's attempts.

    Attributes:
        zero: When the coordinator was invoked, seconds since the epoch.
        seconds: From then to the last result, or to now.
        attempts: The attempts of each rank, the oldest first.
        waited: Who waited for whom; None if no record tells.
        skews: Seconds by which the clock of an attempt was ahead, by rank; `attempts` are moved already.
    """

    zero: float
    seconds: float
    attempts: dict[int, list[AttemptFacts]]
    waited: ComparedRounds | None
    skews: dict[int, float]


def zero_of(facts: RunFacts, attempts: Mapping[int, Sequence[AttemptFacts]], now: float | None) -> float:
    """Return when the coordinator was invoked, seconds since the epoch; else the first that is known of the run."""
    if (told := number_of(facts.documents.get("run.json", {}).get("started_at"))) is not None:
        return told
    request_id = facts.documents.get("job.json", {}).get("request_id")
    own = [record for record in facts.invocations.values() if record.get("request_id") == request_id]
    queued = [at for record in own if (at := number_of(record.get("queued_at"))) is not None]
    printed = facts.first_lines.get(request_id) if isinstance(request_id, str) else None
    known = [*queued, *([] if printed is None else [printed])]
    if known:
        return min(known)
    others = [one.started for each in attempts.values() for one in each]
    others += [at for own_id, at in facts.first_lines.items() if own_id in facts.requests]
    others += [at for record in facts.invocations.values() if (at := number_of(record.get("queued_at"))) is not None]
    return min(others, default=now or 0.0)


def seconds_of(
    facts: RunFacts, attempts: Mapping[int, Sequence[AttemptFacts]], zero: float, now: float | None
) -> float:
    """Return a run's seconds: as its summary or its record tells, else to `now`, else to what was last heard of."""
    summary = facts.summary or {}
    total = summary.get("seconds")
    told = number_of(total.get("total")) if isinstance(total, dict) else None
    if told is None and (kept := facts.documents.get("run.json")) is not None and kept.get("status") != "running":
        told = number_of(kept.get("seconds")) or None
    if told is not None:
        return told
    if now is not None:
        return max(0.0, now - zero)
    heard = [one.last_at for each in attempts.values() for one in each]
    heard += [line.at for line in facts.ends]
    return max(0.0, max(heard, default=zero) - zero)


def compare_clocks(attempts: dict[int, list[AttemptFacts]]) -> dict[int, float]:
    """Return by how many seconds the clocks of ranks are ahead, where they differ.

    Ranks that exchange end a round together, within what the round takes; so a lasting difference is their clocks'.
    """
    pieces = {
        rank: (one.entries, one.started)
        for rank, each in attempts.items()
        for one in each[-1:]
        if one.complete and one.entries.tells_times and len(one.entries.start) > 1
    }
    if len(pieces) < 2:
        return {}
    first = max(int(entries.first_round[0]) for entries, _ in pieces.values())
    last = min(int(entries.first_round[-1]) for entries, _ in pieces.values())
    if last < first:
        return {}
    rounds = np.unique(np.linspace(first, last, COMPARED_ROUNDS).astype(np.int64))
    ends = np.array([_ends_at(entries, rounds) + started for entries, started in pieces.values()])
    common = np.median(ends, axis=0) if len(pieces) > 2 else ends[0]
    ahead = np.median(ends - common, axis=1)
    usual_s = float(np.median(np.concatenate([entries.busy_s for entries, _ in pieces.values()])))
    least = max(LEAST_SKEW_S, SKEW_PER_ROUND * usual_s)
    return {rank: float(by) for rank, by in zip(pieces, ahead, strict=True) if abs(by) > least}


def _ends_at(entries: Entries, rounds: Whole) -> Floats:
    at = np.clip(np.searchsorted(entries.first_round, rounds, side="right") - 1, 0, len(entries.end) - 1)
    return entries.end[at]


def moved(attempts: dict[int, list[AttemptFacts]], skews: Mapping[int, float]) -> dict[int, list[AttemptFacts]]:
    """Return the attempts with the times of ranks moved whose clocks were ahead."""
    return {
        rank: [
            replace(
                one,
                started=one.started - skews[rank],
                ended=None if one.ended is None else one.ended - skews[rank],
                last_at=one.last_at - skews[rank],
            )
            for one in each
        ]
        if rank in skews
        else each
        for rank, each in attempts.items()
    }


def who_waited(attempts: Mapping[int, Sequence[AttemptFacts]]) -> ComparedRounds | None:
    """Return who waited for whom, by the attempts whose timings are stored; while there are none, by their logs."""
    stored = any(one.complete for each in attempts.values() for one in each)
    rounds = {rank: [one.entries for one in each if one.complete or not stored] for rank, each in attempts.items()}
    waits = side_by_side(rounds)
    if waits is None:
        return None
    found = blame(waits)
    covered = (waits.round_s > 0).sum(axis=1)
    total_s = np.where(covered >= PRESENT * covered.max(), waits.wait_s.sum(axis=1), -1.0)
    row = int(total_s.argmax())
    known = found.row != NOBODY
    by_row = np.bincount(found.row[known], waits.wait_s[row, known], minlength=len(waits.ranks))
    return ComparedRounds(
        waits,
        found,
        observer=int(waits.ranks[row]),
        waited_for={int(rank): float(by) for rank, by in zip(waits.ranks, by_row, strict=True) if by > 0},
        between_s=float(waits.between_s[row].sum()),
        straggler=straggler_of(waits, found),
    )
