"""The phases of a cold start, from the start of the process to the first invocation.

    process starts ---- interpreter ----> first line of the handler's module ---- imports ----> ---- s3_client ---->

The handler's module creates the clock in its first line, and the first invocation reads it.
Later invocations find a warm environment.
"""

import os
import time
from pathlib import Path

# Its 22nd field is the process's start, in ticks since boot: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
_STAT = Path("/proc/self/stat")
_START_FIELD = 22


class ColdStart:
    """A stopwatch for consecutive phases."""

    def __init__(self) -> None:
        self._phases = {"interpreter": max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - _process_start_s())}
        self._last = time.perf_counter()
        self._reported = False

    def done(self, phase: str) -> None:
        """End a phase and begin the next one."""
        now = time.perf_counter()
        self._phases[phase] = now - self._last
        self._last = now

    def report_once(self) -> dict[str, float] | None:
        """Return the seconds of each phase on the first call, and None on every later one."""
        reported, self._reported = self._reported, True
        return None if reported else self._phases


def _process_start_s() -> float:
    """Return when this process started, in seconds since boot."""
    # The second field is the program's name in brackets, which may contain blanks.
    fields = _STAT.read_text().rpartition(")")[2].split()
    return int(fields[_START_FIELD - 3]) / os.sysconf("SC_CLK_TCK")
