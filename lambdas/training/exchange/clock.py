"""The clock that waits go by; the simulation has a virtual one."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """Seconds that only ever grow, and how to let them pass."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def pause(self, seconds: float) -> None:
        """Sleeps; not at all for no time, as even that takes the kernel some 50 microseconds."""
        if seconds > 0:
            self.sleep(seconds)
