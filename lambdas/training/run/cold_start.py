"""Where the time of a cold start goes, from the start of the process to the first invocation.

    process starts ---- interpreter ----> first line of the handler's module ---- imports ----> ---- s3_client ---->

Made at the top of the handler's module, and asked by the first invocation; later ones find a warm environment.
"""

import os
import time
from pathlib import Path

# Its 22nd field is the process's start, in ticks since boot: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
_STAT = Path("/proc/self/stat")
_START_FIELD = 22


class ColdStart:
    """Measures phases one after the other."""

    def __init__(self) -> None:
        self._phases = {"interpreter": max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - _process_start_s())}
        self._last = time.perf_counter()
        self._told = False

    def done(self, phase: str) -> None:
        """Ends a phase; the next one begins."""
        now = time.perf_counter()
        self._phases[phase] = now - self._last
        self._last = now

    def tell(self) -> dict[str, float] | None:
        """Seconds by phase, to the first who asks; None to all others."""
        told, self._told = self._told, True
        return None if told else self._phases


def _process_start_s() -> float:
    """When this process started, on the clock since boot; a tick is a hundredth of a second."""
    # The second field is the program's name in brackets, which may hold blanks.
    fields = _STAT.read_text().rpartition(")")[2].split()
    return int(fields[_START_FIELD - 3]) / os.sysconf("SC_CLK_TCK")
