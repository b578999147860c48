"""When to look again: often enough not to oversleep, seldom enough to leave the cores to those who are waited for.

Waits of one kind (for the parts, for the merged sum) are much alike from round to round, so each is learnt from:

    0 ----------- half of the shortest of the last waits ---+---+---+----+------+----------+----- ... `longest_s` apart
    look (missed)   nothing                                 looks, ever further apart

A wait that is at times over within a few trips looks at once, again and again.
No rank sleeps longer than half of what it has just seen to be the least: ranks that wait for one another
would otherwise learn from each other's sleep, and all become slower together.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator

# A peer's frame is often there already or comes within one trip; only then does a rank give the core away.
EAGER_POLLS = 4
FIRST_DELAY_S = 20e-6
DELAY_GROWTH = 1.3
LONGEST_DELAY_S = 2e-3
# With many ranks each looks more seldom, as all their looks go to the same nodes, and here to the same cores.
LONGEST_DELAY_PER_RANK_S = 250e-6
# Ranks that start are seconds apart.
JOIN_DELAY_S = 1e-3
# Below this the first looks follow one another without a sleep.
SHORT_S = 1e-3
# So many waits are remembered.
MEMORY = 8
SILENT_SHARE, POLL_SHARE = 0.5, 0.05
# However long waits usually are: a rank that comes back, an abort and a lost frame are to be heard of.
LONGEST_SILENCE_S = 0.1


class AdaptiveBackoff:
    """The pace of one kind of wait.

    Args:
        world_size: How many ranks may wait at the same time.
        joining: Whether ranks may be waited for that still start.
    """

    def __init__(self, world_size: int, *, joining: bool = False) -> None:
        self._longest_s = max(LONGEST_DELAY_S, LONGEST_DELAY_PER_RANK_S * world_size)
        self._joining = joining
        self._last: deque[float] = deque(maxlen=MEMORY)

    def learn(self, waited_s: float) -> None:
        """Takes in how long it was until the look began that found something; what is received then is no wait."""
        self._last.append(waited_s)

    def delays(self, gone_s: Callable[[], float] = lambda: 0.0) -> Iterator[float]:
        """Seconds between looks; without end.

        Args:
            gone_s: How long the wait has lasted when a look is over; trips count as well as sleep.
        """
        if self._joining:
            return _growing(JOIN_DELAY_S, self._longest_s)
        least = min(self._last) if len(self._last) == MEMORY else 0.0
        if least < SHORT_S:
            return delays(self._longest_s)
        silence = (max(0.0, min(SILENT_SHARE * least, LONGEST_SILENCE_S) - gone_s()) for _ in range(1))
        return itertools.chain(silence, _growing(POLL_SHARE * least, self._longest_s))


def delays(longest_s: float = LONGEST_DELAY_S) -> Iterator[float]:
    """Seconds between looks of a wait of which nothing is known: none at first, then ever longer; without end."""
    return itertools.chain(itertools.repeat(0.0, EAGER_POLLS), _growing(FIRST_DELAY_S, longest_s))


def _growing(delay: float, longest_s: float) -> Iterator[float]:
    while delay < longest_s:
        yield delay
        delay *= DELAY_GROWTH
    yield from itertools.repeat(longest_s)
