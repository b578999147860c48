"""What follows from an attempt's stored timings, which do not change: computed once for all views of a run."""

from typing import NamedTuple

import numpy as np

from harness.insight.entries import Entries, entries_of_timings
from harness.insight.timings import Timings

# Times are stored in whole microseconds.
ROUNDING_S = 2e-6
# At least this part of the rounds must find their all-reduce.
MATCHED = 0.95


class StoredRounds(NamedTuple):
    """What follows from stored timings, which do not change.

    Attributes:
        entries: The rounds, in seconds after the handler began.
        exchange_s: How long their exchanges took, waits excluded.
    """

    entries: Entries
    exchange_s: float


def stored_rounds(timings: Timings) -> StoredRounds:
    """Return what follows from stored timings."""
    entries = entries_of_timings(timings, 0.0)
    if not len(entries.start) or not len(timings.all_reduce_s):
        return StoredRounds(entries, 0.0)
    return StoredRounds(entries, _exchange_s(timings, entries))


def _exchange_s(timings: Timings, entries: Entries) -> float:
    """Return how long the exchanges of an attempt's rounds took, waits excluded.

    All-reduces are listed in their order, those of evaluations among them. A round's own one took no longer than the
    round and no less than its wait, so each round takes the next that fits. Where that fails (rounds were merged, or
    have several all-reduces), the medians of all-reduces and waits stand for all rounds.
    """
    if timings.rounds_per_entry == 1 and timings.wait_s is not None:
        rounds = iter(zip(timings.round_s.tolist(), timings.wait_s.tolist(), strict=True))
        longest, least = next(rounds)
        found = matched = 0.0
        for seconds in timings.all_reduce_s.tolist():
            if least - ROUNDING_S <= seconds <= longest + ROUNDING_S:
                found, matched = found + max(0.0, seconds - least), matched + 1
                longest, least = next(rounds, (-1.0, 0.0))
        if matched >= MATCHED * len(timings.round_s):
            return found
    usual_s = float(np.median(timings.all_reduce_s)) - float(np.median(entries.wait_s / entries.rounds))
    return max(0.0, usual_s) * int(entries.rounds.sum())
