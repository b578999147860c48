"""What a fault cost: by how much the stretches of a run that it touched were longer than those that no fault touched.

    a rank's time    | round 8 | round 9 |  round 10         | round 11 | evaluate | round 12 |
    a fault                              ^ at ---- until ^
    touched                              |-------------------|----------|----------|----------|

A rank that dies or freezes after its put is missed in the next round only, so two more rounds count as touched.
A stretch is a round, an evaluation or a checkpoint, and is compared with the median of its own kind.
"""

import bisect
import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.faults.injections import Event
from harness.faults.text import parse_fault
from harness.insight.timings import Timings

ROUND = "round"
_KINDS = {"evaluate", "checkpoint"}
_MORE_ROUNDS = 2
# If fewer than this part of the rounds was untouched, those may be the slow ones at the start: rounds are then compared
# with what they take without waits, if that is less.
LEAST_UNDISTURBED = 0.5


class Stretch(NamedTuple):
    """A part of a rank's time.

    Attributes:
        kind: `round`, `evaluate` or `checkpoint`.
        start: When it began, seconds since the epoch.
        end: When it ended.
        wait_s: How long the rank waited for others in it, as far as it is a round.
    """

    kind: str
    start: float
    end: float
    wait_s: float = 0.0


class Window(NamedTuple):
    """The time in which a fault is in effect, seconds since the epoch."""

    at: float
    until: float


def costs(events: Sequence[Event], timings: Mapping[int, Sequence[Timings]], ended_at: float) -> list[float | None]:
    """Return what each fault cost, in seconds; faults that touched the same stretches share their cost.

    It is measured on the rank with the most rounds of those whose attempt survived the fault. If none did, it is the
    time from the injection to the end, less what the rounds and evaluations done since then usually take.

    Args:
        events: What happened to each fault.
        timings: The timings of each rank's attempts.
        ended_at: When the last result was stored, seconds since the epoch.

    Returns:
        The costs; None for a fault that was not injected, and for one that struck while ranks did not train.
    """
    windows = [window_of(event) for event in events]
    ranks = [_RankTime(attempts, [one for one in windows if one is not None]) for attempts in timings.values()]
    ranks = sorted((rank for rank in ranks if rank.stretches), key=lambda rank: len(rank.stretches), reverse=True)
    return [None if window is None or not ranks else _cost_s(window, ranks, ended_at) for window in windows]


def window_of(event: Event) -> Window | None:
    """Return when a fault was in effect; None if it was not injected, or concerns S3, which no round waits for."""
    if event.at is None or event.target == "s3":
        return None
    fault = parse_fault(event.fault)
    if fault.lasts_to_the_end:
        return Window(event.at, math.inf)
    lasts_s = fault.s or fault.down_s or (fault.ms or 0.0) / 1e3
    return Window(event.at, (event.last_at or event.at) + lasts_s)


def _cost_s(window: Window, ranks: Sequence["_RankTime"], ended_at: float) -> float | None:
    there = [rank for rank in ranks if rank.survived(window.at)]
    if there:
        touched = there[0].touched(window)
        typical = there[0].typical_s(ranks)
        extra_s = sum(one.end - one.start - typical[one.kind] for one in touched)
        return round(max(0.0, extra_s), 4) if touched else None
    later = [one for one in ranks[0].stretches if one.start >= window.at]
    typical = ranks[0].typical_s(ranks)
    usual_s = sum(typical[one.kind] for one in later)
    return round(max(0.0, ended_at - window.at - usual_s), 4) if later else None


class _RankTime:
    """The stretches of one rank.

    Args:
        attempts: The timings of its attempts.
        windows: When any fault was in effect.
    """

    def __init__(self, attempts: Sequence[Timings], windows: Sequence[Window]) -> None:
        each = [list(_stretches(one)) for one in attempts]
        self.stretches = sorted(itertools.chain(*each), key=lambda one: one.start)
        self._lives = [(one.started_at or 0.0, own[-1].end) for one, own in zip(attempts, each, strict=True) if own]
        # A round that was done again holds evaluations of the first try.
        self._ends = list(itertools.accumulate((one.end for one in self.stretches), max))
        disturbed = {one for window in windows for one in self.touched(window)}
        self._undisturbed = [one for one in self.stretches if one not in disturbed]

    def survived(self, at: float) -> bool:
        """Return whether an attempt of it was running then, and told its timings at its end."""
        return any(started <= at <= ended for started, ended in self._lives)

    def touched(self, window: Window) -> list[Stretch]:
        """Return the stretches that a fault touched; none if this rank had not begun its first one."""
        first = bisect.bisect_left(self._ends, window.at)
        if not self.stretches or self.stretches[0].start > window.at:
            return []
        touched, rounds_left = [], _MORE_ROUNDS
        for one in itertools.islice(self.stretches, first, None):
            if one.end < window.at:
                continue
            if one.start > window.until:
                if not rounds_left:
                    break
                rounds_left -= one.kind == ROUND
            touched.append(one)
        return touched

    def typical_s(self, ranks: Sequence["_RankTime"]) -> dict[str, float]:
        """Return the usual length of each kind of stretch."""
        typical = {}
        for kind in {one.kind for one in self.stretches}:
            lengths = [one.end - one.start for one in self._undisturbed if one.kind == kind]
            typical[kind] = statistics.median(lengths) if lengths else math.inf
            if len(lengths) < LEAST_UNDISTURBED * sum(one.kind == kind for one in self.stretches):
                typical[kind] = min(typical[kind], *(rank.without_waits_s(kind) for rank in ranks))
        return typical

    def without_waits_s(self, kind: str) -> float:
        """Return what this rank usually takes for a stretch when it waits for nobody; infinite if it has none."""
        lengths = [one.end - one.start - one.wait_s for one in self.stretches if one.kind == kind]
        return statistics.median(lengths) if lengths else math.inf


def _stretches(one: Timings) -> Iterator[Stretch]:
    """Yield the stretches of an attempt in the order of their start."""
    if one.started_at is None or one.starts_s is None:
        return
    waits = one.wait_s if one.wait_s is not None else np.zeros(len(one.round_s))
    merged = one.rounds_per_entry
    rounds = zip(one.starts_s.tolist(), (merged * one.round_s).tolist(), (merged * waits).tolist(), strict=True)
    found = [Stretch(ROUND, start, start + seconds, wait_s) for start, seconds, wait_s in rounds if seconds > 0]
    found += [Stretch(kind, start, end) for kind, start, end in one.intervals if kind in _KINDS]
    for kind, start, end, wait_s in sorted(found, key=lambda stretch: stretch.start):
        yield Stretch(kind, one.started_at + start, one.started_at + end, wait_s)
