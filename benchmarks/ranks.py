"""Run ranks as processes, as on AWS: started once, and synchronised before every block."""

import multiprocessing
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

from benchmarks.figure import BenchmarkError

# Long enough for 64 processes to start on one core, and for the slowest block.
LIMIT_S = 120.0

Result = TypeVar("Result")


@dataclass(frozen=True)
class Team:
    """One rank's view of all ranks.

    Attributes:
        rank: This rank.
        size: The number of ranks.
    """

    rank: int
    size: int
    _barrier: Barrier

    def together(self) -> None:
        """Wait until all ranks arrive.

        Raises:
            BrokenBarrierError: A rank has died or takes too long.
        """
        self._barrier.wait(LIMIT_S)


def run_ranks(size: int, task: Callable[..., Result], *arguments: object) -> list[Result]:
    """Run a task in several processes at once; return their results, by rank.

    Args:
        size: The number of ranks.
        task: A module-level function, called with the `Team` and the arguments.
        arguments: Picklable arguments.

    Raises:
        BenchmarkError: A rank failed or did not finish in time.
    """
    # A clean server forks the ranks: faster than new interpreters, and equally free of this process's state.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([task.__module__])
    barrier = context.Barrier(size)
    processes, pipes = [], []
    try:
        for rank in range(size):
            ours, theirs = context.Pipe(duplex=False)
            team = Team(rank, size, barrier)
            process = context.Process(target=_rank, args=(theirs, team, task, arguments), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        return [_result_of(rank, pipe) for rank, pipe in enumerate(pipes)]
    finally:
        for process in processes:
            process.join(1)
            process.kill()
            process.join()


def _rank(pipe: Connection, team: Team, task: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send((True, task(team, *arguments)))
    except Exception:  # noqa: BLE001 - whatever the error, the others must not wait, and the parent reports it
        team._barrier.abort()  # noqa: SLF001 - of this module
        pipe.send((False, traceback.format_exc()))


def _result_of(rank: int, pipe: Connection) -> Any:  # noqa: ANN401 - any result of the task
    started = time.monotonic()
    try:
        if not pipe.poll(2 * LIMIT_S):
            raise BenchmarkError(f"rank {rank} has no result after {time.monotonic() - started:.0f} s")
        succeeded, result = pipe.recv()
    except EOFError as error:
        raise BenchmarkError(f"rank {rank} died without a result") from error
    if not succeeded:
        raise BenchmarkError(f"rank {rank} failed:\n{result}")
    return result
