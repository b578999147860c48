"""Evaluation of an epoch over the rows of all ranks, from sums rather than averages of averages."""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from training.algorithm.epochs import Score, check_finite, penalty_of
from training.algorithm.measuring import measure
from training.data.shard import Shard
from training.errors import InputError
from training.exchange.exchange import Exchange
from training.job import Job
from training.metrics.errors import sum_errors
from training.metrics.hits import count_hits
from training.model.base import Model, Parameters

# The metrics that cost nothing beside the loss.
IN_EVERY_REPORT = ("loss", "accuracy", "rmse")


class Figures(TypedDict):
    """An evaluation over the rows of all ranks; the fields are those of `EpochReport`."""

    loss: float
    accuracy: float | None
    validation: Score | None
    predicted_classes: int | None
    metrics: dict[str, float]


def evaluate(job: Job, model: Model, parameters: Parameters, shard: Shard, exchange: Exchange) -> Figures:
    """Evaluate the parameters on the rows of all ranks.

    Raises:
        InputError: The loss is no longer finite.
    """
    if job.task == "regression":
        figures = _of_targets(model, parameters, shard, exchange)
    else:
        figures = _of_classes(model, parameters, shard, exchange)
    figures["loss"] += penalty_of(job, model).loss(parameters)
    check_finite(figures["loss"], exchange.round, job)
    if job.patience and job.stop_metric not in IN_EVERY_REPORT:
        _measure_metric(job, model, parameters, shard, exchange, figures)
    return figures


def _measure_metric(
    job: Job, model: Model, parameters: Parameters, shard: Shard, exchange: Exchange, figures: Figures
) -> None:
    """Add the metric by which training stops, of the validation rows if there are any.

    Raises:
        InputError: The metric is not defined for these rows.
    """
    of_validation = figures["validation"] is not None
    x, y = (shard.valid_x, shard.valid_y) if of_validation else (shard.x, shard.y)
    value = (measure(job, model, parameters, shard, x, y, exchange) or {}).get(job.stop_metric)
    if value is None:
        raise InputError(
            f"stop_metric={job.stop_metric} is not defined for the {'validation' if of_validation else 'training'} "
            f"rows: {'they are of one class' if job.task == 'classification' else 'their targets are equal'}\n"
            "raise valid_ratio, or take another stop_metric"
        )
    found = figures["validation"].metrics if figures["validation"] else figures["metrics"]
    found[job.stop_metric] = value


def _of_classes(model: Model, parameters: Parameters, shard: Shard, exchange: Exchange) -> Figures:
    training = count_hits(model, parameters, shard.x, shard.y)
    valid_figures: tuple[float, int, int] = (0.0, 0, 0)
    if len(shard.valid_y):
        valid_figures = count_hits(model, parameters, shard.valid_x, shard.valid_y)[:3]
    sums = _added([*training[:3], *valid_figures, *training.predicted], training.samples, exchange)
    loss, correct, rows, valid_loss, valid_correct, valid_rows = sums[:6].tolist()
    return Figures(
        loss=loss / rows,
        accuracy=correct / rows,
        validation=Score(valid_loss / valid_rows, valid_correct / valid_rows) if valid_rows else None,
        predicted_classes=int(np.count_nonzero(sums[6:])),
        metrics={},
    )


def _of_targets(model: Model, parameters: Parameters, shard: Shard, exchange: Exchange) -> Figures:
    training = sum_errors(model, parameters, shard.x, shard.y)
    validation = sum_errors(model, parameters, shard.valid_x, shard.valid_y)
    sums = _added([*training, *validation], training.samples, exchange)
    loss, squares, rows, valid_loss, valid_squares, valid_rows = sums.tolist()
    unit = shard.target.scale if shard.target else 1.0
    return Figures(
        loss=loss / rows,
        accuracy=None,
        validation=Score(valid_loss / valid_rows, None, {"rmse": unit * (valid_squares / valid_rows) ** 0.5})
        if valid_rows
        else None,
        predicted_classes=None,
        metrics={"rmse": unit * (squares / rows) ** 0.5},
    )


def _added(part: list[float], samples: int, exchange: Exchange) -> NDArray[np.float64]:
    return np.asarray(exchange.all_reduce(np.array(part, np.float64), samples).values, np.float64)
