"""When to poll again: often enough not to oversleep, rarely enough to leave the cores to the ranks that compute.

Waits of one kind (for the parts, for the merged sum) are much alike from round to round, so each is learned from:

    0 ----------- half of the shortest of the last waits ---+---+---+----+------+----------+----- ... `longest_s` apart
    poll (missed)   nothing                                 polls, ever further apart

A kind of wait that is sometimes over within a few round trips polls at once, again and again.
No rank sleeps longer than half of the shortest wait that it has just seen: ranks that wait for one another
would otherwise learn from each other's sleep, and all would become slower together.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator

# A peer's frame is often there already or comes within one round trip; only then does a rank yield the core.
EAGER_POLLS = 4
FIRST_DELAY_S = 20e-6
DELAY_GROWTH = 1.3
LONGEST_DELAY_S = 2e-3
# With many ranks each polls less often, as all polls go to the same nodes, and on one machine to the same cores.
LONGEST_DELAY_PER_RANK_S = 250e-6
# Ranks that start are seconds apart.
JOIN_DELAY_S = 1e-3
# Below this the first polls follow one another without a sleep.
SHORT_S = 1e-3
# How many waits are remembered.
MEMORY = 8
SILENT_SHARE, POLL_SHARE = 0.5, 0.05
# However long waits usually are, a rank must hear of an abort, of a lost frame, and of a rank that comes back.
LONGEST_SILENCE_S = 0.1


class AdaptiveBackoff:
    """The back-off of one kind of wait.

    Args:
        world_size: How many ranks may wait at the same time.
        joining: Whether the awaited ranks may still be starting.
    """

    def __init__(self, world_size: int, *, joining: bool = False) -> None:
        self._longest_s = max(LONGEST_DELAY_S, LONGEST_DELAY_PER_RANK_S * world_size)
        self._joining = joining
        self._last: deque[float] = deque(maxlen=MEMORY)

    def learn(self, waited_s: float) -> None:
        """Record the time until the first successful poll began; transfer time does not count."""
        self._last.append(waited_s)

    def delays(self, gone_s: Callable[[], float] = lambda: 0.0) -> Iterator[float]:
        """Return the seconds between polls; without end.

        Args:
            gone_s: Returns how long the wait has lasted after a poll; round trips count as well as sleep.
        """
        if self._joining:
            return _growing(JOIN_DELAY_S, self._longest_s)
        least = min(self._last) if len(self._last) == MEMORY else 0.0
        if least < SHORT_S:
            return delays(self._longest_s)
        silence = (max(0.0, min(SILENT_SHARE * least, LONGEST_SILENCE_S) - gone_s()) for _ in range(1))
        return itertools.chain(silence, _growing(POLL_SHARE * least, self._longest_s))


def delays(longest_s: float = LONGEST_DELAY_S) -> Iterator[float]:
    """Return the seconds between polls of a wait of which nothing is known: 0 at first, then ever longer; endless."""
    return itertools.chain(itertools.repeat(0.0, EAGER_POLLS), _growing(FIRST_DELAY_S, longest_s))


def _growing(delay: float, longest_s: float) -> Iterator[float]:
    while delay < longest_s:
        yield delay
        delay *= DELAY_GROWTH
    yield from itertools.repeat(longest_s)
