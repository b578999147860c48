"""Recovery under random schedules of faults, in virtual time: the same bits on every rank.

`HARNESS_SCHEDULES` sets how many; `make simulate` runs 10,000. A schedule that fails is printed in its smallest form,
a record that `replay` takes.
"""

import os
from functools import lru_cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.simulation import Fault, Schedule, Simulation
from training.exchange.collectives import two_level
from training.exchange.collectives.registry import EXACT

SCHEDULES = int(os.environ.get("HARNESS_SCHEDULES", "100"))
KINDS = ("restart", "outage", "refuse", "evict", "corrupt", "kill", "freeze", "mute", "duplicate", "usurp")

counted = {"schedules": 0, "faults": 0, "went_back": 0}

faults = st.builds(
    Fault,
    st.sampled_from(KINDS),
    st.integers(1, 300),
    rank=st.integers(0, 6),
    seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]),
    share=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
)


def schedules(world_sizes, modes):
    """Schedules of so many ranks."""
    return st.builds(
        Schedule,
        world_size=world_sizes,
        mode=st.sampled_from(modes),
        private=st.booleans(),
        checkpoint_every=st.sampled_from([0, 0, 1, 2]),
        seed=st.integers(0, 2**16),
        faults=st.lists(faults, max_size=6).map(tuple),
    )


@pytest.fixture(scope="module", autouse=True)
def count(request):
    """Tells how many schedules ran."""
    yield
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(
            "\n{schedules} schedules with {faults} faults; in {went_back} all ranks went back".format(**counted)
        )


@lru_cache
def undisturbed(world_size, private, mode):
    """The parameters without a fault."""
    (parameters,) = set(Simulation(Schedule(world_size, mode, private)).run().values())
    return parameters


def replay(schedule):
    """Runs a schedule and checks the invariant."""
    counted["schedules"] += 1
    counted["faults"] += len(schedule.faults)
    simulation = Simulation(schedule)
    results = simulation.run()
    counted["went_back"] += any(event == "rolled_back" for _, event, _, _ in simulation.notes)
    # Flat patterns add in one order, so the mode does not change the bits.
    mode = "two_level" if schedule.mode == "two_level" else "all_gather"
    expected = undisturbed(schedule.world_size, schedule.private, mode)
    assert dict.fromkeys(range(schedule.world_size), expected) == results


@settings(max_examples=SCHEDULES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(schedules(st.integers(2, 4), sorted(EXACT)))
def test_every_schedule_ends_with_the_undisturbed_bits(schedule):
    """Whatever is lost, delayed, doubled or dies, all ranks finish with the bits of the undisturbed run; none hangs."""
    replay(schedule)


@pytest.mark.parametrize("whole_up_to_bytes", [0, two_level.WHOLE_UP_TO_BYTES], ids=["slices", "whole"])
def test_so_does_every_schedule_of_two_levels(whole_up_to_bytes, monkeypatch):
    """The same of groups and leaders, whether leaders exchange sums whole or in slices."""
    monkeypatch.setattr(two_level, "WHOLE_UP_TO_BYTES", whole_up_to_bytes)

    @settings(max_examples=SCHEDULES // 5, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(schedules(st.integers(4, 7), ["two_level"]))
    def check(schedule):
        replay(schedule)

    check()
