"""The cases of an exploration: one blow at each call, a second delivery afterwards, and second deliveries that overlap.

A function with n calls has 6 n + 1 cases without overlap and n (n - 1) with it:

    hold = 2..n         delivery 1 is held before this call; held before the first, it would be the second delivery
    until = 1..n-1, 0   until delivery 2 has passed this call, or (0) has ended, which passing the last call means
"""

import random

from harness.explore.schedule import Blow, Overlap, Schedule, Strike

MOST_OVERLAPS = 150


def all_cases(n_calls: int, *, most_overlaps: int = MOST_OVERLAPS, seed: int = 0) -> list[Schedule]:
    """Return the cases of a function, the simplest ones first.

    Args:
        n_calls: How many calls to AWS it makes undisturbed.
        most_overlaps: If two deliveries can overlap in more ways, this many are drawn.
        seed: For the draw.
    """
    strikes = [Schedule(strikes=(Strike(1, 1, call, blow),)) for blow in Blow for call in range(1, n_calls + 1)]
    return [Schedule(second="after"), *strikes, *_overlaps(n_calls, most_overlaps, seed)]


def possible_overlaps(n_calls: int) -> int:
    """Return in how many ways two deliveries can overlap."""
    return n_calls * (n_calls - 1)


def _overlaps(n_calls: int, most: int, seed: int) -> list[Schedule]:
    pairs = [(hold, until) for hold in range(2, n_calls + 1) for until in (*range(1, n_calls), 0)]
    if len(pairs) > most:
        drawn = set(random.Random(seed).sample(pairs, most))
        pairs = [pair for pair in pairs if pair in drawn]
    return [Schedule(second="overlap", overlap=Overlap(hold, until)) for hold, until in pairs]
