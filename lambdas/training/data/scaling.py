"""The scaling that standardises rows; all ranks agree on it in `algorithm/standardisation.py`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.model.base import Parameters, Rows

Float64 = NDArray[np.float64]

# Rows are converted to float64 in blocks, because a float64 copy of all rows may not fit in memory.
BLOCK_BYTES = 8 << 20


class Scaling(NamedTuple):
    """A standardisation of rows, (x - mean) / scale; mean and scale are float64 (features,)."""

    mean: Float64
    scale: Float64

    def apply(self, x: Rows) -> Parameters:
        """Return the standardised rows in float32; a constant feature is only centred."""
        standardised = np.empty(x.shape, np.float32)
        for rows in blocks_of(x):
            # In float64, because float32 has 7 digits and a timestamp's difference from the mean needs more.
            standardised[rows] = (x[rows] - self.mean) / self.scale
        return standardised


def blocks_of(x: Rows) -> list[slice]:
    """Return consecutive slices of the rows, each of at most 8 MB in float64."""
    step = max(1, BLOCK_BYTES // (8 * x.shape[1]))
    return [slice(start, start + step) for start in range(0, len(x), step)]
