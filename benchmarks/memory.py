"""Measure the memory of process trees, as the kernel reports it."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.figure import BenchmarkError

LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Usage:
    """The resources that a command used.

    Attributes:
        seconds: Wall time.
        peak_mb: The largest observed sum of the resident sizes of it and its descendants, MB.
    """

    seconds: float
    peak_mb: float


def proportional_mb(pid: int) -> float:
    """Return the memory of a process and its descendants in MB; shared memory is counted once (PSS)."""
    return _sum_mb(pid, lambda process: process.memory_full_info().pss)


def usage_of(command: list[str], *, cwd: Path, env: Mapping[str, str], limit_s: float) -> Usage:
    """Run a command and sample its memory.

    Raises:
        BenchmarkError: The command failed or took too long.
    """
    started = time.perf_counter()
    deadline = time.monotonic() + limit_s
    peak = 0.0
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while True:
            try:
                _, errors = process.communicate(timeout=LOOK_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, _sum_mb(process.pid, lambda one: one.memory_info().rss))
                if time.monotonic() > deadline:
                    process.kill()
                    raise BenchmarkError(f"`{' '.join(command)}` did not end within {limit_s:g} s") from None
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise BenchmarkError(f"`{' '.join(command)}` failed: {errors.strip()[-500:]}")
    return Usage(seconds, peak)


def _sum_mb(pid: int, of: Callable[[psutil.Process], int]) -> float:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += of(process)
    return total / 1e6
