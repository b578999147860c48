"""Schedules that lead to one rule of recovery, and a bound that a user would notice when the rule is gone.

Random schedules take some rules once in a thousand times, or never, and the sum of a cost over many of them hides what
one rule saves. Each of these takes its rule; whatever the latencies are, it costs no more than `most`.
"""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from tests.support.removing import COSTS
from tests.support.replay import replayed
from tests.support.simulation import Fault, Schedule

SEEDS = range(6)


def _seconds_after_the_end(simulation):
    """How long processes run, and are billed, once all results are stored: of all of them together."""
    return sum(
        max(0.0, process.ended_at - max(process.starts_at, simulation.stored_at)) for process in simulation.processes
    )


def _seconds_to_resume(simulation):
    """The longest that a rank which came back waited for the state of another."""
    return max(
        (values["seconds"] for _, event, _, values in simulation.notes if event == "rejoined"),
        default=0.0,
    )


def _resumptions(simulation):
    """How often a rank resumed from the state of another."""
    return sum(event == "rejoined" for _, event, _, _ in simulation.notes)


SPENT = COSTS | {
    "seconds after the end": _seconds_after_the_end,
    "seconds to resume": _seconds_to_resume,
    "resumptions": _resumptions,
}


class CostsMore(Exception):
    """A run costs more than it may."""


class Bounded(NamedTuple):
    """A schedule that takes a rule.

    Attributes:
        rule: The rule.
        schedule: The schedule.
        cost: What is bounded; empty if a run without the rule fails.
        most: The bound.
        seeds: It is run with each of these seeds of latencies.
    """

    rule: str
    schedule: Schedule
    cost: str = ""
    most: float = math.inf
    seeds: Collection[int] = SEEDS

    def runs(self):
        """Returns its schedules."""
        return [replace(self.schedule, seed=seed) for seed in self.seeds]

    def run(self, schedule):
        """Replays one of its schedules.

        Raises:
            CostsMore: It costs more than the bound.
            AssertionError: The bits are others.
            Exception: What the run ended with.
        """
        simulation = replayed(schedule)
        spent = SPENT[self.cost](simulation) if self.cost else 0.0
        if spent > self.most:
            raise CostsMore(f"{self.cost}: {spent:.4g}, at most {self.most:g}")


def _schedule(*faults, **job):
    return Schedule(faults=faults, **{"mode": "all_gather", **job})


# A rank that died long ago, and comes back late.
LATE_S = 25.0
# Two ranks die when they have signed off, one for good; the other's next try meets nobody but the frozen rank, whose
# sign-off says that the run is over.
ALONE_AT_THE_END = (
    Fault("kill", 1, seconds=LATE_S, share=1.0, of="/7/0/0/"),
    Fault("kill", 1, seconds=0.1, share=1.0, of="/7/0/1/"),
    Fault("freeze", 1, seconds=3.0, of="/6/4/2/"),
)

# Rank 0 is in its second try when it stands still in round 3, and the cache loses its lease. A third try, which knows
# nothing of the second, goes on with the others to round 5; then the second wakes, and takes the rank back.
LEFT_BEHIND = (
    Fault("kill", 1, seconds=0.1, share=1.0, of="/1/0/0/"),
    Fault("freeze", 2, seconds=2.0, of="/3/0/0/"),
    Fault("usurp", 3, of="/3/0/0/"),
    Fault("freeze", 1, seconds=3.0, of="/5/0/1/"),
)

# Rank 2 has to go back to round 2, whose frames rank 1, in round 4, has released; rank 0 stays in round 3, as the cache
# has lost rank 2's frame.
IN_VAIN = (
    Fault("freeze", 1, seconds=1.0, of="/3/0/0/"),
    Fault("kill", 1, seconds=0.1, share=1.0, of="/3/0/2/"),
    Fault("evict", 1, share=1.0, of="/position/1/", loses="run/3/0/2/"),
    Fault("evict", 1, share=1.0, of="/private/2/3/"),
)

BOUNDED = (
    # Rank 1 is killed, and comes back; both others wait for it.
    Bounded(
        "state: publish the position at once on news",
        _schedule(Fault("kill", 1, seconds=0.3, share=1.0, of="/3/0/1/")),
        "seconds to resume",
        0.12,
    ),
    # When rank 1 is back, rank 0 waits in round 3, whose frames the cache has lost, and rank 2 in round 4.
    # In one of ten runs, rank 2 is heard first.
    Bounded(
        "decide: listen before choosing a donor",
        _schedule(
            Fault("freeze", 1, seconds=1.0, of="/3/0/0/"),
            Fault("kill", 1, seconds=0.1, share=1.0, of="/4/0/1/"),
            Fault("evict", 1, share=1.0, of="/position/2/", loses="run/3/0/"),
        ),
        "snapshots",
        1,
        seeds=range(13),
    ),
    # Rank 0 waits for rank 1, and dies as well: for rank 2 it must not count as one that waits.
    Bounded(
        "peers: a position whose heartbeat stands still is not alive",
        _schedule(
            Fault("kill", 40, rank=1, seconds=LATE_S),
            Fault("kill", 400, rank=0, seconds=LATE_S),
            revive=True,
        ),
        "seconds",
        10.0,
    ),
    Bounded(
        "act: store the state again that the channel refused",
        _schedule(
            Fault("kill", 1, seconds=0.5, share=1.0, of="/3/0/1/"),
            Fault("refuse", 1, seconds=0.1, of="/snapshot/"),
        ),
        "seconds to resume",
        0.6,
    ),
    Bounded(
        "act: ask again for a snapshot that is not whole",
        _schedule(
            Fault("kill", 1, seconds=0.5, share=1.0, of="/3/0/1/"),
            Fault("evict", 1, share=1.0, of="/snapshot/", loses="/1.2.1/1/"),
        ),
        "seconds to resume",
        0.6,
    ),
    Bounded(
        "act: leave a run that the `over` key ends",
        _schedule(*ALONE_AT_THE_END),
        "seconds after the end",
        1.8,  # for 1.2 of which the next try of rank 0 watches its lease
    ),
    Bounded(
        "act: leave a run whose results are stored",
        _schedule(*ALONE_AT_THE_END, Fault("evict", 1, share=1.0, of="/over/")),
    ),
    Bounded(
        "end: the `over` key ends the stay",
        _schedule(Fault("evict", 1, share=1.0, of="/7/0/1/")),
        "seconds after the end",
        0.3,
    ),
    # Rank 2 waits for rank 0, which waits for rank 1.
    Bounded(
        "wait: a sign of life extends the deadline",
        _schedule(
            Fault("kill", 1, seconds=LATE_S, share=1.0, of="/3/0/1/"),
            Fault("kill", 1, seconds=LATE_S, share=1.0, of="/position/1/"),
            mode="reduce",
        ),
    ),
    Bounded(
        "act: leave an outdated checkpoint",
        _schedule(
            Fault("freeze", 1, seconds=3.0, of="/2/4/0/"),
            Fault("kill", 1, seconds=0.1, of="/3/0/1/"),
            Fault("kill", 1, seconds=0.1, of="/3/0/2/"),
            Fault("kill", 1, seconds=0.1, of="/3/0/0/"),
            checkpoint_every=1,
        ),
    ),
    Bounded("decide: a rank left behind takes a snapshot", _schedule(*LEFT_BEHIND)),
    # Rank 3 has begun in round 5, and could go back for rank 0; the others are past what it would need.
    Bounded(
        "decide: nobody goes back for a rank left behind",
        _schedule(*LEFT_BEHIND, Fault("kill", 1, seconds=0.1, share=1.0, of="/5/0/3/"), world_size=4),
        "resumptions",
        4,
    ),
    # Rank 1, which has begun in round 4, asks rank 0, which wakes in round 3 and misses a frame of rank 2. Once it has
    # the frame, rank 0 goes on to round 4, finds the question there, and hands over a state that helps nobody.
    Bounded(
        "act: drop a snapshot that is no longer needed",
        _schedule(
            Fault("freeze", 1, seconds=2.0, of="/3/0/0/"),
            Fault("kill", 1, seconds=0.1, share=1.0, of="/4/0/1/"),
            Fault("kill", 1, seconds=4.0, share=0.0, of="/4/0/3/"),
            Fault("evict", 1, share=1.0, of="/position/2/", loses="run/3/0/2/"),
            world_size=4,
        ),
        "resumptions",
        2,  # of ranks 1 and 3; in one of ten runs rank 0 answers in round 3, and rank 1 has to go back
    ),
    Bounded(
        "back: send them back when going back one round is in vain",
        _schedule(*IN_VAIN, private=True),
    ),
    # The rank that sends all back dies at once.
    Bounded(
        "back: a late try enters the newest generation",
        _schedule(*IN_VAIN, Fault("kill", 1, seconds=0.1, share=1.0, of="/back/"), private=True),
        "times that all went back",
        2,  # of ranks 0 and 1
    ),
    Bounded(
        "back: ignore a damaged marker",
        _schedule(*IN_VAIN, Fault("corrupt", 1, share=1.0, of="/back/"), private=True),
    ),
    # Rank 1 dies when all others have what they need of it.
    Bounded(
        "decide: a donor that has finished",
        _schedule(Fault("kill", 1, seconds=0.1, share=1.0, of="/6/4/1/")),
    ),
    # Rank 0 dies while it hands its state over, and comes back without one; only rank 2, which stands still, has one.
    Bounded(
        "decide: a new rank that is asked has no state",
        _schedule(
            Fault("kill", 1, seconds=0.1, share=1.0, of="/3/0/1/"),
            Fault("kill", 1, seconds=0.1, share=0.0, of="/snapshot/"),
            Fault("freeze", 1, seconds=4.0, of="/3/0/2/"),
        ),
    ),
    # Rank 1 is back in round 4 before rank 0, which stood still, needs its frame of round 3.
    Bounded(
        "decide: a rank goes back for one that needs its frames",
        _schedule(
            Fault("freeze", 1, seconds=1.4, of="/3/0/0/"),
            Fault("kill", 1, seconds=0.1, share=1.0, of="/4/0/1/"),
            Fault("evict", 1, share=1.0, of="/position/2/", loses="run/3/0/"),
        ),
    ),
    Bounded(
        "decide: of several donors the one furthest behind",
        _schedule(
            Fault("freeze", 1, seconds=1.0, of="/3/0/0/"),
            Fault("kill", 1, seconds=0.1, share=1.0, of="/4/0/1/"),
            Fault("evict", 1, share=1.0, of="/position/2/", loses="run/3/0/"),
        ),
        "snapshots",
        1,
    ),
    Bounded(
        "act: ask again for a damaged snapshot",
        _schedule(
            Fault("kill", 1, seconds=0.5, share=1.0, of="/3/0/1/"),
            Fault("corrupt", 1, share=0.5, of="/snapshot/"),
        ),
        "seconds to resume",
        0.6,
    ),
    Bounded(
        "back: store the marker again that the cache has lost",
        _schedule(*IN_VAIN, Fault("evict", 1, share=1.0, of="/back/"), private=True),
    ),
)
