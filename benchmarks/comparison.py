"""Two revisions' figures: samples of all passes together, and the ratio of their medians."""

import statistics
from dataclasses import dataclass

from benchmarks.figure import Figure


@dataclass(frozen=True)
class Comparison:
    """One figure of two revisions.

    Attributes:
        name: The figure.
        unit: Its unit.
        base: Median of the base's samples.
        ours: Median of ours.
        floor_ratio: Our floor over the base's: what it is off 1 by is the machine's doing.
        more_is_better: Whether the figure is a speed.
    """

    name: str
    unit: str
    base: float
    ours: float
    floor_ratio: float
    more_is_better: bool

    @property
    def ratio(self) -> float:
        """Ours over the base's."""
        return self.ours / self.base

    @property
    def improvement(self) -> float:
        """How many times as good ours is, whichever way is better."""
        return self.ratio if self.more_is_better else 1 / self.ratio


def compare(base: list[Figure], ours: list[Figure]) -> list[Comparison]:
    """Puts figures of the same name beside each other, in our order; what only one of them has is left out.

    Args:
        base: The base's figures, the same one once per pass.
        ours: This tree's.
    """
    found = []
    for name in dict.fromkeys(figure.name for figure in ours):
        before, now = ([one for one in side if one.name == name and not one.not_measured] for side in (base, ours))
        if before and now:
            floor_ratio = _median_floor(now) / _median_floor(before)
            first = now[0]
            medians = (_median(before), _median(now))
            found.append(Comparison(name, first.unit, *medians, floor_ratio, first.more_is_better))
    return found


def _median(figures: list[Figure]) -> float:
    return statistics.median(sample for figure in figures for sample in figure.ours)


def _median_floor(figures: list[Figure]) -> float:
    return statistics.median(sample for figure in figures for sample in figure.floor)
