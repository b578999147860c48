"""A figure beside its floor, which every benchmark yields and every table shows."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal


class BenchmarkError(Exception):
    """A benchmark could not run; the message says which part failed, and how."""


@dataclass(frozen=True)
class Goal:
    """The goal of a figure.

    Attributes:
        limit: The number.
        of: Whether the limit is for the ratio to the floor or for the figure itself.
        at_least: Whether it is a lower limit.
    """

    limit: float
    of: Literal["ratio", "value"] = "ratio"
    at_least: bool = False

    def __str__(self) -> str:
        mark = "x" if self.of == "ratio" else ""
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{mark}"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Samples of our code and of the floor, taken in turns in one run.

    Attributes:
        name: The figure's name, unique among all figures.
        unit: The unit of all samples.
        floor_name: A description of the floor.
        floor: The floor's samples.
        ours: Our samples; as many as the floor's if they were taken in pairs.
        goal: The goal; None if there is none.
        more_is_better: Whether it is a speed rather than a time or a size.
        note: An explanation beside the numbers.
        not_measured: Why there are no samples; empty if there are.
    """

    name: str
    unit: str = ""
    floor_name: str = ""
    floor: tuple[float, ...] = ()
    ours: tuple[float, ...] = ()
    goal: Goal | None = None
    more_is_better: bool = False
    note: str = ""
    not_measured: str = ""

    def __post_init__(self) -> None:
        if not self.not_measured and not (self.floor and self.ours):
            raise BenchmarkError(f"{self.name}: no samples of {'ours' if self.floor else 'the floor'}")

    @property
    def ratio(self) -> float:
        """Our figure over the floor: the median of the pairs' ratios, or without pairs the ratio of the medians."""
        if len(self.ours) == len(self.floor):
            return statistics.median(ours / floor for ours, floor in zip(self.ours, self.floor, strict=True))
        return statistics.median(self.ours) / statistics.median(self.floor)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal or samples."""
        if self.goal is None or self.not_measured:
            return None
        value = self.ratio if self.goal.of == "ratio" else statistics.median(self.ours)
        return value >= self.goal.limit if self.goal.at_least else value <= self.goal.limit


Topic = Callable[[], Iterator[Figure]]
