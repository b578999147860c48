"""Figures of AWS: a number, a distribution, or a table by the number of functions.

A distribution is known by a few quantiles. Between them, the logarithm of the value is linear in the standard normal
variable: two quantiles give a lognormal distribution, and more of them one in pieces. `min` and `max` cut it off.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

# NumPy is imported where values are drawn: a stack's settings name these classes, and most stacks draw nothing.

_NORMAL = NormalDist()
# The probabilities that a preset may give.
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
# Where nothing but a mean and the extremes is published, they are taken for these quantiles.
_EXTREMES = 0.001
# The mean is taken over this many points, up to the quantiles of 1 in 10,000.
_GRID_POINTS, _GRID_END = 401, 1e-4


class Distribution(msgspec.Struct, frozen=True, tag="distribution"):
    """A distribution of positive values.

    Attributes:
        z: Standard normal variables, ascending; at least two.
        values: The value at each of them, above 0, ascending.
        low: The smallest value, or 0.
        high: The largest value; None if there is none, because JSON has no infinity.
    """

    z: tuple[float, ...]
    values: tuple[float, ...]
    low: float = 0.0
    high: float | None = None

    def sample(self, rng: "np.random.Generator", shape: int | tuple[int, ...]) -> "Floats":
        """Draw values.

        Args:
            rng: The generator.
            shape: How many; the result has this shape.
        """
        return self._at(rng.standard_normal(shape))

    def quantile(self, probability: float) -> float:
        """Return the value that this share of all values is below; `probability` is above 0 and below 1."""
        import numpy as np  # noqa: PLC0415 - see above

        return float(self._at(np.array([_NORMAL.inv_cdf(probability)]))[0])

    @property
    def typical(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @property
    def mean(self) -> float:
        """The mean."""
        import numpy as np  # noqa: PLC0415 - see above

        grid = _NORMAL.inv_cdf(_GRID_END) * np.linspace(1, -1, _GRID_POINTS)
        weights = np.exp(-grid * grid / 2)
        return float(self._at(grid) @ weights / weights.sum())

    def scaled(self, factor: float) -> "Distribution | Constant":
        """Return the distribution of `factor` times the value; `factor` is 0 or more."""
        if factor == 0:
            return Constant(0.0)
        values = tuple(factor * value for value in self.values)
        return Distribution(self.z, values, factor * self.low, None if self.high is None else factor * self.high)

    def _at(self, z: "Floats") -> "Floats":
        import numpy as np  # noqa: PLC0415 - see above

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

    def sample(self, _rng: "np.random.Generator", shape: int | tuple[int, ...]) -> "Floats":
        """Return the value so many times."""
        import numpy as np  # noqa: PLC0415 - see above

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

        Raises:
            ValueError: `count` is below 1.
        """
        if count < 1:
            raise ValueError(f"count is {count}: a number of functions is 1 or more")
        if below is not None and count < self.counts[0]:
            return below
        piece = min(max(bisect_right(self.counts, count) - 1, 0), len(self.counts) - 2)
        (x0, x1), (y0, y1) = (map(math.log, each[piece : piece + 2]) for each in (self.counts, self.values))
        return math.exp(y0 + (y1 - y0) / (x1 - x0) * (math.log(count) - x0))


def normal_quantile(probability: float) -> float:
    """Return the standard normal variable that this share of all values is below; above 0 and below 1."""
    return _NORMAL.inv_cdf(probability)


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
        if value <= 0 or not math.isfinite(value):
            raise ValueError(f"{name} is {value:g}: a distribution's values are above 0")
    points = {QUANTILES[name]: value for name, value in quantiles.items() if name in QUANTILES}
    if 0.5 not in points:
        if "mean" not in quantiles:
            raise ValueError("p50 or mean is missing")
        points[0.5] = quantiles["mean"]
    elif "mean" in quantiles:
        raise ValueError("both p50 and mean are given: mean stands for the median where that is missing; keep p50")
    low, high = quantiles.get("min", 0.0), quantiles.get("max")
    if low:
        points[_EXTREMES] = low
    if high is not None and max(points) < 1 - _EXTREMES:
        points[1 - _EXTREMES] = high
    if len(points) == 1:
        raise ValueError("one quantile is no distribution: add another, or min and max, or give `value` instead")
    ordered = sorted(points.items())
    values = [value for _, value in ordered]
    if values != sorted(values) or not low <= values[0] or (high is not None and values[-1] > high):
        given = ", ".join(f"{name} {value:g}" for name, value in quantiles.items())
        raise ValueError(f"min, quantiles and max do not ascend: {given}")
    return Distribution(tuple(normal_quantile(p) for p, _ in ordered), tuple(values), low, high)
