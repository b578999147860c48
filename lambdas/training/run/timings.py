"""When a worker's rounds began, how long they took, and whom it waited for: in arrays whose size is limited.

    up to MOST_ENTRIES rounds      an entry is a round
    beyond                         neighbours are merged: an entry is 2, 4, 8, ... rounds, their times averaged

A rank that continues from another's state may skip rounds or do some again. A skipped round gets an entry of no time.
A round that is done again counts from its first start, so that the time of the first try is not lost.
"""

from array import array

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.exchange.waits import NOBODY, RoundWait

# A record of so many rounds has about 8 MB, and takes 25 MB of memory while it is written; a power of two.
MOST_ENTRIES = 1 << 18
# Short ones make room for longer ones.
MOST_INTERVALS = 1 << 14


class RoundTimings:
    """The rounds of one attempt.

    Args:
        most_entries: The limit, a power of two.

    Attributes:
        first_round: The number of the first round; 0 before it is done.
        rounds_per_entry: How many rounds an entry stands for.
        compute_s: The time of all rounds, without waits.
        wait_s: The time in which this rank waited for others.
    """

    def __init__(self, most_entries: int = MOST_ENTRIES) -> None:
        self._most_entries = most_entries
        self.first_round, self.rounds_per_entry = 0, 1
        self.compute_s = self.wait_s = 0.0
        self._count = 0
        self._at_ms, self._ms, self._wait_ms = array("d"), array("d"), array("d")
        self._waited_for = array("i")
        self._longest_wait_ms = 0.0

    def add(self, number: int, at_ms: float, seconds: float, waited: RoundWait) -> None:
        """Add a round that is done.

        Args:
            number: The round.
            at_ms: When it began.
            seconds: How long it took.
            waited: Its waits for other ranks.
        """
        self.compute_s += seconds - waited.seconds
        self.wait_s += waited.seconds
        ms, wait_ms = 1e3 * seconds, 1e3 * waited.seconds
        if number != self.first_round + self._count and self.rounds_per_entry == 1:
            ms, at_ms = self._jump(number, at_ms, ms)
        if self._count % self.rounds_per_entry == 0:
            self._append(at_ms, ms, wait_ms, waited.rank)
        else:
            self._ms[-1] += ms
            self._wait_ms[-1] += wait_ms
            if wait_ms > self._longest_wait_ms:
                self._longest_wait_ms, self._waited_for[-1] = wait_ms, waited.rank
        self._count += 1

    def round_ms(self) -> list[float]:
        """Return the time of each round that was done; of merged rounds, their mean."""
        return [ms for ms in self._means(self._ms).tolist() if ms > 0]

    def record(self) -> dict[str, object]:
        """Return all entries, ready to be written as JSON."""
        return {
            "first_round": self.first_round,
            "rounds_per_entry": self.rounds_per_entry,
            "rounds": self._count,
            "round_at_ms": encoded(self._at_ms),
            "round_ms": encoded(self._means(self._ms)),
            "wait_ms": encoded(self._means(self._wait_ms)),
            "waited_for": self._waited_for.tolist(),
        }

    def _jump(self, number: int, at_ms: float, ms: float) -> tuple[float, float]:
        """Make a round the next one; return its time and when it began."""
        if not self._count:
            self.first_round = number
            return ms, at_ms
        kept = number - self.first_round
        if kept < self._count:
            kept, self.first_round = max(0, kept), min(number, self.first_round)
            first_at_ms = self._at_ms[kept]
            for column in (self._at_ms, self._ms, self._wait_ms, self._waited_for):
                del column[kept:]
            self._count = kept
            return ms + at_ms - first_at_ms, first_at_ms
        while self._count < kept and len(self._ms) < self._most_entries:
            self._append(at_ms, 0.0, 0.0, NOBODY)
            self._count += 1
        return ms, at_ms

    def _append(self, at_ms: float, ms: float, wait_ms: float, rank: int) -> None:
        if len(self._ms) == self._most_entries:
            self._merge()
        self._at_ms.append(at_ms)
        self._ms.append(ms)
        self._wait_ms.append(wait_ms)
        self._waited_for.append(rank)
        self._longest_wait_ms = wait_ms

    def _merge(self) -> None:
        """Make one entry of each two."""
        ms, waits = np.array(self._ms), np.array(self._wait_ms)
        ranks = np.array(self._waited_for).reshape(-1, 2)
        longer = waits.reshape(-1, 2).argmax(axis=1)
        self._at_ms = self._at_ms[::2]
        self._ms, self._wait_ms = (
            array("d", ms.reshape(-1, 2).sum(axis=1)),
            array("d", waits.reshape(-1, 2).sum(axis=1)),
        )
        self._waited_for = array("i", ranks[np.arange(len(ranks)), longer])
        self.rounds_per_entry *= 2

    def _means(self, sums: "array[float]") -> NDArray[np.float64]:
        means = np.array(sums) / self.rounds_per_entry
        if len(means) and self._count % self.rounds_per_entry:
            means[-1] *= self.rounds_per_entry / (self._count % self.rounds_per_entry)
        return means


class Intervals:
    """Phases of an attempt other than its rounds: name, start and end, ms.

    Args:
        most: The limit: beyond it, the shorter half is left out.

    Attributes:
        left_out: How many are left out.
    """

    def __init__(self, most: int = MOST_INTERVALS) -> None:
        self._most = most
        self._all: list[tuple[str, float, float]] = []
        self.left_out = 0

    def add(self, phase: str, start_ms: float, end_ms: float) -> None:
        """Add one."""
        if len(self._all) >= self._most:
            longest = sorted(self._all, key=lambda one: one[1] - one[2])[: self._most // 2]
            self.left_out += len(self._all) - len(longest)
            self._all = longest
        self._all.append((phase, round(start_ms, 3), round(end_ms, 3)))

    def record(self) -> list[tuple[str, float, float]]:
        """Return them in the order of their start."""
        return sorted(self._all, key=lambda one: one[1])


def encoded(ms: "array[float] | NDArray[np.float64]") -> msgspec.Raw:
    """Return milliseconds as a JSON list, rounded to microseconds."""
    return msgspec.Raw(msgspec.json.encode(np.round(np.asarray(ms, np.float64), 3).tolist()))
