"""The scaling that standardises rows; the ranks agree on it in `algorithm/standardisation.py`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.model.base import Parameters, Rows

Float64 = NDArray[np.float64]

# Rows are widened to float64 a block at a time: a copy of the whole shard may not fit.
BLOCK_BYTES = 8 << 20


class Scaling(NamedTuple):
    """Standardises rows: (x - mean) / scale, both (features,) float64."""

    mean: Float64
    scale: Float64

    def apply(self, x: Rows) -> Parameters:
        """Return the rows, standardised, in float32; a feature that never varies is only centred."""
        standardised = np.empty(x.shape, np.float32)
        for rows in blocks_of(x):
            # float32 has 7 digits: a timestamp's difference from its mean is taken in float64.
            standardised[rows] = (x[rows] - self.mean) / self.scale
        return standardised


def blocks_of(x: Rows) -> list[slice]:
    """Return slices of the rows, in order, each of 8 MB in float64."""
    step = max(1, BLOCK_BYTES // (8 * x.shape[1]))
    return [slice(start, start + step) for start in range(0, len(x), step)]
