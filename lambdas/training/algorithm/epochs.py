"""What algorithms share: a rank's rows, how many rounds make an epoch, and its evaluation over all ranks."""

import math
import time
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.errors import InputError
from training.exchange.collective import Exchange
from training.job import Job
from training.model.base import Evaluation, Model


@dataclass(frozen=True, slots=True)
class Shard:
    """One rank's rows.

    Attributes:
        x: Training rows (rows, features), float32.
        y: Their classes (rows,), int64.
        valid_x: Validation rows; may be none.
        valid_y: Their classes.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    valid_x: NDArray[np.float32]
    valid_y: NDArray[np.int64]


class Score(msgspec.Struct, frozen=True):
    """Mean loss per row and share of rows classified rightly."""

    loss: float
    accuracy: float


class EpochReport(msgspec.Struct, frozen=True):
    """One epoch, measured with the parameters at its end over the rows of all ranks.

    Attributes:
        epoch: From 1.
        rounds: Rounds done since the start.
        seconds: Wall time of this epoch on this rank, evaluation left out.
        loss: Mean training loss.
        accuracy: Training accuracy.
        validation: The same on the validation rows; None when there are none.
    """

    epoch: int
    rounds: int
    seconds: float
    loss: float
    accuracy: float
    validation: Score | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished training.

    Attributes:
        parameters: The trained parameters, flat float32; the same on every rank, bit for bit.
        rounds: Rounds done.
        epochs: One report per epoch; the same figures on every rank but for `seconds`.
    """

    parameters: NDArray[np.float32]
    rounds: int
    epochs: list[EpochReport]


def rounds_per_epoch(job: Job, shard: Shard, exchange: Exchange) -> int:
    """How many rounds every rank does in an epoch; agreed in round 0, which also waits for all ranks to join.

    The largest partition decides, rounded to the nearest batch: a tail of at most half a batch joins the batch
    before it, since a step on a handful of rows would count as much as one on a full batch.
    Ranks with fewer rows send smaller or empty parts, which weigh as little as they hold.
    """
    exchange.begin_round(0)
    rows = np.zeros(job.n_workers)
    rows[exchange.mailbox.rank] = len(shard.y)
    total = exchange.all_reduce(rows, len(shard.y))
    largest = int(total.values.max())
    return max(1, -((job.batch_size // 2 - largest) // job.batch_size))


def evaluate_epoch(
    job: Job,
    epoch: int,
    rounds: int,
    started: float,
    model: Model,
    parameters: NDArray[np.float32],
    shard: Shard,
    exchange: Exchange,
) -> EpochReport:
    """Evaluates the parameters on the rows of all ranks; counts are summed, never averages of averages.

    Args:
        job: The job.
        epoch: The epoch that ended.
        rounds: Rounds done so far.
        started: `time.perf_counter()` at the epoch's start.
        model: The model.
        parameters: Its parameters.
        shard: This rank's rows.
        exchange: Carries the sums; called within the epoch's last round.

    Raises:
        InputError: The loss is no longer finite.
    """
    seconds = time.perf_counter() - started
    training = model.evaluate(parameters, shard.x, shard.y)
    validation = (
        model.evaluate(parameters, shard.valid_x, shard.valid_y) if len(shard.valid_y) else Evaluation(0.0, 0, 0)
    )
    sums = exchange.all_reduce(np.array([*training, *validation], np.float64), training.samples).values
    score, valid_score = _score(sums[:3]), _score(sums[3:])
    assert score is not None, "every rank has training rows"  # noqa: S101 - narrows the type
    check_finite(score.loss, rounds, job)
    return EpochReport(epoch, rounds, seconds, score.loss, score.accuracy, valid_score)


def check_finite(loss: float, round_number: int, job: Job) -> None:
    """Refuses a loss that is no longer a number; all ranks see the same loss, so all stop in the same round.

    Raises:
        InputError: The loss is infinite or NaN.
    """
    if not math.isfinite(loss):
        raise InputError(
            f"the loss is {loss} in round {round_number}: training diverged; "
            f"lower lr (now {job.lr}) or standardise the features"
        )


def _score(sums: NDArray[np.float64]) -> Score | None:
    loss, correct, samples = map(float, sums)
    return Score(loss / samples, correct / samples) if samples else None
