"""The common parts of the algorithms: state, batches, penalty, and evaluation of an epoch over all ranks."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

import msgspec
import numpy as np

from training.data.shard import Shard
from training.errors import InputError
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Model, Parameters


class Score(msgspec.Struct, frozen=True):
    """Mean loss per row and share of correctly classified rows; a clustering has no accuracy."""

    loss: float
    accuracy: float | None


class EpochReport(msgspec.Struct, frozen=True, kw_only=True):
    """One epoch, measured with the parameters at its end over the rows of all ranks.

    Attributes:
        epoch: Number of the epoch, from 1.
        rounds: Rounds done since the start.
        seconds: Wall time of this epoch on this rank, without the evaluation.
        loss: The objective: the mean training loss and the penalty.
        accuracy: Training accuracy; None for a clustering.
        validation: Mean loss and accuracy on the validation rows; None when there are none.
        details: Figures of the algorithm, such as admm's residuals.
        predicted_classes: Number of different predictions for training rows; None for a clustering.
    """

    epoch: int
    rounds: int
    seconds: float
    loss: float
    accuracy: float | None
    validation: Score | None
    details: dict[str, float] = {}
    predicted_classes: int | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The state between two rounds, the same on every rank; algorithms add fields in a subclass.

    A rank that rejoins continues from a state, so a round creates a new one and never changes the old one.

    Attributes:
        round: Rounds done.
        parameters: The parameters, float32.
        epochs: The report of each epoch so far.
        finished: Whether training has ended.
    """

    round: int = 0
    parameters: Parameters
    epochs: list[EpochReport] = []
    finished: bool = False


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
        return self.state.parameters.ravel()

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
        class_rows: Training rows of all ranks by class.
    """

    slices: list[slice]
    total_rows: int
    class_rows: list[int]


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
    classes = np.bincount(shard.y, minlength=model.n_classes)
    total = exchange.agree("rows", np.append(rows, classes), len(shard.y))
    rows, classes = np.split(total.values, [exchange.world_size])
    size, largest = job.batch_size, int(rows.max())
    count = max(1, -((size // 2 - largest) // size))
    slices = [slice(index * size, (index + 1) * size) for index in range(count - 1)]
    return Batches([*slices, slice((count - 1) * size, None)], total.samples, classes.astype(int).tolist())


class Figures(TypedDict):
    """An evaluation over the rows of all ranks; the fields are those of `EpochReport`."""

    loss: float
    accuracy: float | None
    validation: Score | None
    predicted_classes: int


def evaluate(job: Job, model: Model, parameters: Parameters, shard: Shard, exchange: Exchange) -> Figures:
    """Evaluate the parameters on the rows of all ranks, from sums rather than averages of averages.

    Raises:
        InputError: The loss is no longer finite.
    """
    training = model.evaluate(parameters, shard.x, shard.y)
    valid_figures: tuple[float, int, int] = (0.0, 0, 0)
    if len(shard.valid_y):
        valid_figures = model.evaluate(parameters, shard.valid_x, shard.valid_y)[:3]
    part = np.array([*training[:3], *valid_figures, *training.predicted], np.float64)
    sums = exchange.all_reduce(part, training.samples).values
    loss, correct, rows, valid_loss, valid_correct, valid_rows = sums[:6].tolist()
    objective = loss / rows + penalty_of(job, model).loss(parameters)
    check_finite(objective, exchange.round, job)
    return Figures(
        loss=objective,
        accuracy=correct / rows,
        validation=Score(valid_loss / valid_rows, valid_correct / valid_rows) if valid_rows else None,
        predicted_classes=int(np.count_nonzero(sums[6:])),
    )


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
