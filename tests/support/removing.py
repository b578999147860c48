"""Recovery with one rule removed: what a mutant is, what it may cost, and how functions are replaced.

Some rules save time, not bits: without them another rule gets there later, or does more. They have a `cost`, which must
grow by `GROWS` on the same schedules.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

GROWS = 1.2
# What a run costs beside its bits: each returns a number of a simulation that has ended.
COSTS: dict[str, Callable[[Any], float]] = {
    "seconds": lambda simulation: simulation.ended_at,
    "snapshots": lambda simulation: _noted(simulation, "handed_over"),
    "frames stored again": lambda simulation: sum(
        values["frames"] for _, event, _, values in simulation.notes if event == "reput"
    ),
    "times that all went back": lambda simulation: _noted(simulation, "rolled_back"),
    "deliveries": lambda simulation: len(simulation.processes),
    "computations": lambda simulation: simulation.computations,
    "seconds of processes": lambda simulation: sum(
        process.ended_at - process.starts_at for process in simulation.processes
    ),
}


class Mutant(NamedTuple):
    """Recovery without a rule.

    Attributes:
        rule: The rule's name.
        cost: Which cost grows without it; empty for a rule without which a run fails.
        remove: Removes it.
    """

    rule: str
    cost: str
    remove: Callable[[pytest.MonkeyPatch], None]


MUTANTS: list[Mutant] = []


def _noted(simulation, event):
    return sum(name == event for _, name, _, _ in simulation.notes)


def without(rule, cost=""):
    """Registers a function that removes a rule."""

    def register(remove):
        MUTANTS.append(Mutant(rule, cost, remove))
        return remove

    return register


def around(patch, owner, name, change):
    """Puts `change` in place of a function: it is given the real one first, and then what that is given."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *arguments, **more: change(original, *arguments, **more))


def nothing(patch, owner, name, answer=None):
    """Lets a function do nothing."""
    patch.setattr(owner, name, lambda *_arguments, **_more: answer)


def failing(error):
    """Returns a function that raises an error instead of doing what its rule says."""

    def fail(*_arguments, **_more):
        raise error

    return fail
