"""The common parts of the algorithms: state, batches, penalty, and evaluation of an epoch over all ranks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np

from training.class_weights import weights_of
from training.data.labels import format_label
from training.data.shard import Shard
from training.errors import InputError
from training.exchange.exchange import Exchange
from training.job import Job, WorkerJob
from training.metrics.errors import sum_errors
from training.model.base import Model, Parameters, Weighable
from training.model.catalogue import row_of

# Labels of a list that a warning names.
MOST_NAMED = 6


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """Figures of some rows.

    Attributes:
        loss: Mean loss per row.
        accuracy: Share of correctly classified rows; None where there are no classes.
        metrics: Further metrics of these rows.
    """

    loss: float
    accuracy: float | None
    metrics: dict[str, float] = {}


class EpochReport(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch, measured with the parameters at its end over the rows of all ranks.

    Attributes:
        epoch: Number of the epoch, from 1.
        rounds: Rounds done since the start.
        seconds: Wall time of this epoch on this rank, without the evaluation.
        loss: The objective: the mean training loss and the penalty.
        accuracy: Training accuracy; None where there are no classes.
        validation: The figures of the validation rows; None when there are none.
        details: Figures of the algorithm, such as admm's residuals.
        predicted_classes: Number of different predictions for training rows; None where there are no classes.
        metrics: Further metrics of the training rows.
    """

    epoch: int
    rounds: int
    seconds: float
    loss: float
    accuracy: float | None
    validation: Score | None
    details: dict[str, float] = {}
    predicted_classes: int | None = None
    metrics: dict[str, float] = {}


class BestEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """The best epoch so far of a training that may stop early.

    Attributes:
        epoch: Its number, from 1.
        value: Its metric, negated where larger is better.
        parameters: The parameters at its end.
    """

    epoch: int
    value: float
    parameters: Parameters


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The state between two rounds, the same on every rank; algorithms add fields in a subclass.

    A rank that rejoins continues from a state, so a round creates a new one and never changes the old one.

    Attributes:
        round: Rounds done.
        parameters: The parameters, float32.
        epochs: The report of each epoch so far.
        finished: Whether training has ended.
        best_epoch: The best epoch so far; None for a job without patience.
        measured: All metrics at the end of training, of `validation` rows and of the `test` set if there are any.
    """

    round: int = 0
    parameters: Parameters
    epochs: list[EpochReport] = []
    finished: bool = False
    best_epoch: BestEpoch | None = None
    measured: dict[str, dict[str, Any]] = {}

    @property
    def kept(self) -> list[EpochReport]:
        """The reports up to the epoch whose parameters are the result."""
        return self.epochs[: self.best_epoch.epoch] if self.best_epoch else self.epochs


class Advice(msgspec.Struct, frozen=True):
    """One line for the user about a training that succeeded but learnt little.

    Attributes:
        code: A stable name for scripts.
        message: The observation, and a change to try.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished training.

    Attributes:
        state: The last state.
        details: Figures of the whole training.
        warnings: Changes for the user to try; see `training.algorithm.advice`.
    """

    state: State
    details: dict[str, float] = field(default_factory=dict)
    warnings: list[Advice] = field(default_factory=list)

    @property
    def parameters(self) -> Parameters:
        """The trained parameters, flat float32; the same on every rank, bit for bit."""
        return (self.state.best_epoch or self.state).parameters.ravel()

    @property
    def report(self) -> EpochReport:
        """The report of the epoch at whose end the parameters were these."""
        return self.state.kept[-1]

    @property
    def rounds(self) -> int:
        """Rounds done."""
        return self.state.round

    @property
    def epochs(self) -> list[EpochReport]:
        """The report of each epoch; only `seconds` differs among ranks."""
        return self.state.epochs


class Batches(NamedTuple):
    """The batches of an epoch; every rank has the same number.

    Attributes:
        slices: This rank's rows of each batch, in order; some may be empty on a rank with fewer rows than others.
        total_rows: Training rows of all ranks.
        class_rows: Training rows of all ranks by class; empty in a regression.
        warnings: Signs that some classes cannot be learnt.
        zero_loss: Mean training loss of a regression whose parameters are zeros, or as a user's own model starts; None
            with classes.
    """

    slices: list[slice]
    total_rows: int
    class_rows: list[int]
    zero_loss: float | None = None
    warnings: Sequence[Advice] = ()


class Penalty(NamedTuple):
    """lambda times half the squared norm (l2), or lambda times the sum of absolute values (l1), without biases.

    Attributes:
        weights: lambda for each penalised parameter, 0 for the others.
        l1: Whether it is the l1 penalty.
    """

    weights: Parameters
    l1: bool

    def loss(self, parameters: Parameters) -> float:
        """Return the penalty of these parameters."""
        size = np.abs(parameters) if self.l1 else 0.5 * parameters**2
        return float(np.dot(self.weights.astype(np.float64), size))

    def gradient(self, parameters: Parameters) -> Parameters:
        """Return the gradient of the l2 penalty; l1 is not differentiable, and only admm supports it."""
        return self.weights * parameters

    def nearest(self, parameters: Parameters, rho: float) -> Parameters:
        """Return the z that minimises penalty(z) + rho/2 ||z - parameters||^2 (Boyd et al. 2011, 4.4.3 and 4.2)."""
        if self.l1:
            shrunk: Parameters = np.sign(parameters) * np.maximum(np.abs(parameters) - self.weights / rho, 0)
            return shrunk.astype(np.float32)
        nearest: Parameters = (parameters * (rho / (self.weights + rho))).astype(np.float32)
        return nearest


def penalty_of(job: Job, model: Model) -> Penalty:
    """Return the job's penalty for a model's parameters."""
    return Penalty(np.float32(job.lambda_) * model.penalised(), job.penalty == "l1")


def join(job: Job, model: Model, shard: Shard, exchange: Exchange) -> Batches:
    """Wait in round 0 for all ranks, and agree on the number of batches per epoch.

    It follows from the largest partition, rounded to the nearest batch: a tail of at most half a batch is added to the
    previous batch, since a step on a few rows would count as much as one on a full batch.
    Ranks with fewer rows send smaller or empty parts, which are weighted by their rows.
    """
    rows = np.zeros(exchange.world_size)
    rows[exchange.rank] = len(shard.y)
    regression = job.task == "regression"
    if regression:
        start = model.initial(job.seed)
        # A user's own model need not know zeros.
        start = start if row_of(job.model).own else np.zeros_like(start)
        own = np.array([sum_errors(model, start, shard.x, shard.y).loss])
    else:
        parts = (shard.y, shard.valid_y)
        own = np.concatenate([np.bincount(part, minlength=model.n_classes) for part in parts])
    total = exchange.agree("rows", np.append(rows, own), len(shard.y))
    rows, sums = np.split(total.values, [exchange.world_size])
    size, largest = job.batch_size, int(rows.max())
    count = max(1, -((size // 2 - largest) // size))
    slices = [slice(index * size, (index + 1) * size) for index in range(count - 1)]
    slices.append(slice((count - 1) * size, None))
    if regression:
        return Batches(slices, total.samples, [], float(sums[0]) / total.samples)
    trained, validated = np.split(sums.astype(int), 2)
    warnings = _validated_alone(job, np.flatnonzero((trained == 0) & (validated > 0)).tolist())
    return Batches(slices, total.samples, trained.tolist(), warnings=warnings)


def _validated_alone(job: Job, classes: list[int]) -> list[Advice]:
    """Return a warning about classes that only validation rows have."""
    if not classes:
        return []
    labels = job.labels if isinstance(job, WorkerJob) and job.labels else None
    named = [format_label(labels[number]) if labels else f"class {number}" for number in classes[:MOST_NAMED]]
    more = f" and {len(classes) - MOST_NAMED} more" if len(classes) > MOST_NAMED else ""
    message = (
        f"validation rows alone have the label {', '.join(named)}{more}: no model can learn it; "
        "lower valid_ratio, or take more rows"
    )
    return [Advice("untrained_label", message)]


def weighted(job: Job, model: Model, batches: Batches) -> Model:
    """Return the model with the job's class weights, the same on every rank.

    Raises:
        InputError: The job names weights for another number of classes, or the model cannot weigh rows.
    """
    weights = weights_of(job.class_weights, batches.class_rows)
    if weights is None:
        return model
    if not isinstance(model, Weighable):
        raise InputError(
            f"class_weights={job.class_weights} needs a model that can weigh rows; model={job.model} cannot"
        )
    return model.weighted(weights)


def start_of(job: Job, model: Model, initial: Parameters | None) -> Parameters:
    """Return the parameters before round 1: those that were given, else the model's own.

    Raises:
        InputError: Those that were given are not of this model.
    """
    own = model.initial(job.seed)
    if initial is None:
        return own
    if initial.shape != own.shape or not np.isfinite(initial).all():
        raise InputError(
            f"init_from={job.init_from} has {initial.size} parameters, and the model takes {own.size} finite numbers"
        )
    return np.array(initial, np.float32)


def good_enough(job: Job, report: EpochReport) -> bool:
    """Return whether the loss, on validation rows if there are any, has reached the job's threshold.

    All ranks have the same figures, so all stop after the same epoch.
    """
    loss = report.validation.loss if report.validation else report.loss
    return job.loss_threshold is not None and loss <= job.loss_threshold


def check_finite(loss: float, round_number: int, job: Job) -> None:
    """Raise if the loss is no longer finite; all ranks have the same loss, so all stop in the same round.

    Raises:
        InputError: The loss is infinite or NaN.
    """
    if not math.isfinite(loss):
        raise InputError(
            f"the loss is {loss} in round {round_number}: training diverged; "
            f"lower lr (now {job.lr}) or standardise the features"
        )
