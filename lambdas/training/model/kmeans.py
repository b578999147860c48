"""K-means on dense or sparse rows: nearest centroids, sums per cluster, and the random choice of k-means++.

    distance^2 = ||x||^2 - 2 x.c + ||c||^2

The three terms cancel where a row is close to its centroid but far from the origin.
They are therefore computed in float64, which has 29 bits more than the float32 rows,
and a distance that is only rounding error is set to zero.

Dense rows are converted to float64 and compared with the centroids in blocks. Besides 16 bytes per row, this needs
`BLOCK_BYTES` of memory at a time (or as much as `BLOCK_ROWS_AT_LEAST` rows take, if that is more).
Sparse rows are scipy's CSR; only the distances of a block are dense, never its rows.

Lloyd 1982, Least squares quantization in PCM.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.model.base import Classes, Parameters, Rows

Float64 = NDArray[np.float64]

# Blocks of this size stay in the processor's cache between the two matrix products, of distances and of sums.
BLOCK_BYTES = 2 << 20
BLOCK_ROWS_AT_LEAST = 16
# Squared distances below this share of ||x||^2 + ||c||^2 are rounding errors of float64 products; the bound is just
# above the smallest share that distinct float32 rows can have.
CANCELLED = 1e-13
# Weight of a row that is a centroid already; k-means++ takes it only if no other row is left.
LAST_RESORT = 1e-300


@dataclass(frozen=True, slots=True)
class Points:
    """Rows with their squared norms, which every distance needs.

    Attributes:
        x: float32 (rows, features), dense or CSR.
        squared_norms: (rows,).
    """

    x: Rows
    squared_norms: Float64

    @classmethod
    def of(cls, x: Rows) -> "Points":
        """Return these rows with their norms."""
        norms = np.empty(x.shape[0])
        for rows, block in _blocks(x, 0):
            norms[rows] = _squared_norms(block)
        return cls(x, norms)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of features."""
        rows, features = self.x.shape
        return rows, features

    def row(self, index: int) -> Parameters:
        """Return one row, dense."""
        row = self.x[index : index + 1]
        return np.ravel(row if isinstance(row, np.ndarray) else row.toarray())


class Nearest(NamedTuple):
    """The nearest centroid of every row; the first of several.

    Attributes:
        classes: Index of the centroid (rows,).
        distances: Squared distance to it (rows,).
    """

    classes: Classes
    distances: Float64


class Statistics(NamedTuple):
    """Sums over rows that give the next centroids; sums of several ranks are added.

    Attributes:
        sums: Sum of the rows of each cluster (clusters, features).
        counts: Number of rows of each cluster (clusters,).
        distances: Squared distance of each row to its centroid (rows,).
    """

    sums: Float64
    counts: Float64
    distances: Float64


def nearest(points: Points, centroids: Parameters) -> Nearest:
    """Return the nearest of the centroids (clusters, features) for every row."""
    classes, distances = np.empty(points.shape[0], np.int64), np.empty(points.shape[0])
    for rows, _, found in _compared(points, centroids):
        classes[rows], distances[rows] = found
    return Nearest(classes, distances)


def statistics(points: Points, centroids: Parameters) -> Statistics:
    """Assign every row to its nearest centroid (clusters, features), and sum each cluster."""
    sums, counts = np.zeros(centroids.shape), np.zeros(len(centroids))
    distances = np.empty(points.shape[0])
    for rows, block, found in _compared(points, centroids):
        distances[rows] = found.distances
        counts += np.bincount(found.classes, minlength=len(centroids))
        _add_by_class(sums, block, found.classes)
    return Statistics(sums, counts, distances)


def predict(parameters: Parameters, x: Rows) -> Classes:
    """Return the nearest centroid of every row; `parameters` are the flattened centroids (clusters, features)."""
    return nearest(Points.of(x), parameters.reshape(-1, x.shape[1])).classes


def arrival_times(weights: Float64, positions: NDArray[np.uint64], stream: int) -> Float64:
    """Return random arrival times; each row is the first with a probability proportional to its weight.

    A row's time is drawn from the exponential distribution with its weight as the rate.
    The random number depends only on the row's position in the global order and on the stream (SplitMix64),
    so the first row does not depend on which rank holds which row.

    Efraimidis and Spirakis 2006, Weighted random sampling with a reservoir.
    Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators.

    Args:
        weights: At least 0, one per row; a row of weight 0 is the first only if all weights are 0.
        positions: Positions of the rows in the global order.
        stream: A 64-bit number, different for each draw.
    """
    bits = (positions + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(stream)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    # 52 bits and a half: above 0 and below 1.
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    times: Float64 = -np.log(uniform) / np.maximum(weights, LAST_RESORT)
    return times


def _compared(points: Points, centroids: Parameters) -> Iterator[tuple[slice, Rows, Nearest]]:
    """Yield blocks of rows: their slice, the rows, and their nearest centroids."""
    wide = centroids.astype(np.float64)
    squared_norms = _squared_norms(wide)
    doubled = np.ascontiguousarray(-2 * wide.T)
    for rows, block in _blocks(points.x, len(centroids)):
        # ||x||^2 is the same for all centroids, so it is added only to the smallest.
        scores = block @ doubled
        scores += squared_norms
        classes = scores.argmin(axis=1)
        distances = np.take_along_axis(scores, classes[:, np.newaxis], axis=1)[:, 0]
        norms = points.squared_norms[rows]
        distances += norms
        distances[distances <= CANCELLED * (norms + squared_norms[classes])] = 0
        yield rows, block, Nearest(classes, distances)


def _blocks(x: Rows, n_clusters: int) -> Iterator[tuple[slice, Rows]]:
    """Yield blocks of rows that fit `BLOCK_BYTES` with their distances and class marks: dense in float64, or CSR."""
    count, features = x.shape
    dense = isinstance(x, np.ndarray)
    row_bytes = 8 * (2 * n_clusters + (features if dense else 1 + x.nnz // max(1, count)))
    step = max(BLOCK_ROWS_AT_LEAST, BLOCK_BYTES // row_bytes)
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        yield rows, x[rows].astype(np.float64) if dense else x[rows]


def _squared_norms(block: Rows) -> Float64:
    if isinstance(block, np.ndarray):
        return np.asarray(np.einsum("ij,ij->i", block, block), np.float64)
    norms = np.zeros(block.shape[0])
    np.add.at(norms, _row_of_value(block), np.square(block.data, dtype=np.float64))
    return norms


def _add_by_class(sums: Float64, block: Rows, classes: Classes) -> None:
    """Add every row to the sum of its class."""
    if isinstance(block, np.ndarray):
        marks = np.zeros((len(sums), len(classes)))
        marks[classes, np.arange(len(classes))] = 1
        sums += marks @ block
    else:
        places = classes[_row_of_value(block)] * sums.shape[1] + block.indices
        np.add.at(sums.reshape(-1), places, block.data.astype(np.float64))


def _row_of_value(block: Rows) -> Classes:
    """Return the row of each stored value of a CSR block."""
    return np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
