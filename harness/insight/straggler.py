"""The straggler: the rank that the others waited for longest, if one stands out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.insight.entries import entries_of_timings
from harness.insight.timings import read_timings
from harness.insight.view import Straggler
from harness.insight.waits import Blame, RoundWaits, blame, side_by_side

# A straggler costs at least this share of the time in rounds, and at least so many seconds;
LEAST_SHARE = 0.1
LEAST_S = 0.02
# and at least this many times as much as any other rank, so always more than its fair part.
TIMES_THE_NEXT = 1.5
# A round belongs to those in which it was waited for if the wait was at least this part of the longest one.
WORTH_NAMING = 0.1


def find_straggler(timings: Mapping[int, Sequence[Mapping[str, Any]]]) -> Straggler | None:
    """Name the rank that a run's other ranks waited for longest.

    In each round the longest wait goes back to one rank, see `harness.insight.waits.blame`. A rank is the straggler if
    some other waited for it during at least a tenth of the time in rounds, and half as long again as any rank
    waited for any other.

    Args:
        timings: The timings of each rank's attempts, `telemetry/<rank>.<attempt>.json`, the oldest first.

    Returns:
        The straggler; None if nobody stands out, or the records do not tell who waited for whom.
    """
    rounds = {
        rank: [entries_of_timings(read_timings(one), 0.0) for one in attempts] for rank, attempts in timings.items()
    }
    waits = side_by_side(rounds)
    return None if waits is None else straggler_of(waits, blame(waits))


def straggler_of(waits: RoundWaits, found: Blame) -> Straggler | None:
    """Name the straggler; see `find_straggler`."""
    by_row = found.of_row
    if waits.seconds <= 0 or len(by_row) < 2:
        return None
    row = int(by_row.argmax())
    waited_s, next_s = float(by_row[row]), float(np.delete(by_row, row).max())
    share = min(1.0, waited_s / waits.seconds)
    if waited_s < LEAST_S or share < LEAST_SHARE or waited_s < TIMES_THE_NEXT * next_s:
        return None
    own = np.where(found.row == row, found.seconds, 0.0)
    columns, per_column = np.flatnonzero(own >= WORTH_NAMING * own.max()), waits.rounds_per_column
    rank, rounds = int(waits.ranks[row]), len(columns) * per_column
    first = waits.first_round + int(columns[0]) * per_column
    last = waits.first_round + int(columns[-1]) * per_column + per_column - 1
    where = f"in round {first}" if first == last else f"in rounds {first} to {last}"
    return Straggler(
        rank=rank,
        waited_s=waited_s,
        share=share,
        rounds=rounds,
        first_round=first,
        last_round=last,
        text=f"rank {rank} was waited for {waited_s:.2f} s: {share:.0%} of the rounds' time, {where}",
    )
