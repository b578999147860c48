"""Peers revive dead ranks, in virtual time: long before Lambda retries, to the same bits."""

import pytest

from tests.support.replay import replayed
from tests.support.simulation import Fault, Schedule
from training.exchange.collectives.registry import EXACT

# Lambda's own retry, within the patience of the ranks; and a revival: 1.2 s for the lease, and a start.
LAMBDA_S, SOON_S = 25.0, 5.0


def killed(*ranks, operation=40, **job):
    """A schedule in which ranks die, and Lambda retries much later."""
    faults = tuple(Fault("kill", operation + 2 * index, rank, LAMBDA_S) for index, rank in enumerate(ranks))
    return Schedule(faults=faults, **{"revive": True, **job})


def revived(simulation):
    """Which rank was revived by which."""
    return [(values["whom"], rank) for _, event, rank, values in simulation.notes if event == "revived"]


@pytest.mark.parametrize("mode", sorted(EXACT))
@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("ranks", [(0,), (1,), (1, 2), (0, 2)])
def test_dead_ranks_are_back_long_before_lambda_retries(mode, private, ranks):
    """In each collective, whoever it is that waits for them."""
    simulation = replayed(killed(*ranks, mode=mode, private=private))

    assert sorted(ranks) == sorted({whom for whom, _ in revived(simulation)})
    assert simulation.ended_at < SOON_S


def test_without_revival_all_wait_for_lambda():
    """As with `--revive off`."""
    simulation = replayed(killed(1, revive=False))

    assert [] == revived(simulation)
    assert simulation.ended_at > LAMBDA_S


def test_a_survivor_that_dies_as_well_is_replaced():
    """Rank 0 would revive rank 2, and dies before it can; rank 1 revives both."""
    simulation = replayed(
        Schedule(faults=(Fault("kill", 40, 2, LAMBDA_S), Fault("kill", 60, 0, LAMBDA_S)), revive=True)
    )

    assert [(0, 1), (2, 1)] == sorted(revived(simulation))
    assert simulation.ended_at < 2 * SOON_S


def test_a_rank_that_dies_again_and_again_is_left_to_lambda():
    """Each revival comes later than the one before: the third would come after Lambda's retry."""
    faults = tuple(Fault("kill", operation, 1, LAMBDA_S) for operation in range(40, 3000, 10))

    simulation = replayed(Schedule(faults=faults, revive=True, heals_at=LAMBDA_S - 1))

    assert [(1, 0)] * 2 == revived(simulation)
    assert simulation.ended_at > LAMBDA_S


def test_a_frozen_rank_is_revived_and_stops_when_it_wakes():
    """Its other try goes on; the one that wakes finds another token in its lease."""
    simulation = replayed(Schedule(faults=(Fault("freeze", 40, 1, 10.0),), revive=True))

    assert [(1, 0)] == revived(simulation)


def test_a_cache_that_was_away_says_nothing_of_leases():
    """For three seconds nobody can move a heartbeat; nobody is dead."""
    simulation = replayed(Schedule(faults=(Fault("outage", 40, seconds=3.0),), revive=True))

    assert [] == revived(simulation)
