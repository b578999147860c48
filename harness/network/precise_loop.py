"""An event loop whose timers are as precise as the kernel's.

asyncio rounds the time that it waits up to whole milliseconds, as epoll has no finer unit, and the kernel may add
50 us to save wake-ups (timer slack). A trip to a cache of 0.66 ms needs better.
"""

import asyncio
import select
import selectors

from harness.system.process_life import wake_on_time

# A longer wait is epoll's own, until this much before its end.
_EPOLL_S = 0.01


def precise_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with precise timers; the thread that calls this is to run it."""
    wake_on_time()
    return asyncio.SelectorEventLoop(_PreciseSelector())


class _PreciseSelector(selectors.EpollSelector):
    """Wait by `select` for epoll's own descriptor: its time-out has microseconds, and it is one descriptor for all."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, after `timeout` seconds at the latest."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if timeout > _EPOLL_S:
            return super().select(timeout - _EPOLL_S)
        try:
            ready, _, _ = select.select((self.fileno(),), (), (), timeout)
        except InterruptedError:
            return []
        return super().select(0) if ready else []
