"""Figures of AWS: a number, a distribution, or a table by the number of functions.

A distribution is known by a few quantiles. Between them, the logarithm of the value is linear in the standard normal
variable, so that two quantiles give a lognormal distribution and more of them one in pieces; `min` and `max` cut it off.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

_NORMAL = NormalDist()
# The probabilities that a preset may give.
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
# Where nothing but a mean and the extremes is published, they are taken for these quantiles.
_EXTREMES = 0.001
_GRID = _NORMAL.inv_cdf(1e-4) * np.linspace(1, -1, 401)


class Distribution(msgspec.Struct, frozen=True, tag="distribution"):
    """A distribution of positive values.

    Attributes:
        z: Standard normal variables, ascending; at least two.
        values: The value at each of them.
        low: The smallest value.
        high: The largest value.
    """

    z: tuple[float, ...]
    values: tuple[float, ...]
    low: float
    high: float

    def sample(self, rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
        """Draw values.

        Args:
            rng: The generator.
            shape: How many; the result has this shape.
        """
        return self._at(rng.standard_normal(shape))

    def quantile(self, probability: float) -> float:
        """Return the value that this share of all values is below; `probability` is above 0 and below 1."""
        return float(self._at(np.array([_NORMAL.inv_cdf(probability)]))[0])

    @property
    def typical(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @property
    def mean(self) -> float:
        """The mean."""
        weights = np.exp(-_GRID * _GRID / 2)
        return float(self._at(_GRID) @ weights / weights.sum())

    def scaled(self, factor: float) -> "Distribution":
        """Return the distribution of `factor` times the value."""
        values = tuple(factor * value for value in self.values)
        return Distribution(self.z, values, factor * self.low, factor * self.high)

    def _at(self, z: Floats) -> Floats:
        known, logs = np.array(self.z), np.log(self.values)
        found = np.interp(z, known, logs)
        for end, inner, beyond in ((0, 1, z < known[0]), (-1, -2, z > known[-1])):
            slope = (logs[end] - logs[inner]) / (known[end] - known[inner])
            found = np.where(beyond, logs[end] + slope * (z - known[end]), found)
        clipped: Floats = np.clip(np.exp(found), self.low, self.high)
        return clipped


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """A figure that does not vary, or whose variation nobody has published.

    Attributes:
        value: The value.
    """

    value: float

    def sample(self, _rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
        """Return the value so many times."""
        return np.full(shape, self.value)

    def quantile(self, _probability: float) -> float:
        """Return the value."""
        return self.value

    @property
    def typical(self) -> float:
        """The value."""
        return self.value

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    def scaled(self, factor: float) -> "Constant":
        """Return `factor` times the value."""
        return Constant(factor * self.value)


class ByCount(msgspec.Struct, frozen=True, tag="by_count"):
    """A figure that depends on the number of functions.

    Attributes:
        counts: Numbers of functions, ascending; at least two.
        values: The value for each, above 0.
    """

    counts: tuple[int, ...]
    values: tuple[float, ...]

    def at(self, count: int, *, below: float | None = None) -> float:
        """Return the value for so many functions: linear between the logarithms of known points, and beyond them.

        Args:
            count: The number of functions.
            below: The value for fewer functions than the first known number; None to go on along the first piece.
        """
        if below is not None and count < self.counts[0]:
            return below
        x, logs = np.log(self.counts), np.log(self.values)
        piece = int(np.clip(np.searchsorted(self.counts, count, side="right") - 1, 0, len(x) - 2))
        slope = (logs[piece + 1] - logs[piece]) / (x[piece + 1] - x[piece])
        return float(np.exp(logs[piece] + slope * (np.log(count) - x[piece])))


Varying: TypeAlias = Distribution | Constant
Value: TypeAlias = Distribution | Constant | ByCount


def distribution(quantiles: Mapping[str, float]) -> Varying:
    """Return the distribution with these quantiles.

    Args:
        quantiles: Values by name: `p50`, `p90`, `p95`, `p99`, `p99.9`, `mean`, `min`, `max`. `mean` stands for the
            median where that is missing.

    Raises:
        ValueError: They are not enough, not above 0, or not ascending; the message says which.
    """
    for name, value in quantiles.items():
        if value <= 0 or not np.isfinite(value):
            raise ValueError(f"{name} is {value:g}: a distribution's values are above 0")
    points = {QUANTILES[name]: value for name, value in quantiles.items() if name in QUANTILES}
    if 0.5 not in points:  # noqa: PLR2004 - the median
        if "mean" not in quantiles:
            raise ValueError("p50 or mean is missing")
        points[0.5] = quantiles["mean"]
    low, high = quantiles.get("min", 0.0), quantiles.get("max", float("inf"))
    if low:
        points[_EXTREMES] = low
    if high < float("inf") and max(points) < 1 - _EXTREMES:
        points[1 - _EXTREMES] = high
    if len(points) == 1:
        raise ValueError("one quantile is no distribution: add another, or min and max, or give `value` instead")
    ordered = sorted(points.items())
    values = [value for _, value in ordered]
    if values != sorted(values) or not low <= values[0] or not values[-1] <= high:
        raise ValueError(f"min, quantiles and max do not ascend: {', '.join(f'{value:g}' for value in values)}")
    return Distribution(tuple(_NORMAL.inv_cdf(p) for p, _ in ordered), tuple(values), low, high)
