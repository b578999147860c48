"""Standardisation over all ranks: every feature to mean 0 and variance 1 of all training rows together."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.algorithm.epochs import Shard
from training.exchange.exchange import Exchange
from training.model.base import Parameters, Rows

# Sums are gathered in float64, a block of rows at a time: a copy of the whole shard may not fit.
BLOCK_ROWS = 16_384


class Scaling(NamedTuple):
    """What standardises rows: (x - mean) / scale, both (features,) float32."""

    mean: Parameters
    scale: Parameters

    def apply(self, x: Rows) -> Rows:
        """The rows, standardised; a feature that never varies is only centred."""
        return (x - self.mean) / self.scale


def sums_of(shard: Shard) -> NDArray[np.float64]:
    """A rank's part of what `agree` needs: sums and sums of squares of its raw features, (2 * features,)."""
    sums = np.zeros(2 * shard.x.shape[1])
    for start in range(0, len(shard.x), BLOCK_ROWS):
        rows = shard.x[start : start + BLOCK_ROWS].astype(np.float64)
        sums += np.concatenate([rows.sum(axis=0), np.square(rows).sum(axis=0)])
    return sums


def agree(sums: NDArray[np.float64], rows: int, exchange: Exchange) -> Scaling:
    """Mean and standard deviation of every feature, by one all-reduce of sums in round 0.

    Every rank gets the same figures, bit for bit; whoever begins anew takes part again.
    """
    total = exchange.agree("scaling", sums, rows)
    mean, mean_of_squares = np.split(total.values / total.samples, 2)
    variance = np.maximum(mean_of_squares - mean**2, 0)
    # What rounding leaves of the variance of a constant is no spread.
    constant = variance <= 1e-12 * mean_of_squares
    scale = np.sqrt(np.where(constant, 1, variance))
    return Scaling(mean.astype(np.float32), scale.astype(np.float32))
