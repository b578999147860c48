"""The figure by which trials are compared: its direction, and where a run's summary has it.

It is measured as that of early stopping: on the validation rows if there are any, else on the training rows.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

import msgspec

from harness.errors import HarnessError
from harness.runs.summary import Summary
from harness.tune.space import Space, ends
from training.algorithm.early_stopping import LARGER_IS_BETTER
from training.job import Job
from training.job_fields import StopMetric
from training.matrix import METRIC_LOSSES
from training.model.catalogue import loss_of, row_of
from training.model.loss_kinds import LossKind

METRICS: tuple[str, ...] = get_args(StopMetric)

Direction = Literal["minimize", "maximize"]
Rows = Literal["validation", "training"]


def direction_of(metric: str) -> Direction:
    """Return whether less of a metric is better."""
    return "maximize" if metric in LARGER_IS_BETTER else "minimize"


def rows_of(job: Job) -> Rows:
    """Return the rows on which a job's metric is measured."""
    return "validation" if job.valid_ratio > 0 and not row_of(job.model).is_clustering else "training"


def check_name(metric: str) -> None:
    """Refuse a metric that no job has.

    Raises:
        HarnessError: There is none of this name.
    """
    if metric not in METRICS:
        raise HarnessError(f"there is no metric {metric!r}", "--metric", f"take one of {', '.join(METRICS)}")


def check_metric(metric: str, job: Job, space: Space) -> None:
    """Refuse a metric that the job's runs do not have, or that compares trials unfairly.

    Raises:
        HarnessError: It is one of these.
    """
    if row_of(job.model).is_clustering:
        if metric != "loss":
            raise HarnessError(f"a clustering has no {metric}", f"model={job.model}", "set --metric loss")
        if "n_clusters" in space:
            raise HarnessError(
                "more clusters always have less loss, so the search would end at the most",
                "--search n_clusters=...",
                "run each number by itself, and choose by the table",
            )
        return
    for loss in losses_of(job, space):
        if loss not in METRIC_LOSSES[metric]:
            raise HarnessError(
                f"there is no {metric} with loss={loss}",
                f"--metric {metric}",
                f"take one of {', '.join(name for name, having in METRIC_LOSSES.items() if loss in having)}",
            )
    if metric == "loss":
        if len(losses_of(job, space)) > 1:
            raise HarnessError(
                "losses of different kinds cannot be compared", "--search loss=... or model=...", "set another --metric"
            )
        # Validation rows are weighed too, but bear no penalty.
        in_loss = ("class_weights",) if rows_of(job) == "validation" else ("class_weights", "lambda", "penalty")
        unfair = next((key for key in in_loss if key in space), None)
        if unfair:
            raise HarnessError(
                f"the loss contains {unfair}, so trials of different {unfair} cannot be compared by it",
                f"--metric loss on {rows_of(job)} rows",
                "set another --metric" + ("" if unfair == "class_weights" else ", or --valid-ratio above 0"),
            )


def losses_of(job: Job, space: Space) -> set[LossKind]:
    """Return the losses that the trials of a job minimise."""
    models = [str(model) for model in ends(space["model"])] if "model" in space else [job.model]
    # `check_field` sees other names than those of losses.
    losses = [cast("LossKind", loss) for loss in ends(space["loss"])] if "loss" in space else [job.loss]
    return {loss_of(model, loss) for model in models for loss in losses}


def value_of(summary: Summary, metric: str, rows: str) -> float | None:
    """Return the metric of a run's model; None if the run has none."""
    figures: Mapping[str, Any] | None = summary.validation
    if rows == "training" or not figures:
        figures = msgspec.structs.asdict(summary)
    return _figure(figures, metric)


def curve_of(summary: Summary, metric: str, rows: str) -> dict[int, float]:
    """Return the metric after each epoch, as far as the run's epochs have it."""
    figures = {each["epoch"]: each if rows == "training" else each.get("validation") or {} for each in summary.epochs}
    found = {epoch: _figure(each, metric) for epoch, each in figures.items()}
    return {epoch: value for epoch, value in found.items() if value is not None}


def _figure(figures: Mapping[str, Any], metric: str) -> float | None:
    value = figures.get(metric, (figures.get("metrics") or {}).get(metric))
    return float(value) if isinstance(value, int | float) else None
