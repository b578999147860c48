"""Standardisation over all ranks: every feature gets mean 0 and variance 1 over all training rows.

Sums are of differences from a shift, not of the values: if a feature's spread is small compared with its mean, as for
a timestamp, the squares of the values agree in all digits of float64.

    shift      the first training row of rank 0, the same bits on every rank
    mean       shift + sum(x - shift) / rows
    variance   sum((x - shift)^2) / rows - (mean - shift)^2

The shift is one of the rows, so it is at most sqrt(rows) standard deviations from the mean (Samuelson 1968), and
the variance loses at most as many digits as `rows` has.
A constant feature has differences of exactly zero.

Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance.
"""

from functools import partial

import numpy as np

from training.data.scaling import Float64, Scaling, blocks_of
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.model.base import Rows


class Standardiser:
    """Scales a rank's rows once, and takes part in the agreement each time its session begins again.

    Args:
        shard: The rank's unscaled rows, not stored.
        given: The scaling of a model that training starts from; without it, all ranks agree on one.
    """

    def __init__(self, shard: Shard, given: Scaling | None = None) -> None:
        self._given = given
        self._first_row = shard.x[0].astype(np.float64)
        self._rows = len(shard.x)
        self._sums: Float64 | None = None
        self.scaling: Scaling | None = None

    def scaled(self, shard: Shard, exchange: Exchange) -> Shard:
        """Agree on mean and standard deviation by two all-reduces in round 0, and return the scaled rows.

        Every rank gets the same figures, bit for bit.

        Args:
            shard: The unscaled rows on the first call, later the rows that this method returned.
            exchange: This rank's exchange, in round 0.
        """
        if self._given is not None:
            if self.scaling is None:
                self.scaling = self._given
                shard = _apply(self._given, shard)
            return shard
        own = self._first_row if exchange.rank == 0 else np.zeros_like(self._first_row)
        shift = exchange.agree("shift", own, 0).values
        if self._sums is None:
            self._sums = _sums_of(shard.x, shift)
        total = exchange.agree("scaling", self._sums, self._rows)
        if self.scaling is None:
            self.scaling = _scaling_of(shift, total.values / total.samples)
            shard = _apply(self.scaling, shard)
        return shard


def _apply(scaling: Scaling, shard: Shard) -> Shard:
    return shard.with_rows(partial(scaling.apply, in_place=shard.rows_are_ours))


def _sums_of(x: Rows, shift: Float64) -> Float64:
    """Return the sums of a rank's differences from the shift and of their squares, (2 * features,)."""
    sums = np.zeros(2 * x.shape[1])
    for rows in blocks_of(x):
        differences = x[rows] - shift
        sums += np.concatenate([differences.sum(axis=0), np.square(differences).sum(axis=0)])
    return sums


def _scaling_of(shift: Float64, means: Float64) -> Scaling:
    """Return the scaling for the means of the differences and of their squares."""
    difference, square = np.split(means, 2)
    variance = np.maximum(square - difference**2, 0)
    return Scaling(shift + difference, np.sqrt(np.where(variance > 0, variance, 1)))
