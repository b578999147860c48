"""The table of a study: its trials, the best one, and the job that trains its model again."""

from pathlib import Path
from typing import Any

import msgspec

from harness.settings import Settings
from harness.system.disk import not_writable
from harness.tune.draws import job_order
from harness.tune.folder import STORAGE_FILE, is_worked_on, studies_folder
from harness.tune.metric import direction_of
from harness.tune.records import StudyRecord, StudyTable, Trial
from harness.tune.space import format_dimension
from harness.tune.storage import read_trials


def table_of(record: StudyRecord, trials: list[Trial], storage: Path) -> StudyTable:
    """Return the table of a study.

    Args:
        record: The study.
        trials: Those that have begun, by number.
        storage: Optuna's file.
    """
    metric = record.plan.metric
    direction = direction_of(metric)
    best = best_of(trials, direction)
    job = best.runs[-1].job if best else None
    return StudyTable(
        name=record.name,
        metric=metric,
        rows=record.rows,
        direction=direction,
        space={key: format_dimension(dimension) for key, dimension in (record.space or record.plan.space).items()},
        data=record.plan.data,
        n_trials=record.n_trials,
        trials=trials,
        best=best.number if best else None,
        best_job={key: job[key] for key in job_order(job)} if job else None,
        best_sha256=best.runs[-1].sha256 if best else "",
        storage=str(storage),
    )


def read_table(settings: Settings, record: StudyRecord) -> StudyTable:
    """Return the table of a study that another command may be working on.

    Raises:
        HarnessError: Its trials cannot be read.
    """
    folder = studies_folder(settings) / record.name
    trials = read_trials(folder, record.name, worked_on=is_worked_on(settings, record.name))
    return table_of(record, trials, folder / STORAGE_FILE)


def best_of(trials: list[Trial], direction: str) -> Trial | None:
    """Return the best of the finished trials, the first of several; None if none has finished."""
    sign = 1 if direction == "minimize" else -1
    finished = [
        (sign * trial.value, trial.number) for trial in trials if trial.state == "finished" and trial.value is not None
    ]
    return trials[min(finished)[1]] if finished else None


def is_complete(table: StudyTable) -> bool:
    """Return whether all trials of a study have ended."""
    ended = [trial for trial in table.trials if trial.state in ("finished", "halved", "failed")]
    return len(ended) >= table.n_trials


def save_job(job: dict[str, Any], path: Path) -> None:
    """Write a job's keys as JSON, so that a reader sees all of them or an earlier file.

    Raises:
        HarnessError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(job)) + b"\n")
        temporary.replace(path)
    except OSError as error:
        raise not_writable(path, error) from error
