"""Which cases an exploration tries."""

import pytest

from harness.explore.cases import all_cases, possible_overlaps
from harness.explore.schedule import Blow, Overlap, Schedule, Strike


def test_every_call_is_struck_by_every_blow():
    """One case each; a second delivery comes first, because it is the simplest."""
    cases = all_cases(3)

    assert cases[0] == Schedule(second="after")
    struck = {(case.strikes[0].call, case.strikes[0].blow) for case in cases if case.strikes}
    assert struck == {(call, blow) for call in (1, 2, 3) for blow in Blow}
    assert all(len(case.strikes) <= 1 for case in cases)


def test_every_pair_of_points_is_an_overlap():
    """Delivery 1 is held before each call but the first; delivery 2 passes each call but the last, or ends."""
    overlaps = [case.overlap for case in all_cases(3) if case.overlap]

    assert overlaps == [Overlap(hold, until) for hold in (2, 3) for until in (1, 2, 0)]


def test_a_function_with_one_call_has_nothing_to_overlap():
    """The calls of two deliveries come one after the other anyhow."""
    assert [case for case in all_cases(1) if case.overlap] == []
    assert len(all_cases(1)) == 1 + len(Blow)


def test_many_overlaps_are_sampled_by_the_seed():
    """The same seed draws the same pairs, so that an exploration can be repeated."""
    assert possible_overlaps(20) == 380

    drawn = [case for case in all_cases(20, most_overlaps=50, seed=1) if case.overlap]

    assert len(drawn) == 50
    assert drawn == [case for case in all_cases(20, most_overlaps=50, seed=1) if case.overlap]
    assert drawn != [case for case in all_cases(20, most_overlaps=50, seed=2) if case.overlap]


@pytest.mark.parametrize("n_calls", [1, 2, 7])
def test_no_case_comes_twice(n_calls: int):
    """Each costs a cold start."""
    cases = all_cases(n_calls)

    assert len(set(cases)) == len(cases)
    assert Schedule(strikes=(Strike(1, 1, n_calls, Blow.KILL_BEFORE),)) in cases
