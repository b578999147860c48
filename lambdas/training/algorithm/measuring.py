"""All metrics of some rows over all ranks, from sums: every rank gets the same figures, bit for bit.

    classification     loss, accuracy, precision, recall, f1, auc with auc_error, log_loss, confusion
    regression         loss, rmse, r2

They are computed when training ends, for the validation rows and the test set; while it runs, only what an epoch's
report has, and the metric by which training stops. A metric that is not defined is None: an AUC of rows of one class,
R^2 of equal targets.
Every rank takes part, also one without any such row.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.algorithm.epochs import EpochReport
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import Job
from training.metrics.auc import (
    EXACT_NUMBERS,
    MOST_AUC_CLASSES,
    Auc,
    auc_of_histograms,
    bins_for,
    exact_auc,
    histograms,
    score_columns,
)
from training.metrics.counts import ClassCounts, count, counts_size
from training.metrics.errors import sum_errors
from training.metrics.hits import pieces
from training.model.base import Model, Parameters, Rows, Targets

Float64 = NDArray[np.float64]
Measured = dict[str, Any]

# A probability below this counts as this much in the log loss, as in scikit-learn.
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
# Targets whose standard deviation is below this share of their mean are equal, up to rounding.
EQUAL_TARGETS = 1e-10


class Extremes:
    """The least and the largest score for each class.

    Args:
        n_classes: Number of classes.
    """

    def __init__(self, n_classes: int) -> None:
        self._low, self._high = np.full(n_classes, np.inf), np.full(n_classes, -np.inf)

    def see(self, scores: NDArray[np.float32]) -> None:
        """Take in scores (rows, classes)."""
        self._low = np.minimum(self._low, scores.min(axis=0))
        self._high = np.maximum(self._high, scores.max(axis=0))

    def of_all(self, having: NDArray[np.bool_], exchange: Exchange) -> tuple[Float64, Float64]:
        """Return the extremes of all ranks; `having` marks the ranks that have seen any scores."""
        # An all-reduce adds: each rank has places of its own.
        places = np.zeros((exchange.world_size, 2, len(self._low)))
        if having[exchange.rank]:
            places[exchange.rank] = self._low, self._high
        every = _added(places.ravel(), exchange).reshape(places.shape)[having]
        return every[:, 0].min(axis=0), every[:, 1].max(axis=0)


def measure_end(
    job: Job, model: Model, parameters: Parameters, shard: Shard, exchange: Exchange, report: EpochReport
) -> dict[str, Measured]:
    """Return the metrics of the validation rows and of the test set as far as there are rows.

    Args:
        job: The job.
        model: Its model.
        parameters: The trained parameters.
        shard: This rank's rows.
        exchange: This rank's exchange, within the last round.
        report: The last epoch's report, which says whether any rank has validation rows.
    """
    found = {}
    if report.validation is not None:
        found["validation"] = measure(job, model, parameters, shard, shard.valid_x, shard.valid_y, exchange)
    if shard.test is not None:
        found["test"] = measure(job, model, parameters, shard, shard.test.x, shard.test.y, exchange)
    return {name: measured for name, measured in found.items() if measured is not None}


def measure(
    job: Job, model: Model, parameters: Parameters, shard: Shard, x: Rows, y: Targets, exchange: Exchange
) -> Measured | None:
    """Return all metrics of rows; None if no rank has any.

    Args:
        job: The job.
        model: Its model.
        parameters: The parameters.
        shard: This rank's rows, for the scale of their targets.
        x: The rows to measure, this rank's.
        y: Their classes or targets.
        exchange: This rank's exchange, within a round.
    """
    if job.task == "regression":
        return _measure_targets(model, parameters, x, y, shard.target.scale if shard.target else 1.0, exchange)
    return _measure_classes(job, model, parameters, x, y, exchange)


def _measure_targets(
    model: Model, parameters: Parameters, x: Rows, y: Targets, unit: float, exchange: Exchange
) -> Measured | None:
    errors = sum_errors(model, parameters, x, y)
    targets = np.asarray(y, np.float64)
    loss, squares, rows, total = _added([*errors, targets.sum()], exchange).tolist()
    if not rows:
        return None
    mean = total / rows
    (spread,) = _added([np.square(targets - mean).sum()], exchange).tolist()
    defined = spread > rows * (EQUAL_TARGETS * mean) ** 2
    return {
        "rows": int(rows),
        "loss": loss / rows,
        "rmse": unit * (squares / rows) ** 0.5,
        "r2": 1 - squares / spread if defined else None,
    }


def _measure_classes(
    job: Job, model: Model, parameters: Parameters, x: Rows, y: Targets, exchange: Exchange
) -> Measured | None:
    n_classes, log_loss, loss = model.n_classes, 0.0, 0.0
    # The scores of a user's own model are what it says.
    probable = job.loss_kind == "cross_entropy" and bool(getattr(model, "has_probabilities", True))
    counts, extremes = np.zeros(counts_size(n_classes)), Extremes(n_classes)
    for piece_x, piece_y in pieces(x, y):
        evaluation = model.evaluate(parameters, piece_x, piece_y)
        loss += evaluation.loss
        counts += count(evaluation.scores, piece_y)
        extremes.see(evaluation.scores)
        if probable:
            own = evaluation.scores[np.arange(len(piece_y)), piece_y].astype(np.float64)
            log_loss -= float(np.log(np.maximum(own, LEAST_PROBABILITY)).sum())
    by_rank = np.zeros(exchange.world_size)
    by_rank[exchange.rank] = len(y)
    sums = _added([loss, log_loss, *by_rank, *counts], exchange)
    rows_of_ranks, found = sums[2 : 2 + exchange.world_size], ClassCounts.of(sums[2 + exchange.world_size :], n_classes)
    rows = float(rows_of_ranks.sum())
    if not rows:
        return None
    precision, recall, f1 = found.precision_recall_f1()
    auc = _auc(model, parameters, x, y, extremes, rows_of_ranks.astype(np.int64), exchange)
    measured = {
        "rows": int(rows),
        "loss": float(sums[0]) / rows,
        "accuracy": found.accuracy,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "auc": auc.area,
        "auc_error": auc.error,
        "confusion": None if found.confusion is None else found.confusion.astype(int).tolist(),
    }
    if probable:
        measured["log_loss"] = float(sums[1]) / rows
    return measured


def _auc(
    model: Model,
    parameters: Parameters,
    x: Rows,
    y: Targets,
    extremes: Extremes,
    rows_of_ranks: NDArray[np.int64],
    exchange: Exchange,
) -> Auc:
    """Return the AUC: exactly if all scores are few enough to gather them, else by merged histograms."""
    columns = score_columns(model.n_classes)
    if len(columns) > MOST_AUC_CLASSES:
        return Auc(None, None)

    def scored() -> Iterator[tuple[Float64, Targets]]:
        for piece_x, piece_y in pieces(x, y):
            scores = model.predict(parameters, piece_x)
            yield (scores[:, 1:] if model.n_classes == 2 else scores).astype(np.float64), piece_y

    total = int(rows_of_ranks.sum())
    if total * (len(columns) + 1) <= EXACT_NUMBERS:
        gathered = np.zeros((total, len(columns) + 1))
        place = int(rows_of_ranks[: exchange.rank].sum())
        for scores, classes in scored():
            gathered[place : place + len(classes)] = np.column_stack([scores, classes])
            place += len(classes)
        every = _added(gathered.ravel(), exchange).reshape(gathered.shape)
        return exact_auc(every[:, :-1], every[:, -1].astype(np.int64), columns)
    low, high = (bounds[list(columns)] for bounds in extremes.of_all(rows_of_ranks > 0, exchange))
    found = np.zeros((len(columns), 2, bins_for(len(columns))))
    for scores, classes in scored():
        found += histograms(scores, classes, columns, low, high)
    return auc_of_histograms(_added(found.ravel(), exchange).reshape(found.shape))


def _added(part: Any, exchange: Exchange) -> Float64:  # noqa: ANN401 - numbers, or an array of them
    return np.asarray(exchange.all_reduce(np.array(part, np.float64), 0).values, np.float64)
