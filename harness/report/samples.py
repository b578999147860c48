"""Samples of a quantity, and the band that most of them are in."""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]


class Band(NamedTuple):
    """Quantiles of samples.

    Attributes:
        p10: A tenth of them is below.
        p50: The median.
        p90: A tenth of them is above.
    """

    p10: float
    p50: float
    p90: float


def band(samples: Floats) -> Band:
    """Return the band of some samples."""
    return Band(*(float(value) for value in np.percentile(samples, (10, 50, 90))))
