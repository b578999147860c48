"""The rules by which a run is lost, and the error for the user.

A worker that fails writes the cause below `failed/`; a worker that dies leaves only the platform's words in the log.
Neither ends the run by itself: Lambda retries the event, and the worker's peers wait for it.
The run is lost when a worker reports that a retry cannot help, when nobody invokes a rank's event any more (neither
Lambda, which has used up its retries, nor another rank), or when every worker has failed, so that nobody is left to
wait.
"""

from harness.errors import HarnessError
from harness.runs.progress import Progress
from harness.runs.records import Failure, rank_of
from training.errors import InputError
from training.exchange.recovery.revival import MOST_REVIVALS
from training.run.results import RunFolder


def raise_failure(folder: RunFolder, present: set[str], progress: Progress, retries: int) -> None:
    """Raise the first cause of a lost run; return when the run may still succeed.

    Args:
        folder: The run's folder.
        present: The names of its objects.
        progress: The run's progress.
        retries: How often Lambda retries a failed event.

    Raises:
        HarnessError: The run is lost.
    """
    failures = _read_failures(folder, present, progress)
    # Lambda retries what is not final in a minute or two. Where every rank has failed, the address of the cache or
    # of S3 is more likely to be wrong, so that is reported at once.
    nobody_left = all(rank.state == "failed" for rank in progress.ranks)
    if any(failure.final for failure in failures) or (failures and nobody_left):
        # A rank that was told to stop, or that waited in vain, did not cause the failure if another one did.
        first = min(failures, key=lambda failure: (failure.kind in {"RunAborted", "RanksMissing"}, failure.time))
        raise HarnessError(f"worker {first.rank} failed: {first.cause}", f"run folder: {folder.location('')}")
    for request_id in abandoned(progress, retries):
        raise_out_of_memory(progress)
        rank = progress.ranks[progress.requests[request_id]]
        often = f", {rank.failures} times" if rank.failures > 1 else ""
        raise HarnessError(
            f"worker {rank.rank} {rank.state}{often}: {rank.cause}",
            f"request {request_id}",
            f"see `harness logs --run {folder.run_id}`",
        )


def abandoned(progress: Progress, retries: int) -> list[str]:
    """Return failed invocations of ranks whose event nobody invokes any more: neither Lambda nor another rank.

    Args:
        progress: The run's progress.
        retries: How often Lambda retries a failed event.
    """
    ended = [rank.rank for rank in progress.ranks if rank.state in {"died", "failed"}]
    lost = {rank for rank in ended if not _continues(progress, rank, retries)}
    return [request_id for request_id in progress.failures if progress.requests[request_id] in lost]


def _continues(progress: Progress, rank: int, retries: int) -> bool:
    """Return whether an invocation of a rank runs, or may be retried, or another rank may invoke its event."""
    own = [request_id for request_id, its_rank in progress.requests.items() if its_rank == rank]
    if any(progress.failures[one] <= retries for one in own if one not in progress.returned):
        return True
    alive = any(other.state not in {"died", "failed"} for other in progress.ranks if other.rank != rank)
    one = progress.ranks[rank]
    return progress.revive and alive and one.revivable and one.revivals < MOST_REVIVALS


def raise_out_of_memory(progress: Progress) -> None:
    """Raise if a worker ran out of memory.

    Only the reported memory distinguishes a lack of memory from any other SIGKILL.

    Raises:
        HarnessError: A killed worker had used all of its memory.
    """
    for report in progress.reports:
        rank = progress.ranks[progress.requests[report.request_id]]
        killed = "signal: killed" in rank.cause or rank.cause == "Runtime.OutOfMemory"
        if rank.state == "died" and killed and report.used_mb >= report.memory_mb:
            raise HarnessError(
                f"worker {rank.rank} ran out of memory: {rank.cause}",
                f"request {report.request_id}; its memory size is {report.memory_mb} MB",
                "raise the function's memory_mb, take more workers, or a smaller batch_size",
            )


def _read_failures(folder: RunFolder, present: set[str], progress: Progress) -> list[Failure]:
    """Return the failures that workers stored; skip any other object in their folder, and report it once."""
    failures = []
    for name in sorted(present):
        if not name.startswith("failed/") or name in progress.unreadable:
            continue
        try:
            failure = folder.read_as(name, Failure) if rank_of(name) is not None else None
            cause = f"{folder.location(name)} is not what a worker stores there"
        except InputError as error:
            failure, cause = None, str(error)
        if failure is not None:
            failures.append(failure)
        else:
            progress.unreadable.add(name)
            progress.events.append({"event": "skipped", "note": cause})
    return failures
