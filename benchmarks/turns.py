"""Two things timed in turns, so that what slows the machine for a while slows both."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def in_turns(
    repetitions: int, floor: Callable[[], object], ours: Callable[[], object]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds of both, each as often.

    Args:
        repetitions: How often each runs.
        floor: Runs first in every turn.
        ours: Runs second.
    """
    pairs = [(timed(floor)[0], timed(ours)[0]) for _ in range(repetitions)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def timed(action: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds that a call takes, and what it returns."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def scaled(samples: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """Samples in another unit."""
    return tuple(factor * sample for sample in samples)
