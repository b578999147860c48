"""All runs of a project in one list: those that are kept, those on the stack that is up, and those of a deployment."""

import time
from collections.abc import Callable

import msgspec

from harness.aws.errors import aws_errors
from harness.errors import HarnessError
from harness.history.folder import history_root
from harness.runs.catalogue import RunEntry, entries_at, kept_entries
from harness.runs.harvest import harvest
from harness.runs.places import placed_runs
from harness.runs.run_target import RunTarget
from harness.runs.selection import with_differences
from harness.runs.standing import StandingFolder
from harness.settings import Settings
from training.errors import TrainingError


def all_runs(
    settings: Settings, target: RunTarget | None, note: Callable[[str], None] = lambda _line: None
) -> list[RunEntry]:
    """Return all runs, the oldest first; keep those of the stack that have ended and are not kept yet.

    Args:
        settings: The project's settings.
        target: The stack that is up, or a deployment; None for kept runs alone.
        note: Called with a line for each run that cannot be kept.
    """
    if target is not None and target.stack is not None:
        harvest(settings, target, note)
    entries = {entry.run_id: entry for entry in kept_entries(history_root(settings))}
    if target is not None:
        for entry in _placed(settings, target, set(entries)):
            entries.setdefault(entry.run_id, entry)
    return with_differences(sorted(entries.values(), key=lambda entry: (entry.started_at, entry.run_id)))


def _placed(settings: Settings, target: RunTarget, kept: set[str]) -> list[RunEntry]:
    """Return the runs in the buckets of a stack or a deployment that are not kept."""
    placed = placed_runs(target, kept)
    with aws_errors("reading the runs"):
        found = {
            entry.run_id: entry for entry in entries_at(target.clients.s3, [(run.bucket, run.run_id) for run in placed])
        }
    entries = []
    for run in placed:
        entry = msgspec.structs.replace(
            found[run.run_id], started_at=run.stored_at, target="local" if target.stack is not None else target.mode
        )
        if entry.status in {"unfinished", "failed"} and run.stored_at:
            entry = _under_way(entry, StandingFolder(target, run.bucket, run.run_id, settings))
        entries.append(entry)
    return entries


def _under_way(entry: RunEntry, folder: StandingFolder) -> RunEntry:
    """Return the entry of a run without a result, with its status."""
    try:
        status = folder.status()
    except (HarnessError, TrainingError):
        return entry
    seconds = time.time() - entry.started_at if status == "running" else entry.seconds
    return msgspec.structs.replace(entry, status=status, seconds=seconds)
