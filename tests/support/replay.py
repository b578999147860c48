"""The oracle of schedules: whatever happens, a run ends with the bits of the undisturbed one."""

from functools import lru_cache

from tests.support.lease_oracle import check_tries
from tests.support.simulation import Schedule, Simulation


@lru_cache
def undisturbed(world_size, private, mode):
    """The parameters without a fault."""
    (parameters,) = set(Simulation(Schedule(world_size, mode, private)).run().values())
    return parameters


def replayed(schedule, *, tries=True):
    """Runs a schedule and checks the invariant, and unless told otherwise its tries; returns the simulation.

    Raises:
        AssertionError: The bits are others.
        TooMany: Tries, waits or revivals that no rule allows.
        Hang: The run takes too long.
        Exception: What a rank ended with.
    """
    simulation = Simulation(schedule)
    results = simulation.run()
    # Flat patterns add in one order, so the mode does not change the bits.
    mode = "two_level" if schedule.mode == "two_level" else "all_gather"
    expected = undisturbed(schedule.world_size, schedule.private, mode)
    assert dict.fromkeys(range(schedule.world_size), expected) == results
    if tries:
        check_tries(simulation)
    return simulation
