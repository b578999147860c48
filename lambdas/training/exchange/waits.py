"""How long a rank waited for the frames of others in the round that it is in, and for whom."""

from typing import NamedTuple

NOBODY = -1


class RoundWait(NamedTuple):
    """The waits of a round.

    Attributes:
        seconds: All of them together.
        rank: Whose frame ended the longest of them; `NOBODY` if there was none.
    """

    seconds: float = 0.0
    rank: int = NOBODY


class Waits:
    """Adds up the waits of one round at a time; a wait lasts from the first poll that missed a frame to the last frame.

    Attributes:
        waited: The waits of the round so far.
    """

    def __init__(self) -> None:
        self.begin_round()

    def begin_round(self) -> None:
        """Forget the round before."""
        self.waited, self._longest_s = RoundWait(), 0.0

    def add(self, seconds: float, rank: int) -> None:
        """Add a wait that a rank's frame has ended."""
        if seconds > self._longest_s:
            self._longest_s = seconds
        else:
            rank = self.waited.rank
        self.waited = RoundWait(self.waited.seconds + seconds, rank)
