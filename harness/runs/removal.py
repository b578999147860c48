"""Kept runs, removed because their user says so."""

import time
from collections.abc import Sequence
from contextlib import suppress

from harness.errors import HarnessError
from harness.history.folder import KeptFolder, history_root, kept_runs
from harness.history.limits import forget, remove_runs
from harness.history.names import match_run
from harness.runs.places import placed_runs, stack_place
from harness.settings import Settings
from harness.system.disk import writing_into
from training.errors import TrainingError
from training.run.results import RunFolder


def chosen_runs(
    settings: Settings, names: Sequence[str], *, older_than_s: float | None = None, failed: bool = False
) -> list[KeptFolder]:
    """Return the kept runs that a user wants removed.

    Args:
        settings: The project's settings.
        names: The runs, by their ids or the beginnings of these; none for all that satisfy the conditions.
        older_than_s: Only runs that began longer ago than this.
        failed: Only runs that did not succeed.

    Raises:
        HarnessError: A name is none of a kept run.
    """
    root = history_root(settings)
    kept = {folder.run_id: folder for folder in kept_runs(root)}
    if names:
        found = [match_run(name, list(kept), f"looked in {root}") for name in names]
        return [kept[run_id] for run_id in dict.fromkeys(found)]
    now = time.time()
    chosen = []
    for folder in kept.values():
        record = folder.record()
        began = record.started_at if record else folder.path.stat().st_mtime
        status = record.status if record else "damaged"
        old_enough = older_than_s is None or now - began > older_than_s
        if old_enough and status != "running" and not (failed and status == "succeeded"):
            chosen.append(folder)
    return chosen


def remove_kept(settings: Settings, runs: Sequence[KeptFolder]) -> list[str]:
    """Remove kept runs, also from the S3 of the stack that is up, which would otherwise be kept again.

    Returns:
        The ids of the runs that were removed.

    Raises:
        HarnessError: A folder cannot be removed.
    """
    root = history_root(settings)
    removed = [run.run_id for run in runs]
    with writing_into(root):
        remove_runs(runs)
        if removed:
            forget(root, removed)
    with suppress(HarnessError, TrainingError):  # without a stack, there is nothing else to remove
        _remove_from_stack(settings, set(removed))
    return removed


def _remove_from_stack(settings: Settings, run_ids: set[str]) -> None:
    target = stack_place(settings) if run_ids else None
    if target is None:
        return
    for run in placed_runs(target):
        if run.run_id in run_ids:
            folder = RunFolder(target.clients.s3, run.bucket, run.run_id)
            folder.delete(folder.names(""))
