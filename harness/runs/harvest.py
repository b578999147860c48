"""Runs that nobody followed to their end are kept too: those that were invoked by hand, while their stack is up."""

import threading
from collections.abc import Callable

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harness.errors import HarnessError
from harness.history.folder import history_root, kept_runs
from harness.history.keeping import keep_run
from harness.history.limits import forgotten
from harness.history.records import FINAL
from harness.runs.places import placed_runs, stack_place
from harness.runs.run_target import RunTarget
from harness.runs.standing import Gathered, StandingFolder
from harness.settings import Settings
from training.errors import TrainingError

LAST_RUNS_WITHIN_S = 60.0
CUT_OFF = "its stack was stopped before it had finished"


def harvest(
    settings: Settings, target: RunTarget, note: Callable[[str], None] = lambda _line: None, *, closing: bool = False
) -> list[str]:
    """Keep the runs in a stack's buckets that have ended and are not kept yet.

    Args:
        settings: The project's settings.
        target: The stack.
        note: Called with a line for each run that cannot be kept.
        closing: Whether the stack is about to go: runs that are under way are kept too, as `unfinished`.

    Returns:
        The runs that were kept.
    """
    if not settings.history.keep:
        return []
    root = history_root(settings)
    known = {folder.run_id: folder.record() for folder in kept_runs(root)}
    over = {run_id for run_id, record in known.items() if record is not None and record.status in FINAL}
    over |= set(forgotten(root))
    done = []
    for run in placed_runs(target, over):
        if not run.stored_at:
            continue
        folder = StandingFolder(target, run.bucket, run.run_id, settings)
        try:
            if keep_standing(folder, settings, closing=closing):
                done.append(run.run_id)
        except (HarnessError, TrainingError, BotoCoreError, ClientError) as error:
            note(f"warning: run {run.run_id} is not kept: {str(error).splitlines()[0]}")
    return done


def keep_last_runs(settings: Settings, note: Callable[[str], None]) -> None:
    """Keep what a stack has of runs before it is stopped; a stack that does not answer is not waited for.

    Args:
        settings: The project's settings.
        note: Called with a line for each run that cannot be kept.
    """

    def keep() -> None:
        try:
            target = stack_place(settings)
            if target is not None:
                harvest(settings, target, note, closing=True)
        except (HarnessError, TrainingError):  # a damaged stack is stopped all the same
            return

    if not settings.history.keep:
        return
    keeper = threading.Thread(target=keep, name="keeper", daemon=True)
    keeper.start()
    keeper.join(LAST_RUNS_WITHIN_S)
    if keeper.is_alive():
        note(f"warning: the stack's S3 does not answer within {LAST_RUNS_WITHIN_S:.0f} s; its last runs are not kept")


def keep_standing(folder: StandingFolder, settings: Settings, *, closing: bool = False) -> Gathered | None:
    """Keep a run where it took place; None if it is still under way.

    Args:
        folder: Its folder.
        settings: The project's settings.
        closing: Whether to keep a run that is under way, too, as `unfinished`.

    Raises:
        HarnessError: The folder is no run's, or it cannot be kept.
        TrainingError: S3 does not answer, or the job is not one of this version.
    """
    found = folder.gathered()
    record = found.record
    if record.status == "running":
        if not closing:
            return None
        record = msgspec.structs.replace(record, status="unfinished", cause=CUT_OFF, error=[CUT_OFF])
    keep_run(
        settings,
        folder,
        record,
        summary=found.summary,
        lines=found.lines,
        invocations=found.invocations,
        replace=False,
    )
    return found
