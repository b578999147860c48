"""How a rank unwinds its training to resume from another's state."""

from collections.abc import Callable
from typing import TypeVar

from training.exchange.recovery.snapshots import Snapshot

Answer = TypeVar("Answer")


class Rejoin(Exception):
    """This rank resumes from another's state, or from a newer checkpoint; not an error: it unwinds the algorithm.

    Args:
        snapshot: The state; None to join again from the newest checkpoint.
    """

    def __init__(self, snapshot: Snapshot | None) -> None:
        super().__init__("resume from elsewhere")
        self.snapshot = snapshot


def through_faults(start: Callable[[Snapshot | None], None], course: Callable[[], Answer]) -> Answer:
    """Run a course of rounds to its end; start over whenever this rank resumes from another's state.

    Args:
        start: Takes the state to resume from, None at first.
        course: Trains and returns what came of it.
    """
    snapshot: Snapshot | None = None
    while True:
        try:
            start(snapshot)
            return course()
        except Rejoin as rejoin:
            snapshot = rejoin.snapshot
