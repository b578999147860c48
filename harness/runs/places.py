"""Where the records of a run are: kept in the project, else in the S3 of its stack, else in its deployment's bucket."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.aws.clients import clients_for
from harness.aws.errors import aws_errors
from harness.errors import HarnessError
from harness.history.folder import KeptFolder, history_root, kept_runs
from harness.history.names import is_run_id, match_run
from harness.runs.catalogue import result_buckets, run_places
from harness.runs.health import check_parts
from harness.runs.keeping import partition_bytes
from harness.runs.prepared import RESULT_BUCKET
from harness.runs.run_target import RunTarget, stack_target
from harness.runs.standing import StandingFolder
from harness.settings import Settings
from harness.stack import shared_stack
from training.job import Job
from training.run.invoking import CONNECTIONS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Returns where runs may be that are not kept; None if nothing is up.
Elsewhere = Callable[[], RunTarget | None]


@dataclass(frozen=True, slots=True)
class PlacedRun:
    """A run that is not kept, or not only.

    Attributes:
        run_id: The run.
        bucket: The bucket of its results.
        stored_at: When its job was stored, seconds since the epoch; 0 if it has none.
    """

    run_id: str
    bucket: str
    stored_at: float


def stack_place(settings: Settings) -> RunTarget | None:
    """Return the stack that is up as the place of runs; None if none is up.

    Raises:
        HarnessError: Another version of the harness started it, or a part of it has died.
    """
    state = shared_stack(settings)
    if state is None:
        return None
    check_parts(state)
    return stack_target(state, clients_for(state.endpoints))


def buckets_of(target: RunTarget) -> list[str]:
    """Return the buckets that may have runs: a deployment has one, a stack may have many."""
    if target.bucket:
        return [target.bucket]
    with aws_errors("listing the stack's buckets"):
        return result_buckets(target.clients.s3, RESULT_BUCKET)


def placed_runs(target: RunTarget, known: Collection[str] = ()) -> list[PlacedRun]:
    """Return the runs in the buckets of a stack or of a deployment, the oldest first; each of them once.

    Args:
        target: The stack or the deployment.
        known: Runs to leave out.
    """
    s3 = target.clients.s3
    with aws_errors("looking for runs"):
        found = run_places(s3, buckets_of(target))
        first = {run_id: bucket for bucket, run_id in reversed(found) if is_run_id(run_id) and run_id not in known}
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            times = pool.map(lambda run_id: _stored_at(s3, first[run_id], run_id), first)
            runs = [PlacedRun(run_id, first[run_id], stored_at) for run_id, stored_at in zip(first, times, strict=True)]
    return sorted(runs, key=lambda run: (run.stored_at, run.run_id))


def run_folder(name: str, settings: Settings, elsewhere: Elsewhere | None = None) -> KeptFolder | StandingFolder:
    """Return the folder of the run that a user means: by its id, by the beginning of it, or the newest by `last`.

    Args:
        name: What the user typed.
        settings: The project's settings.
        elsewhere: Where runs may be that are not kept; the stack that is up by default. Not asked if the run is kept.

    Raises:
        HarnessError: There is no such run, or several begin so; the message names near ones.
    """
    root = history_root(settings)
    kept = {folder.run_id: folder for folder in kept_runs(root)}
    if name in kept:
        return kept[name]
    target = elsewhere() if elsewhere is not None else stack_place(settings)
    times = {run_id: _time_of(folder) for run_id, folder in kept.items()}
    placed = {run.run_id: run for run in placed_runs(target, kept)} if target is not None else {}
    times = {**{run_id: run.stored_at for run_id, run in placed.items()}, **times}
    run_id = match_run(name, sorted(times, key=lambda run_id: (times[run_id], run_id)), _looked_in(target, settings))
    if run_id in kept or target is None:
        return kept[run_id]
    return StandingFolder(target, placed[run_id].bucket, run_id, settings)


def standing_run(name: str, settings: Settings, elsewhere: Elsewhere | None = None) -> StandingFolder:
    """Return the folder of a run where the run takes place, whether or not it is kept.

    Raises:
        HarnessError: Nothing is up, or there is no such run there.
    """
    target = elsewhere() if elsewhere is not None else stack_place(settings)
    if target is None:
        raise HarnessError("no stack is up, so no run is under way", remedy="name a deployment with --target")
    placed = {run.run_id: run for run in placed_runs(target)}
    run_id = match_run(name, list(placed), _looked_in(target, settings))
    return StandingFolder(target, placed[run_id].bucket, run_id, settings)


def bytes_of(folder: KeptFolder | StandingFolder) -> Callable[[Job], int]:
    """Return what tells the size of a run's partitions in bytes; 0 if they no longer exist."""
    if isinstance(folder, StandingFolder):
        return lambda job: partition_bytes(folder.target.clients.s3, job)
    record = folder.record()
    return lambda _job: record.data_bytes if record else 0


def is_shared(folder: KeptFolder | StandingFolder) -> bool:
    """Return whether others may have written into the bucket of a run."""
    if isinstance(folder, StandingFolder):
        return folder.target.mode == "aws"
    record = folder.record()
    return record is None or record.target == "aws"


def _time_of(folder: KeptFolder) -> float:
    record = folder.record()
    return record.started_at if record else 0.0


def _looked_in(target: RunTarget | None, settings: Settings) -> str:
    kept = f"looked in {history_root(settings)}"
    if target is None:
        return f"{kept}; no stack is up"
    return f"{kept} and in {'the stack that is up' if target.stack is not None else f'bucket {target.bucket}'}"


def _stored_at(s3: "S3Client", bucket: str, run_id: str) -> float:
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"runs/{run_id}/job.json", MaxKeys=1).get("Contents", [])
    return found[0]["LastModified"].timestamp() if found else 0.0
