"""Recovery under random schedules of faults, in virtual time: the same bits on every rank.

`HARNESS_SCHEDULES` sets how many; `make simulate` runs 10,000, and prints how many took each rule of recovery.
A schedule that fails is printed in its smallest form, a record that `replay` takes.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bounded_schedules import BOUNDED
from tests.support.directed_schedules import DIRECTED
from tests.support.replay import replayed
from tests.support.schedules import flat_schedules, healing_schedules, schedules
from tests.support.taken_rules import counting
from training.exchange.collectives import two_level

SCHEDULES = int(os.environ.get("HARNESS_SCHEDULES", "100"))
# So many take every rule but the rare ones.
ENOUGH_FOR_ALL_RULES = 1000
# What each try may do is bounded by margins of time, which chance may break; only the nightly run looks at them.
ENOUGH_FOR_TRIES = 10_000

counted = {"schedules": 0, "faults": 0, "went_back": 0}


@pytest.fixture(scope="module", autouse=True)
def taken(request):
    """Counts which rules of recovery the schedules take, and prints the table."""
    with counting() as taken:
        yield taken
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(
            "\n{schedules:,} schedules with {faults:,} faults; in {went_back} all ranks went back\n".format(**counted)
        )
        terminal.write_line(taken.table())


def replay(schedule):
    """Runs a schedule, checks the invariant, and counts it."""
    counted["schedules"] += 1
    counted["faults"] += len(schedule.faults)
    simulation = replayed(schedule, tries=SCHEDULES >= ENOUGH_FOR_TRIES)
    counted["went_back"] += any(event == "rolled_back" for _, event, _, _ in simulation.notes)


def run(examples, strategy):
    """Replays so many schedules."""
    quiet = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    quiet(given(strategy)(replay))()


def test_every_schedule_ends_with_the_undisturbed_bits():
    """Whatever is lost, delayed, doubled or dies, all ranks finish with the bits of the undisturbed run; none hangs."""
    run(SCHEDULES, flat_schedules())


@pytest.mark.parametrize("whole_up_to_bytes", [0, two_level.WHOLE_UP_TO_BYTES], ids=["slices", "whole"])
def test_so_does_every_schedule_of_two_levels(whole_up_to_bytes, monkeypatch):
    """The same of groups and leaders, whether leaders exchange sums whole or in slices."""
    monkeypatch.setattr(two_level, "WHOLE_UP_TO_BYTES", whole_up_to_bytes)
    run(SCHEDULES // 5, schedules(st.integers(4, 7), ["two_level"]))


def test_a_run_whose_faults_are_over_ends_within_a_bound():
    """Faults that last until they heal, all at one moment: from then on the run makes progress up to its end."""
    run(SCHEDULES // 5, healing_schedules())


@pytest.mark.parametrize("rule", DIRECTED)
def test_a_schedule_that_is_aimed_at_a_rule_takes_it(rule, taken):
    """So the rule is tested, whatever chance does."""
    before = taken[rule]
    for schedule in DIRECTED[rule]:
        replay(schedule)
    assert taken[rule] == before + len(DIRECTED[rule])


@pytest.mark.skipif(SCHEDULES < ENOUGH_FOR_ALL_RULES, reason="tested by test_bounded_schedules.py, and counted here")
def test_schedules_that_have_a_bound_end_with_the_undisturbed_bits():
    """They take rules that chance does not."""
    for bounded in BOUNDED:
        for schedule in bounded.runs():
            replay(schedule)


@pytest.mark.skipif(SCHEDULES < ENOUGH_FOR_ALL_RULES, reason="a hundred schedules do not take every rule")
def test_every_rule_of_recovery_was_taken(taken):
    """A rule that no schedule takes is not tested by any: it is dead, or a kind of fault is missing."""
    never = taken.never()
    assert [] == never
