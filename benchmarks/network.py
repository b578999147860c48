"""Measure what an emulated network costs, and how near its trips are to what was drawn."""

import json
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import BenchmarkError, Figure, Goal
from benchmarks.stage import COMMAND_LIMIT_S, project_folder

WORKERS, REPETITIONS = 4, 5
JOB = ("--data", "synthetic:rows=100000,features=28", "--n-workers", str(WORKERS), "--batch-size", "1000")
# The epochs of each job; a round is short, so that the second is the dearest job for the proxy.
EPOCHS = {"a short run": 2, "1,320 rounds": 60}
NETWORK = ("--network", "aws")


def network() -> Iterator[Figure]:
    """Measure the emulated network."""
    drawn, delivered = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    with project_folder() as settings:
        for name, epochs in EPOCHS.items():
            without, ours = [], []
            for number in range(REPETITIONS):
                job = (*JOB, "--n-epochs", str(epochs))
                without.append(_run(settings.root, *job)[0])
                cpu_s, summary = _run(settings.root, *job, *NETWORK, "--network-seed", str(number))
                ours.append(cpu_s)
            yield Figure(
                name=f"processor time of {name} of {WORKERS} workers on an emulated network",
                unit="s",
                floor_name="the same run without --network",
                floor=tuple(without),
                ours=tuple(ours),
                goal=Goal(1.15),
                note=f"{sum(trip['trips'] for trip in summary['network']['trips']):,} trips in the last run",
            )
        for number in range(REPETITIONS):
            _, summary = _run(
                settings.root, *JOB, "--n-epochs", "10", *NETWORK, "--zones", "2", "--network-seed", str(number)
            )
            for trip in summary["network"]["trips"]:
                drawn[trip["kind"]].append(trip["drawn_ms"]["p50"])
                delivered[trip["kind"]].append(trip["delivered_ms"]["p50"])
    for kind in ("store_latency", "store_latency_other_zone"):
        yield Figure(
            name=f"trip to the emulated cache, {kind}, p50",
            unit="ms",
            floor_name="the latency that was drawn, p50",
            floor=tuple(drawn[kind]),
            ours=tuple(delivered[kind]),
            goal=Goal(1.1),
        )


def _run(root: Path, *flags: str) -> tuple[float, dict[str, Any]]:
    """Run a job with a stack of its own; return the processor time of all its processes, s, and its summary.

    The supervisor adopts what a stack leaves, and waits for it: the kernel counts all of it for the one who waits.
    """
    before = _of_children()
    command = [sys.executable, "-P", "-c", "from harness.cli.main import main; main()", "run", "--json", *flags]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"`harness run {' '.join(flags)}` failed: {done.stderr.strip()[-500:]}")
    return _of_children() - before, json.loads(done.stdout)


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
