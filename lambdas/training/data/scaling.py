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

    def apply(self, x: Rows, *, in_place: bool = False) -> Parameters:
        """Return the standardised rows in float32; a constant feature is only centred.

        Args:
            x: The rows.
            in_place: Whether to overwrite the rows, which are float32, instead of holding them twice.
        """
        standardised: Parameters = x if in_place else np.empty(x.shape, np.float32)
        for rows in blocks_of(x):
            # In float64, because float32 has 7 digits and a timestamp's difference from the mean needs more.
            standardised[rows] = (x[rows] - self.mean) / self.scale
        return standardised


class TargetScaling(NamedTuple):
    """A scaling of a regression's targets, (y - mean) / scale."""

    mean: float
    scale: float

    def apply(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scaled targets."""
        return ((y.astype(np.float64) - self.mean) / self.scale).astype(np.float32)

    def undo(self, predictions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return predictions in the unit of the targets."""
        return (self.mean + self.scale * predictions.astype(np.float64)).astype(np.float32)


def blocks_of(x: Rows) -> list[slice]:
    """Return consecutive slices of the rows, each of at most 8 MB in float64."""
    step = max(1, BLOCK_BYTES // (8 * x.shape[1]))
    return [slice(start, start + step) for start in range(0, len(x), step)]
