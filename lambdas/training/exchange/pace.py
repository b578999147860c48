"""When to look again: often enough not to oversleep, seldom enough to leave the cores to those who are waited for.

Waits of one kind (for the parts, for the merged sum) are much alike from round to round, so each is learnt from:

    0 ------------- 0.7 of the usual time ---+---+---+----+------+----------+----- ... 2 ms apart
    look (missed)   nothing                  looks, ever further apart

A wait that is usually over within a trip or two looks at once, again and again.
"""

import itertools
from collections.abc import Iterator

# A peer's frame is often there already or comes within one trip; only then does a rank give the core away.
EAGER_LOOKS = 3
FIRST_DELAY_S = 50e-6
DELAY_GROWTH = 1.5
LONGEST_DELAY_S = 2e-3
# Below this a sleep would take longer than the wait: the kernel adds some 50 microseconds to each.
SHORT_S = 200e-6
# Of the usual time: nothing is looked for before, and then this often.
SILENT_SHARE, LOOK_SHARE = 0.7, 0.08
# Quick to believe that waits became shorter, slow to believe that they became longer: one straggler is no custom.
SHORTER_WEIGHT, LONGER_WEIGHT = 0.5, 0.1


class Pace:
    """The pace of one kind of wait.

    Attributes:
        usual_s: How long such a wait has usually taken so far.
    """

    def __init__(self) -> None:
        self.usual_s = 0.0

    def learn(self, waited_s: float) -> None:
        """Takes in how long a wait took."""
        weight = SHORTER_WEIGHT if waited_s < self.usual_s else LONGER_WEIGHT
        self.usual_s += weight * (waited_s - self.usual_s)

    def delays(self) -> Iterator[float]:
        """Seconds between looks; without end."""
        if self.usual_s < SHORT_S:
            return delays()
        silent = min(SILENT_SHARE * self.usual_s, LONGEST_DELAY_S * 10)
        return itertools.chain((silent,), _growing(max(FIRST_DELAY_S, LOOK_SHARE * self.usual_s)))


def delays() -> Iterator[float]:
    """Seconds between looks of a wait of which nothing is known: none at first, then ever longer; without end."""
    return itertools.chain(itertools.repeat(0.0, EAGER_LOOKS), _growing(FIRST_DELAY_S))


def _growing(delay: float) -> Iterator[float]:
    while True:
        yield min(delay, LONGEST_DELAY_S)
        delay *= DELAY_GROWTH
