"""A study before its first trial: its plan checked, its data partitioned once, and what follows from the data."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from harness.errors import HarnessError
from harness.runs.data import prepare_data
from harness.runs.prepared import PreparedRun, choices_of, prepare_run, with_keys, with_model, with_world_size
from harness.runs.run_target import RunTarget
from harness.settings import Settings
from harness.tune.default_space import default_space
from harness.tune.draws import Params, combinations, draw_trials
from harness.tune.halving import Rung, rungs
from harness.tune.metric import check_metric, check_name, rows_of
from harness.tune.records import StudyPlan, StudyRecord
from harness.tune.space import Space, ends, format_value
from training.errors import TrainingError
from training.job import check_field
from training.model.catalogue import MODELS, row_of

# Trials that differ in one of these have methods that differ: each chooses its own, as a run does.
_DECIDING = ("model", "optim", "optimiser", "sync_mode", "loss")
# Data that is known to hold classes or targets before it is read.
_KNOWN_DATA = ("synthetic", "sklearn:")
USUAL_TRIALS, FEWEST_REDUCTIONS = 20, 2


@dataclass(frozen=True, slots=True)
class Resolved:
    """A study whose data is known.

    Attributes:
        record: Its record, complete.
        common: The run that all its trials have in common, with its number of workers.
        data: The partitions, as the bucket and their folder in it.
        drawn: The searched keys of all its trials.
        plan: The rungs; a single one, of all trials and without a number of epochs, for a random search.
    """

    record: StudyRecord
    common: PreparedRun
    data: tuple[str, str]
    drawn: list[Params]
    plan: list[Rung]


def check_plan(plan: StudyPlan, n_trials: int | None, settings: Settings) -> tuple[PreparedRun, int]:
    """Refuse a study of which a trial would be refused, as far as that does not depend on its data.

    Args:
        plan: The study.
        n_trials: How many trials it is to have; None for the usual number, or fewer if the space has fewer.
        settings: The project's settings.

    Returns:
        The run that all its trials have in common, and the number of trials.

    Raises:
        HarnessError: Something is wrong with its space, its metric or a drawn combination.
        TrainingError: A key that all trials have is wrong.
    """
    common = prepare_run(
        plan.data, None, plan.event, settings=settings, options=plan.table, missing_is_ours=plan.missing_is_ours
    )
    for key, dimension in plan.space.items():
        for value in ends(dimension):
            check_field(key, value)
    _check_models(plan, common)
    check_name(plan.metric)
    if "model" in common.event or plan.data is None or plan.data.startswith(_KNOWN_DATA):
        check_metric(plan.metric, common.job, plan.space)
    if plan.reduction is not None:
        _check_halving(plan, common)
    wanted = n_trials or int(min(USUAL_TRIALS, combinations(plan.space, common.event) if plan.space else math.inf))
    if plan.space:
        _check_trials(common, draw_trials(plan.space, common.event, plan.seed, wanted))
    return common, wanted


def resolve(record: StudyRecord, common: PreparedRun, target: RunTarget, note: Callable[[str], None]) -> Resolved:
    """Partition a study's data, and return the study with what follows from it.

    Args:
        record: The study.
        common: The run that all its trials have in common.
        target: Where they run.
        note: Called with lines about the data that the user must see.

    Raises:
        HarnessError: The data has changed since the first trials, or a trial would be refused.
        TrainingError: The data is wrong.
    """
    plan = record.plan
    sized = with_world_size(common, target.clients.s3)
    data = prepare_data(sized.data, sized.job, target.clients.s3, target.bucket)
    sha256 = data.manifest.sha256 if data.manifest is not None else ""
    sized = with_model(sized, data.manifest)
    for line in data.notes:
        note(line)
    check_metric(plan.metric, sized.job, plan.space)
    chosen = choices_of(sized, data)
    model_sha256 = str(sized.event.get("model_sha256", ""))
    for what, before, now in (("data", record.data_sha256, sha256), ("model", record.model_sha256, model_sha256)):
        if before not in ("", now):
            raise HarnessError(
                f"the {what} of study {record.name} has changed since its first trials",
                f"sha256 {before[:12]}... before, {now[:12]}... now",
                "begin another study with --name",
            )
    space = record.space or plan.space or default_space(sized.job, chosen, plan.event)
    method = record.method or _method(space, chosen)
    common = with_keys(sized, method)
    drawn = draw_trials(space, common.event, plan.seed, record.n_trials)
    _check_trials(common, drawn)
    ladder, epochs = [Rung(0, record.n_trials)], record.epochs
    if plan.reduction is not None:
        epochs = epochs or _epochs(sized, chosen)
        ladder = rungs(record.n_trials, epochs, plan.reduction)
    complete = msgspec.structs.replace(
        record,
        space=space,
        method=method,
        epochs=epochs,
        rows=rows_of(sized.job),
        data_sha256=sha256 or record.data_sha256,
        model_sha256=model_sha256,
    )
    return Resolved(complete, common, (data.bucket, data.prefix), drawn, ladder)


def resource_of(optim: str) -> str:
    """Return the key that says how long a trial trains."""
    return "n_admm_epochs" if optim == "admm" else "n_epochs"


def describe_params(params: Mapping[str, Any]) -> str:
    """Return a trial's searched keys in one line."""
    return " ".join(f"{key}={format_value(value)}" for key, value in params.items())


def _method(space: Space, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that a run without the search would have of its data, and that all trials get.

    A run for which somebody has set `lr`, for example, chooses no method; a trial has the method nevertheless.
    """
    if any(key in space for key in _DECIDING):
        return {}
    return {key: value for key, value in chosen.items() if key not in space}


def _epochs(run: PreparedRun, chosen: Mapping[str, Any]) -> int:
    resource = resource_of(run.job.optim)
    epochs: int = chosen.get(resource, getattr(run.job, resource))
    return epochs


def _check_halving(plan: StudyPlan, common: PreparedRun) -> None:
    if plan.reduction is not None and plan.reduction < FEWEST_REDUCTIONS:
        raise HarnessError(f"--reduction is {plan.reduction}", remedy=f"set {FEWEST_REDUCTIONS} or more")
    if row_of(common.job.model).is_clustering:
        raise HarnessError(
            "k-means ends when its clusters have settled, not after some epochs",
            f"--halving with model={common.job.model}",
            "leave --halving out",
        )
    for key in ("n_epochs", "n_admm_epochs", "optim"):
        if key in plan.space:
            raise HarnessError(
                f"{key} is searched, and --halving sets the epochs itself", remedy="leave one of them out"
            )
    resource = resource_of(common.job.optim)
    if resource in plan.event:
        assert plan.halved_trials is not None  # noqa: S101 - for the type checker
        rungs(plan.halved_trials, plan.event[resource], plan.reduction or FEWEST_REDUCTIONS)


def _check_models(plan: StudyPlan, common: PreparedRun) -> None:
    """Refuse models that read the data in different forms."""
    for model in ends(plan.space["model"]) if "model" in plan.space else []:
        if model not in MODELS:
            raise HarnessError(
                f"model={model} is none of the catalogue's",
                "--search model=...",
                f"search among {', '.join(MODELS)}, or tune a model of your own by itself, with --model",
            )
        data_type = common.job.dataset_type or row_of(str(model)).data_types[0]
        if data_type != common.job.data_type:
            raise HarnessError(
                f"model={model} takes {data_type} and model={common.job.model} takes {common.job.data_type}",
                "--search model=...",
                "set --dataset-type to one that all take, or search models of one type",
            )


def _check_trials(common: PreparedRun, drawn: Sequence[Params]) -> None:
    """Refuse a study if any of its trials would be refused."""
    for number, params in enumerate(drawn):
        try:
            with_keys(common, params)
        except (HarnessError, TrainingError) as error:
            raise HarnessError(
                f"the search space has combinations that no run can have: {str(error).splitlines()[0]}",
                f"trial {number}: {describe_params(params)}",
                "search fewer values, or fix one of these keys",
            ) from error
