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
# Drawn evenly, as Hypothesis prefers small integers.
OPERATIONS = range(1, 301)

# Some rules need several faults within a moment, which rarely come together by chance: kind, seconds, aim.
# {a}, {b} and {c} are three ranks, {r} is a round, {s} and {t} are the two after it; `/{r}/0/{a}/` is a frame.
TOGETHER = (
    # A rank in a later round comes back, and the cache has lost what a slower one still needs of it.
    (("freeze", 3.0, "/{r}/0/{a}/"), ("kill", 0.1, "/{s}/0/{b}/"), ("restart", 0.0, "/position/{c}/")),
    # Another try of a frozen rank goes on; then it wakes, in a round that all have left, and some were away meanwhile.
    (("freeze", 1.5, "/{r}/0/{a}/"), ("duplicate", 0.0, "/{r}/0/{a}/"), ("freeze", 3.0, "/{t}/0/{b}/")),
    (
        *(("freeze", 1.5, "/{r}/0/{a}/"), ("duplicate", 0.0, "/{r}/0/{a}/")),
        *(("kill", 0.1, "/{s}/0/{b}/"), ("freeze", 3.0, "/{t}/0/{c}/")),
    ),
    (("freeze", 3.0, ""), ("duplicate", 0.0, "")),
    (("freeze", 3.0, ""), ("usurp", 0.0, ""), ("restart", 0.1, "")),
    # A try takes a lease that the cache has lost, and the one that had it is a later one.
    (("kill", 0.1, "/{r}/0/{a}/"), ("usurp", 0.0, "/{s}/0/{a}/"), ("freeze", 1.0, "/{s}/0/{b}/")),
    # All die while one stores its part of a checkpoint, and so come back from different ones.
    (("freeze", 3.0, "/{r}/0/{a}/"), ("end", 0.1, "/{s}/0/{b}/")),
    # What a rank alone had is gone with it and the cache; then the cache loses that all go back for it.
    (("kill", 0.5, ""), ("restart", 0.0, "/position/")),
    (("kill", 0.5, ""), ("restart", 0.0, "/position/"), ("corrupt", 0.0, "/back/")),
    (("kill", 0.5, ""), ("restart", 0.0, "/position/"), ("evict", 0.0, "/back/"), ("kill", 0.5, "/back/")),
    # A rank can go back one round, where nobody has frames for it any more.
    (("evict", 0.0, "/private/{a}/{s}/"), ("kill", 0.1, "/{s}/0/{a}/"), ("freeze", 3.0, "/{s}/0/{b}/")),
    # The state that a rank has asked for does not get there.
    (("kill", 0.1, ""), ("corrupt", 0.0, "/snapshot/")),
    (("kill", 0.1, ""), ("evict", 0.0, "/snapshot/")),
    (("kill", 0.1, ""), ("refuse", 0.1, "/snapshot/")),
    (("kill", 0.1, ""), ("kill", 0.1, "/snapshot/")),
    (("kill", 0.1, ""), ("freeze", 3.0, "/snapshot/")),
    (("kill", 0.1, ""), ("corrupt", 0.0, "/position/")),
    (("kill", 0.1, ""), ("kill", 0.1, "/position/{a}/")),
    # A heartbeat's answer is lost.
    (("mute", 0.0, "/lease/"), ("kill", 0.5, "")),
    # The end: results are stored, and what says so is lost.
    (("evict", 0.0, "/over/"), ("duplicate", 0.0, "/over/")),
    (("freeze", 1.5, "/7/0/{a}/"), ("evict", 0.0, "/over/"), ("restart", 0.0, "/over/")),
)
# An aimed fault waits for its key from the start on, but for keys that are there all the time.
ANY_TIME = ("", "/lease/")
FROM_THE_START = st.just(1)


def faults_of(kind, operation, seconds, aim, rank):
    """Faults of some kinds."""
    return st.builds(Fault, kind, operation, rank=rank, seconds=seconds, share=st.sampled_from(SHARES), of=aim)


def faults_together():
    """Faults that come within a moment of one another, each to another rank."""

    def at(moment, ranks, number, pattern):
        near = st.sampled_from(range(moment, moment + 30))
        names = dict(zip("abc", ranks, strict=True)) | {"r": number, "s": number + 1, "t": number + 2}
        return st.tuples(
            *(
                faults_of(
                    *(st.just(kind), FROM_THE_START if aim not in ANY_TIME else near, st.just(seconds)),
                    *(st.just(aim.format(**names)), st.just(ranks[index % len(ranks)])),
                )
                for index, (kind, seconds, aim) in enumerate(pattern)
            )
        )

    moments, numbers = st.sampled_from(OPERATIONS), st.sampled_from(range(1, 5))
    drawn = st.builds(at, moments, st.permutations(range(3)), numbers, st.sampled_from(TOGETHER))
    return drawn.flatmap(lambda faults: faults)


def schedules(world_sizes, modes, seconds=SECONDS):
    """Schedules of so many ranks, whose faults last so long."""
    anywhere, seconds = st.sampled_from(OPERATIONS), st.sampled_from(seconds)
    single = faults_of(st.sampled_from(KINDS), anywhere, seconds, st.sampled_from(AIMS), st.sampled_from(range(7)))
    return st.builds(
        lambda faults, together, **job: Schedule(faults=(*faults, *together), **job),
        faults=st.lists(single, max_size=5),
        together=st.just(()) | faults_together() | faults_together(),
        world_size=world_sizes,
        mode=st.sampled_from(modes),
        private=st.booleans(),
        checkpoint_every=st.sampled_from([0, 0, 1, 2]),
        seed=st.sampled_from(range(2**16)),
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
