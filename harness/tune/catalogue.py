"""The studies of a project, one line each."""

import msgspec

from harness.errors import HarnessError
from harness.settings import Settings
from harness.tune.folder import is_worked_on, read_study, study_names
from harness.tune.table import is_complete, read_table


class StudyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One study.

    Attributes:
        name: The study.
        state: `complete`; `running` while a command works on it; `interrupted` otherwise; `damaged` if its files are.
        n_trials: How many trials it is to have.
        ended: How many have ended.
        failed: How many of them have failed.
        metric: The figure that decides.
        best: Its best value so far; None if no trial has finished.
        data: The data as `--data` names it; None for the default.
        created_at: When it was made, in ISO 8601, UTC.
    """

    name: str
    state: str
    n_trials: int = 0
    ended: int = 0
    failed: int = 0
    metric: str = ""
    best: float | None = None
    data: str | None = None
    created_at: str = ""


def list_entries(settings: Settings) -> list[StudyEntry]:
    """Return all studies of a project, the newest last."""
    entries = [_entry(settings, name) for name in study_names(settings)]
    return sorted(entries, key=lambda entry: (entry.created_at, entry.name))


def _entry(settings: Settings, name: str) -> StudyEntry:
    try:
        record = read_study(settings, name)
        table = read_table(settings, record)
    except HarnessError:
        return StudyEntry(name=name, state="damaged")
    states = [trial.state for trial in table.trials]
    working = is_worked_on(settings, name)
    return StudyEntry(
        name=name,
        state="running" if working else "complete" if is_complete(table) else "interrupted",
        n_trials=record.n_trials,
        ended=sum(state in ("finished", "halved", "failed") for state in states),
        failed=states.count("failed"),
        metric=record.plan.metric,
        best=None if table.best is None else table.trials[table.best].value,
        data=record.plan.data,
        created_at=record.created_at,
    )
