"""Schedules that lead to one rule each: they end well with it, whatever the latencies are, and not without it."""

import pytest

from tests.support import mutants  # noqa: F401 - registers them
from tests.support.bounded_schedules import BOUNDED
from tests.support.mutation import notice_bounded
from tests.support.removing import MUTANTS
from tests.support.taken_rules import counting

bounded_schedules = pytest.mark.parametrize("bounded", BOUNDED, ids=lambda bounded: bounded.rule)


@bounded_schedules
def test_a_schedule_takes_its_rule_and_costs_no_more_than_its_bound(bounded):
    """With the bits of the undisturbed run, for every seed."""
    with counting() as taken:
        for schedule in bounded.runs():
            bounded.run(schedule)

    assert taken[bounded.rule] > 0


@bounded_schedules
def test_without_the_rule_it_fails_or_costs_more(bounded):
    """A rule that could be lost without a failing test is not tested."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.rule == bounded.rule)

    assert notice_bounded(mutant, [bounded]) is not None
