"""Measure 64 workers on a stack without environments: time to the first round, and memory."""

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.figure import Figure, Goal
from benchmarks.memory import proportional_mb
from benchmarks.stage import Run, Stage, stage
from benchmarks.turns import timed

WORKERS, REPETITIONS = 64, 2
LIMIT_S = 60.0


def many_workers() -> Iterator[Figure]:
    """Measure both figures, with a new stack per repetition."""
    first_round, whole, pythons, idle, peak = [], [], [], [], []
    for _ in range(REPETITIONS):
        with stage() as own:
            idle.append(proportional_mb(own.stack.pid))
            run = _run(own)
            first_round.append(_first_round_s(run))
            whole.append(run.seconds)
            # All environments still exist, at their peak memory.
            peak.append(proportional_mb(own.stack.pid))
            pythons.append(timed(_start_pythons)[0])
    yield Figure(
        name=f"{WORKERS} workers from nothing to the first round, at most",
        unit="s",
        floor_name=f"{WORKERS} times `python -S -c pass` at once",
        floor=tuple(pythons),
        ours=tuple(first_round),
        goal=Goal(5, "value"),
        note=f"the whole command: {min(whole):.1f} s",
    )
    yield Figure(
        name=f"memory of the stack after a run of {WORKERS} workers (PSS)",
        unit="MB",
        floor_name="the stack without environments",
        floor=tuple(idle),
        ours=tuple(peak),
        goal=Goal(2000, "value"),
    )


def _run(own: Stage) -> Run:
    data = "synthetic:rows=100000,features=28"
    return own.run("--data", data, "--n-workers", str(WORKERS), "--batch-size", "100", "--n-epochs", "1")


def _first_round_s(run: Run) -> float:
    """Return the seconds from the coordinator's invocation to the end of rank 0's first round.

    This is an upper bound: rank 0's work after its last round (evaluate, store) is included.
    """
    invoked_at = max(worker["started_at"] for worker in run.workers) - run.summary["seconds"]["start"]
    first = run.workers[0]
    attempt = first["attempt"]
    timings = run.folder.read_json(f"telemetry/0.{attempt}.json")
    later_rounds_s = sum(timings["round_ms"][1:]) / 1e3
    return float(first["started_at"] + first["seconds"] - later_rounds_s - invoked_at)


def _start_pythons() -> None:
    command = [sys.executable, "-S", "-E", "-c", "pass"]
    for process in [subprocess.Popen(command) for _ in range(WORKERS)]:
        process.wait(LIMIT_S)
