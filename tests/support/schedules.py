"""Random schedules of faults, for Hypothesis: anywhere, aimed at keys of recovery, or several that come together."""

import math
from dataclasses import replace

from hypothesis import strategies as st

from tests.support.liveness import bound_s
from tests.support.simulation import Fault, Schedule
from training.exchange.collectives.registry import EXACT

KINDS = (
    *("restart", "outage", "refuse", "evict", "corrupt", "kill", "end", "freeze", "mute", "duplicate", "usurp"),
    *("kill", "kill", "freeze", "evict"),
)
AIMS = (*[""] * 10, "/lease/", "/position/", "/snapshot/", "/private/", "/over/", "/back/")
SECONDS = (0.0, 0.1, 0.5, 1.0, 3.0)
SHARES = (0.0, 0.3, 0.5, 0.7, 1.0)
LAST_OPERATION = 300

# Some rules need several faults within a moment, which rarely come together by chance: kind, seconds, aim.
TOGETHER = (
    # A rank in a later round comes back, and the cache has lost what a slower one still needs of it.
    (("freeze", 3.0, ""), ("kill", 0.1, ""), ("restart", 0.0, "")),
    (("freeze", 3.0, ""), ("kill", 0.1, ""), ("restart", 0.0, ""), ("freeze", 1.0, "/position/")),
    # Another try of a frozen rank goes on; then it wakes.
    (("freeze", 3.0, ""), ("duplicate", 0.0, "")),
    (("freeze", 3.0, ""), ("usurp", 0.0, ""), ("restart", 0.1, "")),
    # All die while one stores its part of a checkpoint, and so come back from different ones.
    (("freeze", 3.0, ""), ("end", 0.1, "")),
    # What a rank alone had is gone with it and the cache; then the cache loses that all go back for it.
    (("kill", 0.5, ""), ("restart", 0.0, "/position/")),
    (("kill", 0.5, ""), ("restart", 0.0, "/position/"), ("corrupt", 0.0, "/back/")),
    (("kill", 0.5, ""), ("restart", 0.0, "/position/"), ("evict", 0.0, "/back/"), ("kill", 0.5, "/back/")),
    # The state that a rank has asked for does not get there.
    (("kill", 0.1, ""), ("corrupt", 0.0, "/snapshot/")),
    (("kill", 0.1, ""), ("evict", 0.0, "/snapshot/")),
    (("kill", 0.1, ""), ("refuse", 1.0, "/snapshot/")),
    (("kill", 0.1, ""), ("kill", 0.1, "/snapshot/")),
    (("kill", 0.1, ""), ("freeze", 3.0, "/snapshot/")),
    (("kill", 0.1, ""), ("corrupt", 0.0, "/position/")),
)


def faults_of(kind, operation, seconds, aim, rank):
    """Faults of some kinds."""
    return st.builds(Fault, kind, operation, rank=rank, seconds=seconds, share=st.sampled_from(SHARES), of=aim)


def faults_together():
    """Faults that come within a moment of one another, each to another rank."""

    def at(moment, first_rank, pattern):
        near = st.integers(moment, moment + 30)
        return st.tuples(
            *(
                faults_of(st.just(kind), near, st.just(seconds), st.just(aim), st.just(first_rank + index))
                for index, (kind, seconds, aim) in enumerate(pattern)
            )
        )

    moments = st.integers(1, LAST_OPERATION)
    return st.builds(at, moments, st.integers(0, 6), st.sampled_from(TOGETHER)).flatmap(lambda faults: faults)


def schedules(world_sizes, modes, seconds=SECONDS):
    """Schedules of so many ranks, whose faults last so long."""
    anywhere, seconds = st.integers(1, LAST_OPERATION), st.sampled_from(seconds)
    single = faults_of(st.sampled_from(KINDS), anywhere, seconds, st.sampled_from(AIMS), st.integers(0, 6))
    return st.builds(
        lambda faults, together, **job: Schedule(faults=(*faults, *together), **job),
        faults=st.lists(single, max_size=6),
        together=st.just(()) | faults_together(),
        world_size=world_sizes,
        mode=st.sampled_from(modes),
        private=st.booleans(),
        checkpoint_every=st.sampled_from([0, 0, 1, 2]),
        seed=st.integers(0, 2**16),
        revive=st.booleans(),
    )


def flat_schedules():
    """Schedules of the collectives that add in one order."""
    return schedules(st.integers(2, 4), sorted(EXACT))


def healing_schedules():
    """Schedules whose faults may last until all heal at one moment; the run must end within a bound from then on."""
    return st.builds(
        lambda schedule, at: replace(schedule, heals_at=at, within_s=bound_s(schedule.world_size, at)),
        schedules(st.integers(2, 5), sorted(EXACT), (0.1, 0.5, 3.0, math.inf)),
        st.floats(0.02, 8.0),
    )
