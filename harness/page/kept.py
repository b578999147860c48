"""The kept runs as the page lists them: read once each, again when a run is kept anew."""

import functools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.history.folder import KeptFolder, kept_runs
from harness.history.names import is_run_id
from harness.history.records import RUN
from harness.runs.selection import differing_keys
from training.errors import TrainingError

MOST_LISTED = 500


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the list of runs.

    Attributes:
        run_id: The run.
        status: Its status, as in its view.
        started_at: When its coordinator was invoked, seconds since the epoch.
        seconds: From then to its last result, or to now.
        n_workers: The number of its workers; 0 if unknown.
        model: The model that it trains.
        dataset: The name of its data.
        loss: Its final loss, or the last one known.
        kept: Whether it is kept.
        differs: The keys of its job that are not the same in all runs.
    """

    run_id: str
    status: str
    started_at: float
    seconds: float
    n_workers: int = 0
    model: str = ""
    dataset: str = ""
    loss: float | None = None
    kept: bool = False
    differs: dict[str, Any] = {}


class ListedRun(msgspec.Struct, frozen=True):
    """A run with its job, so that runs can be told apart.

    Attributes:
        line: Its line in the list.
        job: Its job; empty if unknown.
    """

    line: RunLine
    job: dict[str, Any]


def listed_runs(root: Path) -> list[ListedRun]:
    """Return the newest kept runs, the newest first; the folder is read again when a run was kept or removed.

    Args:
        root: The folder of the kept runs.
    """
    try:
        return _listed_runs(root, root.stat().st_mtime_ns)
    except FileNotFoundError:
        return []


@functools.lru_cache(maxsize=1)
def _listed_runs(root: Path, _changed_ns: int) -> list[ListedRun]:
    found = []
    for folder in kept_runs(root)[: -MOST_LISTED - 1 : -1]:
        with suppress(OSError):
            found.append(_listed(folder.path, (folder.path / RUN).stat().st_mtime_ns))
    return found


def is_kept(root: Path, run_id: str) -> bool:
    """Return whether a run is kept, complete."""
    return is_run_id(run_id) and (root / run_id / RUN).is_file() and KeptFolder(root / run_id).record() is not None


def with_differences(runs: Sequence[ListedRun]) -> list[RunLine]:
    """Return the lines of runs, each with the keys of its job that are not the same in all of them."""
    differing = differing_keys([run.job for run in runs])
    return [
        msgspec.structs.replace(run.line, differs={key: run.job[key] for key in differing if key in run.job})
        for run in runs
    ]


def line_of_job(line: RunLine, job: Mapping[str, Any]) -> RunLine:
    """Return a line with what a run's job says."""
    workers, model, dataset = job.get("n_workers"), job.get("model"), job.get("dataset")
    return msgspec.structs.replace(
        line,
        n_workers=workers if isinstance(workers, int) else 0,
        model=str(model or ""),
        dataset=str(dataset or ""),
    )


@functools.lru_cache(maxsize=2 * MOST_LISTED)
def _listed(path: Path, _changed_ns: int) -> ListedRun:
    folder, loss = KeptFolder(path), None
    job: dict[str, Any] = {}
    with suppress(TrainingError, HarnessError):
        record = folder.read_json("job.json")
        job = record["job"] if isinstance(record, dict) and isinstance(record.get("job"), dict) else {}
    with suppress(TrainingError, HarnessError):
        result = folder.read_json("result.json")
        loss = result.get("loss") if isinstance(result, dict) else None
    run = folder.record()
    line = RunLine(
        run_id=folder.run_id,
        status=run.status if run else "damaged",
        started_at=run.started_at if run else 0.0,
        seconds=run.seconds if run else 0.0,
        loss=loss if isinstance(loss, int | float) else None,
        kept=True,
    )
    return ListedRun(line_of_job(line, job), job)
