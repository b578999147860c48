"""The scale of a regression's targets, over all ranks: training sees targets of mean 0 and variance 1.

    squared, huber     y' = (y - mean) / standard deviation          prediction = mean + standard deviation * output
    poisson            y' = y / mean                                 prediction = mean * exp(output)

A model of zeros then predicts the mean, and one learning rate suits targets of any size: decision 53.
As in `standardisation`, sums are of differences from a shift, the first target of rank 0.
A model of the user's own gets its targets as they are.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from training.data.scaling import Float64, TargetScaling
from training.data.shard import Shard
from training.errors import InputError
from training.exchange.exchange import Exchange
from training.job import WorkerJob
from training.model.base import Targets
from training.model.catalogue import row_of


class TargetScaler:
    """Scales a rank's targets once, and takes part in the agreement each time its session begins again.

    Args:
        job: The worker's job.
        shard: The rank's rows with unscaled targets, not stored.
        given: The scaling of a model that training starts from; without it, all ranks agree on one.

    Raises:
        InputError: A target is negative, and the loss is Poisson.
    """

    def __init__(self, job: WorkerJob, shard: Shard, given: TargetScaling | None = None) -> None:
        self.scaling: TargetScaling | None = None
        self._needed = job.task == "regression" and not row_of(job.model).own
        self._given, self._poisson = given, job.loss_kind == "poisson"
        self._first: Float64 = np.zeros(1)
        self._sums: Float64 | None = None
        if job.task == "regression" and self._poisson:
            _check_counts([shard.y, shard.valid_y], f"s3://{job.data_bucket}/{job.file}")
            if shard.test is not None:
                _check_counts([shard.test.y], f"s3://{job.test_bucket}/{job.test_partition(job.rank)}")
        if self._needed and job.rank == 0:
            self._first = shard.y[:1].astype(np.float64)

    def scaled(self, shard: Shard, exchange: Exchange) -> Shard:
        """Agree on the scaling by two all-reduces in round 0, and return the rows with scaled targets.

        Args:
            shard: The rows with unscaled targets on the first call, later those that this method returned.
            exchange: This rank's exchange, in round 0.
        """
        if not self._needed:
            return shard
        scaling = self._given or self._agree(shard, exchange)
        if self.scaling is None:
            self.scaling = scaling
            shard = replace(shard.with_targets(scaling.apply), target=scaling)
        return shard

    def _agree(self, shard: Shard, exchange: Exchange) -> TargetScaling:
        shift = exchange.agree("target_shift", self._first, 0).values
        if self._sums is None:
            differences = shard.y.astype(np.float64) - shift
            self._sums = np.array([differences.sum(), np.square(differences).sum()])
        total = exchange.agree("targets", self._sums, len(shard.y))
        difference, square = (total.values / total.samples).tolist()
        mean = float(shift[0]) + difference
        if self._poisson:
            return TargetScaling(0.0, mean if mean > 0 else 1.0)
        variance = max(square - difference**2, 0.0)
        return TargetScaling(mean, variance**0.5 if variance > 0 else 1.0)


def _check_counts(parts: Sequence[Targets], source: str) -> None:
    row = 0
    for y in parts:
        wrong = np.flatnonzero(y < 0)
        if wrong.size:
            raise InputError(
                f"{source} row {row + int(wrong[0]) + 1}: the target is {y[wrong[0]]:g}; loss=poisson takes targets of "
                "0 and more\ntake loss=squared or loss=huber for targets below 0"
            )
        row += len(y)
