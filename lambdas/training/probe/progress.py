"""The progress of a transfer over several connections: how many bytes arrived in each bin of time."""

import threading
import time
from collections.abc import Callable

# Lambda's network is said to move in pulses of 100 ms.
BIN_S = 0.005


class TransferProgress:
    """Counts bytes as they arrive, from any thread.

    Args:
        seconds: When to stop, counted from now.
        now: The clock.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.perf_counter) -> None:
        self._now, self._started, self._seconds = now, now(), seconds
        self._bins = [0] * (int(seconds / BIN_S) + 1)
        self._lock = threading.Lock()

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return self._now() - self._started >= self._seconds

    def add(self, size: int) -> None:
        """Count bytes that have just arrived; those after the end are left out."""
        at = int((self._now() - self._started) / BIN_S)
        if at < len(self._bins):
            with self._lock:
                self._bins[at] += size

    def bins(self) -> list[int]:
        """Return the bytes of each complete bin."""
        return self._bins[:-1]
