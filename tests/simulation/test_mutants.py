"""Recovery with one rule removed, rule by rule: schedules must notice. `make mutate` prints the table."""

import os

import pytest

from tests.support import lease_mutants, mutants
from tests.support.directed_schedules import DIRECTED
from tests.support.mutation import drawn, notice, notice_aimed, schedules_by_rule, with_costs
from tests.support.removing import MUTANTS
from tests.support.schedules import flat_schedules
from tests.support.taken_rules import RULES

SCHEDULES = int(os.environ.get("HARNESS_SCHEDULES", "1000"))
# On so many schedules that take a rule.
MOST_PER_MUTANT = 40

EQUIVALENT = mutants.EQUIVALENT | lease_mutants.LEASE_EQUIVALENT


def test_every_rule_has_a_mutant():
    """A new rule needs one, or the reason why nobody could notice its absence."""
    removed = {mutant.rule for mutant in MUTANTS}
    assert set(RULES) == removed | EQUIVALENT.keys()
    assert not removed & EQUIVALENT.keys()
    assert removed >= DIRECTED.keys()


@pytest.mark.parametrize("rule", DIRECTED)
def test_schedules_aimed_at_a_rule_notice_its_removal(rule):
    """Tries that work side by side, wait or come for nothing; or a run that is much longer."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.rule == rule)

    assert notice_aimed(mutant, [with_costs(schedule) for schedule in DIRECTED[rule]]).noticed


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_random_schedules_notice_the_removal_of_every_rule(request):
    """A mutant that survives is a rule that nothing tests, or that nobody needs."""
    by_rule = schedules_by_rule(drawn(flat_schedules(), SCHEDULES))
    noticed = [
        notice(
            mutant,
            [with_costs(schedule) for schedule in DIRECTED.get(mutant.rule, ())],
            by_rule.get(mutant.rule, [])[:MOST_PER_MUTANT],
        )
        for mutant in MUTANTS
    ]

    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(f"\n{'without the rule':59}  schedules  what gives it away")
        for outcome in noticed:
            terminal.write_line(str(outcome))
    assert [] == [outcome.mutant.rule for outcome in noticed if not outcome.noticed]
