"""A study from its plan to its table: rung by rung, trials run, are recorded, and go on or end."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from optuna.pruners import BasePruner, NopPruner

from harness.errors import HarnessError
from harness.runs.coordinator import check_concurrency, runs_at_once
from harness.runs.prepared import PreparedRun
from harness.runs.progress import Progress
from harness.runs.run_target import RunTarget
from harness.runs.summary import Summary
from harness.runs.worker import worker_function
from harness.settings import Settings
from harness.tune.draws import Params, distributions_of
from harness.tune.folder import save_study
from harness.tune.halving import Rung, SynchronousHalving
from harness.tune.metric import curve_of, direction_of, value_of
from harness.tune.records import RunRecord, StudyRecord, StudyTable, Trial
from harness.tune.resolution import Resolved, resolve, resource_of
from harness.tune.storage import TrialStore
from harness.tune.table import table_of
from harness.tune.trial_runs import Ended, Task, TrialRuns

USUAL_TRIALS_ON_AWS = 4


class StudyView(Protocol):
    """What shows a study while it runs."""

    def stage(self, name: str) -> None:
        """Show what the study does before its first trial."""

    def note(self, text: str) -> None:
        """Show a line that stays."""

    def began(self, number: int, params: Params, epochs: int | None) -> None:
        """Show that a trial begins, or begins a rung."""

    def watch(self, number: int, progress: Progress) -> None:
        """Show the progress of a trial's run; called from several threads."""

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """Show that a trial has ended its run, and the best one so far."""

    def plan(self, record: StudyRecord, rungs: Sequence[Rung], at_once: int, before: Sequence[Trial]) -> None:
        """Show what the study is about to do, and the trials that an earlier command began."""


def run_study(
    record: StudyRecord,
    common: PreparedRun,
    settings: Settings,
    target: RunTarget,
    *,
    folder: Path,
    at_once: int | None,
    most_workers: int | None,
    view: StudyView,
) -> StudyTable:
    """Run the trials of a study that have not ended, and return its table.

    Args:
        record: The study.
        common: The run that all its trials have in common.
        settings: The project's settings.
        target: Where they run.
        folder: The study's folder, held by this command.
        at_once: How many trials run at once; None for as many as there is room for.
        most_workers: How many workers run at once; None for as many as there is room for.
        view: What shows it.

    Raises:
        HarnessError: The study cannot be run.
        TrainingError: Its data is wrong.
    """
    view.stage("preparing data")
    resolved = resolve(record, common, target, view.note)
    view.stage("making functions ready")
    job, settings = resolved.common.job, resolved.common.settings_of(settings)
    worker = worker_function(settings, job)
    target.make_ready(worker, settings, view.stage)
    check_concurrency(target.clients, worker, job.n_workers)
    allowed = runs_at_once(target.clients, worker, job.n_workers)
    width = _width(at_once, most_workers, job.n_workers, allowed, here=target.stack is not None)
    # From here on, there is something to resume.
    save_study(settings, resolved.record)
    study = _Study(resolved, open_store(folder, resolved), view)
    view.plan(resolved.record, resolved.plan, width, study.table().trials)
    runs = TrialRuns(resolved.common, settings, target, width, view.watch)
    with _resumable(study, view):
        for rung in resolved.plan:
            runs.run(study.tasks(rung), study.begin, study.end)
            study.end_rung(rung)
    return study.table()


def open_store(folder: Path, resolved: Resolved) -> TrialStore:
    """Open the trials of a study whose data is known."""
    record = resolved.record
    pruner: BasePruner = SynchronousHalving(resolved.plan) if record.plan.reduction else NopPruner()
    return TrialStore(folder, record.name, direction_of(record.plan.metric), pruner)


class _Study:
    """The trials of a study that runs, and what becomes of each."""

    def __init__(self, resolved: Resolved, store: TrialStore, view: StudyView) -> None:
        self.record, self._drawn, self._view, self._store = resolved.record, resolved.drawn, view, store
        self._common, self._data = resolved.common, resolved.data
        self._distributions = distributions_of(self.record.space)
        self._halving = self.record.plan.reduction is not None
        self._last = resolved.plan[-1]

    def table(self) -> StudyTable:
        """Return the table of the trials that have begun."""
        return table_of(self.record, self._store.trials(), self._store.file)

    def tasks(self, rung: Rung) -> list[Task]:
        """Return the runs of a rung that are still to be done, in the order of the trials."""
        begun = self._store.trials()
        tasks = []
        for number, params in enumerate(self._drawn):
            trial = begun[number] if number < len(begun) else None
            if trial is not None and (trial.state != "running" or self._has_run(trial, rung)):
                continue
            # What was drawn when the trial began counts, should a later version draw otherwise.
            tasks.append(Task(number, self._changes(trial.params if trial else params, rung)))
        return tasks

    def begin(self, task: Task) -> None:
        """Record that a trial begins a run."""
        params = {key: task.changes[key] for key in self._distributions if key in task.changes}
        self._store.start(task.number, params, self._distributions)
        self._view.began(task.number, params, task.changes.get(self._resource) if self._halving else None)

    def end(self, ended: Ended) -> None:
        """Record how a run has ended.

        Raises:
            HarnessError: It had other data than the trials before it.
        """
        number, metric = ended.task.number, self.record.plan.metric
        if ended.summary is not None and self._data != (
            ended.summary.job["data_bucket"],
            ended.summary.job["data_prefix"],
        ):
            raise HarnessError(
                "the data has changed since the study began",
                f"trial {number}",
                "put it back and resume, or begin another study with --name",
            )
        if ended.summary is None:
            self._store.fail(number, (str(ended.error).splitlines() or ["without a word"])[0])
        else:
            value = value_of(ended.summary, metric, self.record.rows)
            if value is None or value != value:  # noqa: PLR0124 - NaN
                self._store.fail(number, f"its {metric} is {'missing' if value is None else 'not a number'}")
            else:
                self._record_run(ended.task, ended.summary, value)
        table = self.table()
        best = next((trial for trial in table.trials if trial.number == table.best), None)
        self._view.ended(table.trials[number], best)

    def end_rung(self, rung: Rung) -> None:
        """End the trials of a rung that others were better than; decided by all of them together."""
        trials = self._store.trials()
        if self._halving and rung != self._last:
            ending = [
                each.number for each in trials if each.state == "running" and self._store.should_prune(each.number)
            ]
            for number in ending:
                self._store.prune(number)

    @property
    def _resource(self) -> str:
        return resource_of(self._common.job.optim)

    def _changes(self, params: Mapping[str, Any], rung: Rung) -> dict[str, Any]:
        return {**params, self._resource: rung.epochs} if self._halving else dict(params)

    def _has_run(self, trial: Trial, rung: Rung) -> bool:
        return self._halving and any(run.epochs >= rung.epochs for run in trial.runs)

    def _record_run(self, task: Task, summary: Summary, value: float) -> None:
        metric, rows = self.record.plan.metric, self.record.rows
        epochs = task.changes[self._resource] if self._halving else len(summary.epochs)
        record = RunRecord(
            run_id=summary.run_id,
            value=value,
            epochs=epochs,
            seconds=round(summary.seconds.total, 3),
            loss=summary.loss,
            accuracy=summary.accuracy,
            validation=summary.validation,
            sha256=summary.model["sha256"],
            job={
                **self.record.plan.event,
                **self.record.method,
                **task.changes,
                **summary.defaults,
                "n_workers": summary.job["n_workers"],
            },
        )
        curve = {epochs: value} if self._halving else curve_of(summary, metric, rows)
        self._store.report(task.number, record, curve)
        if not self._halving or epochs == self._last.epochs:
            self._store.finish(task.number, value)


@contextmanager
def _resumable(study: _Study, view: StudyView) -> Iterator[None]:
    """Say how to go on when the block is left before its end."""
    try:
        yield
    except BaseException as error:
        ended = sum(trial.state not in ("running", "waiting") for trial in study.table().trials)
        # An interruption prints its notes, and an error its own three lines.
        say = view.note if isinstance(error, Exception) else error.add_note
        say(f"{ended} of {study.record.n_trials} trials have ended and are kept")
        say(f"go on with `harness tune --resume {study.record.name}`")
        raise


def check_workers(most_workers: int | None, n_workers: int) -> None:
    """Refuse a bound on workers that a single trial exceeds.

    Raises:
        HarnessError: It does.
    """
    if most_workers is not None and most_workers < n_workers:
        raise HarnessError(
            f"--max-workers is {most_workers}, and each trial has {n_workers} workers",
            remedy=f"set --max-workers {n_workers} or more, or a lower --n-workers",
        )


def _width(at_once: int | None, most_workers: int | None, n_workers: int, allowed: int, *, here: bool) -> int:
    """Return how many trials run at once.

    Raises:
        HarnessError: So many as the user asks for do not fit.
    """
    check_workers(most_workers, n_workers)
    if at_once is not None and at_once > allowed:
        raise HarnessError(
            f"{at_once} trials at once need {at_once * (n_workers + 1)} functions at once, with a coordinator for each",
            f"the concurrency of the account, or of the worker, has room for {allowed} trials",
            f"set --at-once {allowed}, or raise the account's concurrency (account_concurrency in harness.toml)",
        )
    bounds = [allowed]
    if most_workers is not None:
        bounds.append(most_workers // n_workers)
    if at_once is not None:
        bounds.append(at_once)
    if most_workers is None and at_once is None:
        # Workers on this machine share its cores; those of AWS have their own.
        bounds.append(max(1, (os.cpu_count() or 1) // n_workers) if here else USUAL_TRIALS_ON_AWS)
    return min(bounds)
