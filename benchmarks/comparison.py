"""Compare two revisions' figures: join the samples of all passes, and take the ratio of the medians."""

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
        ours: Median of our samples.
        floor_ratio: Our floor divided by the base's; its deviation from 1 is caused by the machine.
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
        """Our median divided by the base's."""
        return self.ours / self.base

    @property
    def improvement(self) -> float:
        """The factor by which our figure is better, in the figure's own direction."""
        return self.ratio if self.more_is_better else 1 / self.ratio


def compare(base: list[Figure], ours: list[Figure]) -> list[Comparison]:
    """Pair figures of the same name, in our order; leave out figures that only one revision has.

    Args:
        base: The base's figures, with one entry per pass.
        ours: This tree's figures, likewise.
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
