"""Time two actions in turns, so that a temporary slowdown of the machine affects both."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def in_turns(
    repetitions: int, floor: Callable[[], object], ours: Callable[[], object]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the seconds of both actions, repeated in turns.

    Args:
        repetitions: The number of turns.
        floor: The first action of every turn.
        ours: The second action.
    """
    pairs = [(timed(floor)[0], timed(ours)[0]) for _ in range(repetitions)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def timed(action: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds that a call takes, and its result."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def scaled(samples: tuple[float, ...], factor: float) -> tuple[float, ...]:
    """Return the samples in another unit."""
    return tuple(factor * sample for sample in samples)
