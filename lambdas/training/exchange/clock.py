"""The clock of all waits; the simulation has a virtual one."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """A monotonic clock, and how to let time pass."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def pause(self, seconds: float) -> None:
        """Sleep; skip the call for no time at all, as even that takes the kernel some 50 microseconds."""
        if seconds > 0:
            self.sleep(seconds)
