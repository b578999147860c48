"""What a study keeps and what it tells: its plan, its trials, and the table of both."""

from typing import Any, Literal

import msgspec

from harness.datasets.tables.spec import DEFAULT_OPTIONS, TableOptions
from harness.tune.space import Space

VERSION = 1

TrialState = Literal["finished", "halved", "failed", "running", "interrupted", "waiting"]


class TrialPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where trials run, as the command line says it.

    Attributes:
        s3: What emulates S3; None for that of the settings.
        mode: How functions run; None for that of the stack.
        target: A deployment's kind; None for a stack on this machine.
        stack: The deployment's name.
        region: The deployment's region; None for the profile's.
        expect_account: The only account to accept; None for any.
        timeout_s: Time limit of a worker; None for that of the settings.
        memory_mb: Memory of a worker; None for that of the settings.
    """

    s3: Literal["localstack", "moto"] | None = None
    mode: Literal["process", "container"] | None = None
    target: Literal["aws", "rehearsal"] | None = None
    stack: str = "lambda-harness"
    region: str | None = None
    expect_account: str | None = None
    timeout_s: int | None = None
    memory_mb: int | None = None


class StudyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a study searches: everything that decides its trials, and that a resumed study must have in common.

    Attributes:
        folder: The folder in which the command was given; paths are relative to it.
        data: The data as `--data` names it; None for the default.
        table: What the columns of a table are for.
        missing_is_ours: Whether the user says nothing about missing values of tables, so that they are those of a run.
        event: The keys that all trials have.
        space: The search space as the user gave it; empty for the default space of the model.
        metric: The figure that decides.
        seed: The seed of the drawn trials.
        reduction: With successive halving, the share of trials that goes on is 1 / reduction; None for random search.
        halved_trials: With successive halving, the number of trials, on which the rungs depend; None otherwise.
        place: Where trials run.
    """

    folder: str
    data: str | None
    event: dict[str, Any]
    space: Space
    table: TableOptions = DEFAULT_OPTIONS
    missing_is_ours: bool = False
    metric: str
    seed: int
    reduction: int | None = None
    halved_trials: int | None = None
    place: TrialPlace = TrialPlace()


class StudyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A study's own file.

    Attributes:
        version: The form of this file.
        name: The study's name.
        plan: What it searches.
        n_trials: How many trials it is to have.
        created_at: When it was made, in ISO 8601, UTC.
        space: The search space, as it was resolved by the data; empty until then.
        method: Keys that are neither set nor searched, as `harness run` chooses them for the data; the same for all
            trials, and empty if a searched key decides on the method.
        epochs: With successive halving, the epochs of the last rung, as they were resolved by the data.
        rows: Which rows the values are measured on: `validation` or `training`; empty until the data is known.
        data_sha256: Digest of the data that the trials so far have seen; empty for partitions without a manifest.
        model_sha256: Digest of the source of a user's own model; empty for a model of the catalogue.
    """

    version: int = VERSION
    name: str
    plan: StudyPlan
    n_trials: int
    created_at: str
    space: Space = {}
    method: dict[str, Any] = {}
    epochs: int | None = None
    rows: str = ""
    data_sha256: str = ""
    model_sha256: str = ""


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a trial; with successive halving a trial has one on each rung that it reaches.

    Attributes:
        run_id: The run.
        value: The metric of its model.
        epochs: The epochs that it trained.
        seconds: From the invocation of its coordinator to its last result.
        loss: The objective on the training rows.
        accuracy: The accuracy on the training rows; None where there is none.
        validation: The figures on the validation rows; None where there are none.
        sha256: Digest of its model.
        job: The keys with which `harness run --job` trains the same model.
    """

    run_id: str
    value: float
    epochs: int
    seconds: float
    loss: float
    accuracy: float | None
    validation: dict[str, Any] | None
    sha256: str
    job: dict[str, Any]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One trial.

    Attributes:
        number: Its number, from 0, the same in Optuna.
        state: `finished`; `halved` if others were better on its last rung; `failed`; `running` or `interrupted` if
            it has begun and not ended, the latter when no command works on the study; `waiting` if it has not begun.
        params: The searched keys.
        value: The metric of its last run; None if it has none.
        epochs: The epochs of its last run.
        seconds: The time of all its runs.
        cause: Why it failed; empty otherwise.
        runs: Its runs.
    """

    number: int
    state: TrialState
    params: dict[str, Any]
    value: float | None = None
    epochs: int | None = None
    seconds: float = 0.0
    cause: str = ""
    runs: list[RunRecord] = []


class StudyTable(msgspec.Struct, frozen=True, kw_only=True):
    """A study as `--json` prints it.

    Attributes:
        name: The study.
        metric: The figure that decides.
        rows: Which rows it is measured on: `validation` or `training`.
        direction: `minimize` or `maximize`.
        space: The search space, as it is written on the command line.
        data: The data as `--data` names it; None for the default.
        n_trials: How many trials it is to have.
        trials: Those that have begun, by number.
        best: The number of the best trial; None if none has finished.
        best_job: The keys with which `harness run --job` trains the best model; None if no trial has finished.
        best_sha256: Digest of that model; empty if no trial has finished.
        storage: The file that Optuna and its dashboard open.
    """

    name: str
    metric: str
    rows: str
    direction: str
    space: dict[str, str]
    data: str | None
    n_trials: int
    trials: list[Trial]
    best: int | None
    best_job: dict[str, Any] | None
    best_sha256: str
    storage: str
