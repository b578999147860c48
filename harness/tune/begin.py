"""The beginning of a study, or of its resumption: checked before anything is started."""

from datetime import UTC, datetime

import msgspec

from harness.errors import HarnessError
from harness.runs.prepared import PreparedRun
from harness.settings import Settings
from harness.tune.folder import RECORD_FILE, read_study, studies_folder
from harness.tune.records import StudyPlan, StudyRecord
from harness.tune.resolution import check_plan
from harness.tune.space import Dimension, format_dimension
from harness.tune.storage import read_trials
from harness.tune.tuning import check_workers


def begin_study(
    settings: Settings, name: str, plan: StudyPlan, n_trials: int | None, most_workers: int | None
) -> tuple[StudyRecord, PreparedRun]:
    """Check a study, and return its record and the run that all its trials have in common.

    Args:
        settings: The project's settings.
        name: The study, whose folder this command holds.
        plan: What it searches.
        n_trials: How many trials it is to have; None for as many as it has, or the usual number.
        most_workers: The bound on workers at once; None for none.

    Raises:
        HarnessError: A study of this name searches something else, or one of its trials would be refused.
        TrainingError: A key that all trials have is wrong.
    """
    before = read_study(settings, name) if (studies_folder(settings) / name / RECORD_FILE).exists() else None
    if before is not None:
        _check_same(before, plan)
        if before.plan.halved_trials is not None and n_trials not in (None, before.n_trials):
            raise HarnessError(
                f"study {name} has {before.n_trials} trials, on which its rungs depend",
                f"--trials {n_trials} with --halving",
                "begin another study with --name",
            )
    wanted = n_trials or (before.n_trials if before else plan.halved_trials)
    if before is not None and wanted is not None:
        # Those that have begun are trials of the study.
        wanted = max(wanted, len(read_trials(studies_folder(settings) / name, name, worked_on=True)))
    common, wanted = check_plan(plan, wanted, settings)
    check_workers(most_workers, common.job.n_workers)
    record = before or StudyRecord(
        name=name, plan=plan, n_trials=wanted, created_at=datetime.now(UTC).isoformat(timespec="seconds")
    )
    return msgspec.structs.replace(record, n_trials=wanted), common


def _check_same(before: StudyRecord, plan: StudyPlan) -> None:
    """Refuse a name that another search has.

    Raises:
        HarnessError: The plans differ.
    """
    for field in plan.__struct_fields__:
        old, new = getattr(before.plan, field), getattr(plan, field)
        if old == new:
            continue
        what = field.replace("_", " ")
        if isinstance(old, dict) and isinstance(new, dict):
            key = next(key for key in [*old, *new] if old.get(key) != new.get(key))
            what, old, new = f"{what} {key}", old.get(key), new.get(key)
        raise HarnessError(
            f"there is a study {before.name} already, and it searches something else",
            f"its {what}: {_word(old)}; now: {_word(new)}",
            f"take another --name, or go on with it by --resume {before.name}",
        )


def _word(value: object) -> str:
    if isinstance(value, Dimension):
        return format_dimension(value)
    return "none" if value is None else str(msgspec.to_builtins(value))
