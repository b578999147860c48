"""Who waited for whom, round by round: the rounds of all ranks side by side, and the rank each wait goes back to."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.insight.entries import Entries
from harness.insight.timings import Floats, Whole
from harness.insight.view import NOBODY

# A rank that itself waited for at least this part of the round's longest wait was held up by another one.
PASSED_ON = 0.5
# A wait between rounds counts from so many seconds, and from the time of a usual round: all else is noise.
LEAST_BETWEEN_S = 0.02
# Beyond that many rounds of all ranks together, their arrays would take gigabytes.
MOST_CELLS = 64 << 20


class RoundWaits(NamedTuple):
    """The rounds of all ranks side by side; what is unknown is 0, and `NOBODY` in `waited_for`.

    Attributes:
        ranks: The ranks that the rows stand for, ascending, int64 [rows].
        first_round: The first round of the first column.
        rounds_per_column: How many rounds a column has.
        round_s: Seconds of each column, float64 [rows, columns].
        wait_s: Seconds of each in which the rank waited for others, float64 [rows, columns].
        waited_for: The row of the rank that it waited for longest, int64 [rows, columns].
        between_s: Seconds of `wait_s` behind the round, before the next one, float64 [rows, columns].
    """

    ranks: Whole
    first_round: int
    rounds_per_column: int
    round_s: Floats
    wait_s: Floats
    waited_for: Whole
    between_s: Floats

    @property
    def seconds(self) -> float:
        """The time in rounds: that of the rank with the longest."""
        return float(self.round_s.sum(axis=1).max(initial=0.0))


class Blame(NamedTuple):
    """Whom each round waited for.

    Attributes:
        row: The row of the rank that the round's longest wait goes back to, int64 [columns]; `NOBODY` without a wait.
        seconds: How long the round waited for it, less what it waited itself, float64 [columns].
        by_rows: Seconds that one rank waited for another, all rounds together, float64 [who waited, for whom].
    """

    row: Whole
    seconds: Floats
    by_rows: Floats

    @property
    def of_row(self) -> Floats:
        """Return for each rank the seconds that any one other waited for it at most, float64 [rows]."""
        longest: Floats = self.by_rows.max(axis=0, initial=0.0)
        return longest


def side_by_side(rounds: Mapping[int, Sequence[Entries]]) -> RoundWaits | None:
    """Lay the rounds of a run's ranks side by side, by their numbers.

    Attempts and links of a rank follow each other; where two have the same round, the later one counts.
    Where an entry stands for several rounds, a column does, too.

    Args:
        rounds: The rounds of each rank's attempts, the oldest first.

    Returns:
        The rounds; None if no attempt tells how long it waited, or there are too many rounds to compare.
    """
    pieces = [
        (rank, one) for rank, attempts in rounds.items() for one in attempts if len(one.start) and one.tells_waits
    ]
    if not pieces:
        return None
    named = {int(peer) for _, one in pieces for peer in np.unique(one.waited_for)} - {NOBODY}
    ranks = np.array(sorted({rank for rank, _ in pieces} | named))  # one that stored nothing was waited for, too
    first = min(int(one.first_round[0]) for _, one in pieces)
    per_column = max(int(one.rounds.max()) for _, one in pieces)
    columns = [(one.first_round + one.rounds // 2 - first) // per_column for _, one in pieces]
    shape = (len(ranks), max(int(column.max()) for column in columns) + 1)
    if shape[0] * shape[1] > MOST_CELLS:
        return None
    nobody = np.full(shape, NOBODY, np.int64)
    found = RoundWaits(ranks, first, per_column, np.zeros(shape), np.zeros(shape), nobody, np.zeros(shape))
    gaps = np.full(shape, np.nan)
    for (rank, one), column in zip(pieces, columns, strict=True):
        row = int(np.searchsorted(ranks, rank))
        peers = np.where(one.waited_for == NOBODY, NOBODY, np.searchsorted(ranks, one.waited_for))
        if per_column == 1:
            found.round_s[row, column], found.wait_s[row, column] = one.busy_s, one.wait_s
            found.waited_for[row, column] = peers
            between = one.start[1:] - one.end[:-1]
            if one.stored_s is not None:  # who stores a checkpoint waits for nobody
                between = between - one.stored_s[:-1]
            gaps[row, column[:-1]] = np.where(np.diff(column) == 1, between, np.nan)
        else:
            np.add.at(found.round_s[row], column, one.busy_s)
            np.add.at(found.wait_s[row], column, one.wait_s)
            order = np.argsort(one.wait_s, kind="stable")  # of several in a column, the longest is written last
            found.waited_for[row, column[order]] = peers[order]
    if all(one.tells_times for _, one in pieces):
        _add_waits_between_rounds(found, gaps)
    return found


def _add_waits_between_rounds(waits: RoundWaits, gaps: Floats) -> None:
    """Add the waits behind rounds, which no rank measures.

    A rank that stored its frame of an epoch's last round, and was late then, is waited for in the evaluation. Of all
    ranks it has the shortest time between the rounds; by so much as the others have more, they waited.

    Args:
        waits: The rounds; changed in place.
        gaps: Seconds from the end of each round to the start of the next, float64 [rows, columns]; nan if unknown.
    """
    columns = np.flatnonzero(np.isfinite(gaps).sum(axis=0) > 1)
    if not len(columns):
        return
    known = gaps[:, columns]
    late = np.nanargmin(known, axis=0)
    more_s = np.nan_to_num(known - known[late, np.arange(len(columns))])
    usual_s = float(np.median(waits.round_s[waits.round_s > 0]))
    more_s[more_s < max(LEAST_BETWEEN_S, usual_s)] = 0.0
    waits.waited_for[:, columns] = np.where(more_s > waits.wait_s[:, columns], late, waits.waited_for[:, columns])
    waits.wait_s[:, columns] += more_s
    waits.round_s[:, columns] += more_s
    waits.between_s[:, columns] = more_s


def blame(waits: RoundWaits) -> Blame:
    """Follow each round's longest wait from rank to rank, to the one that nobody held up.

    A rank that itself waited for at least half of that time passed the delay on, so the walk goes on to the rank that
    it waited for. It ends at a rank that waited for less, or when it comes to a rank again, as it may in a round of
    several steps. The rank on the way that waited least is blamed, which in the first case is the last one.

    Ranks may be a round apart, so the longest waits of two rounds may overlap. What is added up over rounds is
    therefore the waits of one rank, never those of several.
    """
    columns = np.arange(waits.wait_s.shape[1])
    start = waits.wait_s.argmax(axis=0)
    longest = waits.wait_s[start, columns]
    here = np.where(longest > 0, waits.waited_for[start, columns], NOBODY)
    blamed = here.copy()
    seen = np.zeros(waits.wait_s.shape, bool)
    seen[start, columns] = True
    walking = columns[here != NOBODY]
    while len(walking):
        rows = here[walking]
        own_s = waits.wait_s[rows, walking]
        less = own_s < waits.wait_s[blamed[walking], walking]
        blamed[walking[less]] = rows[less]
        onward = waits.waited_for[rows, walking]
        goes_on = (own_s >= PASSED_ON * longest[walking]) & ~seen[rows, walking] & (onward != NOBODY)
        seen[rows, walking] = True
        here[walking] = onward
        walking = walking[goes_on]
    known = blamed != NOBODY
    own_s = waits.wait_s[blamed, columns]
    by_rows = np.zeros((len(waits.ranks), len(waits.ranks)))
    for row, wait_s in enumerate(waits.wait_s):
        more_s = np.maximum(0.0, wait_s - own_s)[known]
        by_rows[row] = np.bincount(blamed[known], more_s, minlength=len(waits.ranks))
    return Blame(blamed, np.where(known, longest - own_s, 0.0), by_rows)
