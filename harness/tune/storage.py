"""A study's trials in Optuna's storage: a journal file, which `optuna.load_study` and optuna-dashboard open.

A trial is one of Optuna's with the same number and state RUNNING until it ends, also over an interruption.
With successive halving it reports a value on each rung, with the epochs as the step, and is PRUNED where others are
better; otherwise it reports its value after every epoch.
Only one command writes, see `harness.tune.folder`.
"""

import os
from pathlib import Path
from typing import Any

import msgspec
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import Trial as LiveTrial
from optuna.trial import TrialState as OptunaState

from harness.errors import HarnessError
from harness.system.disk import writing_into
from harness.tune.draws import Params
from harness.tune.folder import STORAGE_FILE
from harness.tune.metric import Direction
from harness.tune.records import RunRecord, Trial

# The least that Optuna takes without a warning: a command that was killed may have left its lock behind.
LOCK_GRACE_S = 3
RUN, CAUSE = "run:{}", "cause"
# A curve in the dashboard needs no more points, and each is a write to the disk.
MOST_POINTS = 50

optuna.logging.set_verbosity(optuna.logging.ERROR)


class TrialStore:
    """The trials of one study, for the command that works on it.

    Args:
        folder: The study's folder.
        name: Its name.
        direction: Whether less is better.
        pruner: What Optuna asks whether a trial is to end.

    Raises:
        HarnessError: The file is damaged, or cannot be written to.
    """

    def __init__(self, folder: Path, name: str, direction: Direction, pruner: BasePruner) -> None:
        self.file = folder / STORAGE_FILE
        _cut_torn_line(self.file)
        lock = JournalFileSymlinkLock(str(self.file), grace_period=LOCK_GRACE_S)
        try:
            storage = JournalStorage(JournalFileBackend(str(self.file), lock_obj=lock))
            self._study = optuna.create_study(
                study_name=name,
                storage=storage,
                direction=direction,
                sampler=optuna.samplers.RandomSampler(),
                pruner=pruner,
                load_if_exists=True,
            )
        except (ValueError, KeyError) as error:
            raise _damaged(self.file, error) from error
        self.file.chmod(0o600)

    def start(self, number: int, params: Params, distributions: dict[str, BaseDistribution]) -> None:
        """Record that a trial begins, unless it had begun before.

        Args:
            number: Its number; those before it have begun.
            params: Its searched keys.
            distributions: Those of all keys of the space.
        """
        if number < len(self._study.get_trials(deepcopy=False)):
            return
        used = {key: distributions[key] for key in params}
        with writing_into(self.file.parent):
            self._study.add_trial(create_trial(state=OptunaState.RUNNING, params=params, distributions=used))

    def report(self, number: int, run: RunRecord, curve: dict[int, float]) -> None:
        """Record a run of a trial.

        Args:
            number: The trial.
            run: Its run.
            curve: The metric by epoch; Optuna calls the epoch a step.
        """
        trial = self._live(number)
        reported = self.frozen(number).intermediate_values
        with writing_into(self.file.parent):
            trial.set_user_attr(RUN.format(run.epochs), msgspec.to_builtins(run))
            for step in _some(sorted(curve)):
                if step not in reported:
                    trial.report(curve[step], step)

    def should_prune(self, number: int) -> bool:
        """Return whether the pruner ends a trial."""
        return self._live(number).should_prune()

    def finish(self, number: int, value: float) -> None:
        """Record that a trial has ended with a value."""
        with writing_into(self.file.parent):
            self._study.tell(number, value)

    def prune(self, number: int) -> None:
        """Record that a trial goes on no further, as others were better."""
        with writing_into(self.file.parent):
            self._study.tell(number, state=OptunaState.PRUNED)

    def fail(self, number: int, cause: str) -> None:
        """Record that a trial has failed."""
        with writing_into(self.file.parent):
            self._live(number).set_user_attr(CAUSE, cause)
            self._study.tell(number, state=OptunaState.FAIL)

    def frozen(self, number: int) -> FrozenTrial:
        """Return a trial in Optuna's form."""
        return self._study.get_trials(deepcopy=False)[number]

    def trials(self) -> list[Trial]:
        """Return all trials that have begun; those without an end are running."""
        return [_trial(each, worked_on=True) for each in self._study.get_trials(deepcopy=False)]

    def _live(self, number: int) -> LiveTrial:
        return LiveTrial(self._study, self.frozen(number)._trial_id)  # noqa: SLF001 - as Optuna's own `ask` does


def read_trials(folder: Path, name: str, *, worked_on: bool) -> list[Trial]:
    """Return all trials of a study that have begun, and change nothing.

    Args:
        folder: The study's folder.
        name: Its name.
        worked_on: Whether a command works on it, so that a trial without an end is running.

    Raises:
        HarnessError: The file is damaged.
    """
    file = folder / STORAGE_FILE
    if not file.is_file():
        return []
    try:
        study = optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(file))))
        return [_trial(each, worked_on=worked_on) for each in study.get_trials(deepcopy=False)]
    except KeyError:  # a command was killed before it could write anything
        return []
    except (ValueError, msgspec.ValidationError) as error:
        raise _damaged(file, error) from error


def _trial(found: FrozenTrial, *, worked_on: bool) -> Trial:
    runs = [msgspec.convert(value, RunRecord) for key, value in found.user_attrs.items() if key.startswith("run:")]
    runs.sort(key=lambda run: run.epochs)
    last = runs[-1] if runs else None
    states: dict[OptunaState, Any] = {
        OptunaState.COMPLETE: "finished",
        OptunaState.PRUNED: "halved",
        OptunaState.FAIL: "failed",
        OptunaState.WAITING: "waiting",
        OptunaState.RUNNING: "running" if worked_on else "interrupted",
    }
    return Trial(
        number=found.number,
        state=states[found.state],
        params=dict(found.params),
        value=last.value if last else None,
        epochs=last.epochs if last else None,
        seconds=sum(run.seconds for run in runs),
        cause=str(found.user_attrs.get(CAUSE, "")),
        runs=runs,
    )


def _some(steps: list[int]) -> list[int]:
    every = -(-len(steps) // MOST_POINTS) or 1
    return [step for index, step in enumerate(steps) if index % every == 0 or index == len(steps) - 1]


def _cut_torn_line(file: Path) -> None:
    """Remove an unfinished last line, which a killed command or a full disk leaves, and which nothing can follow."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return
    if content and not content.endswith(b"\n"):
        os.truncate(file, content.rfind(b"\n") + 1)


def _damaged(file: Path, error: Exception) -> HarnessError:
    return HarnessError(f"the study's trials cannot be read: {error}", str(file), f"remove {file.parent}")
