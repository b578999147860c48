"""The mutation run: every rule of recovery is removed once, and the oracle must notice on schedules that take it."""

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.support.bounded_schedules import BOUNDED, CostsMore
from tests.support.removing import COSTS, GROWS, Mutant
from tests.support.replay import replayed
from tests.support.taken_rules import counting


class Noticed(NamedTuple):
    """What came of a mutant.

    Attributes:
        mutant: The mutant.
        schedules: How many schedules it ran.
        noticed: Whether anything gave it away.
        by: What gave it away, or how its costs have grown.
    """

    mutant: Mutant
    schedules: int
    noticed: bool
    by: str

    def __str__(self):
        return f"{self.mutant.rule:59}  {self.schedules:9}  {self._verdict()}"

    def _verdict(self):
        return self.by if self.noticed else f"SURVIVES  {self.by}"


def drawn(strategy, number):
    """Returns so many schedules, always the same ones."""
    schedules: list[Any] = []
    quiet = settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    @seed(1)
    @quiet
    @given(strategy)
    def draw(schedule):
        schedules.append(schedule)

    draw()
    return schedules


def schedules_by_rule(schedules):
    """Returns the schedules that take each rule with their undisturbed costs."""
    by_rule: dict[str, list[Any]] = {}
    with counting() as taken:
        for schedule in schedules:
            before = dict(taken)
            case = with_costs(schedule)
            for rule in taken:
                if taken[rule] > before[rule]:
                    by_rule.setdefault(rule, []).append(case)
    return by_rule


def with_costs(schedule):
    """Returns a schedule with its undisturbed costs."""
    simulation = replayed(schedule)
    return schedule, {name: cost(simulation) for name, cost in COSTS.items()}


def notice_bounded(mutant, bounded_schedules=BOUNDED):
    """Runs a mutant on its rule's schedules that have a bound; None if it keeps within all."""
    number = 0
    with pytest.MonkeyPatch.context() as patch:
        mutant.remove(patch)
        for bounded in bounded_schedules:
            for schedule in bounded.runs() if bounded.rule == mutant.rule else ():
                number += 1
                try:
                    bounded.run(schedule)
                except Exception as error:  # noqa: BLE001 - whatever goes wrong gives it away
                    return Noticed(mutant, number, noticed=True, by=_in_a_line(error))
    return None


def notice(mutant, directed, cases):
    """Runs a mutant on the schedules that are aimed at its rule, and, if they show nothing, on others that take it."""
    if bounded := notice_bounded(mutant):
        return bounded
    outcome = notice_aimed(mutant, directed)
    return outcome if outcome.noticed else notice_aimed(mutant, cases)


def notice_aimed(mutant, cases):
    """Runs a mutant until a schedule gives it away, or the sum of its costs."""
    grown = usual = 0.0
    with pytest.MonkeyPatch.context() as patch:
        mutant.remove(patch)
        for number, (schedule, costs) in enumerate(cases, 1):
            try:
                simulation = replayed(schedule)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong gives it away
                return Noticed(mutant, number, noticed=True, by=_in_a_line(error))
            if mutant.cost:
                usual += costs[mutant.cost]
                grown += COSTS[mutant.cost](simulation)
    costs = f"{mutant.cost}: {grown:,.1f} instead of {usual:,.1f}" if mutant.cost else ""
    return Noticed(mutant, len(cases), grown > GROWS * usual, costs)


def _in_a_line(error):
    if isinstance(error, CostsMore):
        text = str(error)
    else:
        text = "other bits" if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
    return text.splitlines()[0][:80]
