"""The area under the ROC curve (AUC): how often a row of a class has a larger score for it than a row of another one.

    exact          from all scores, sorted: ties count one half (Mann and Whitney 1947)
    histograms     from counts by bin of equal width: two rows in one bin count as a tie

With histograms the AUC is off by at most half the share of pairs that lie in one bin together, which is known, too.
Two classes have one AUC, from the scores of the second one. With more, it is the mean over one class against the rest,
of those classes for which it is defined; Hand and Till 2001 compare ways to do so.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.model.base import Classes

Float64 = NDArray[np.float64]

# Ranks gather scores and classes of all rows if they have at most this many numbers (512 KB); else they add histograms
# of this size.
EXACT_NUMBERS = 1 << 16
# The histograms of more classes than this would have too few bins.
MOST_AUC_CLASSES = 512


class Auc(NamedTuple):
    """An area, and the most by which it may be wrong; None where rows of one class only have none."""

    area: float | None
    error: float | None


def score_columns(n_classes: int) -> Sequence[int]:
    """Return the classes whose scores count."""
    return [1] if n_classes == 2 else range(n_classes)


def bins_for(n_columns: int) -> int:
    """Return the number of bins of each histogram."""
    return EXACT_NUMBERS // (2 * n_columns)


def exact_auc(scores: Float64, y: Classes, columns: Sequence[int]) -> Auc:
    """Return the AUC of rows.

    Args:
        scores: The scores (rows, columns).
        y: The classes (rows,).
        columns: The class of each column.
    """
    areas = [_area(scores[:, place], y == number) for place, number in enumerate(columns)]
    defined = [area for area in areas if area is not None]
    return Auc(float(np.mean(defined)), 0.0) if defined else Auc(None, None)


def histograms(scores: Float64, y: Classes, columns: Sequence[int], low: Float64, high: Float64) -> Float64:
    """Return the histograms of rows of each column's class, and of other rows: (columns, 2, bins).

    Args:
        scores: The scores (rows, columns).
        y: The classes (rows,).
        columns: The class of each column.
        low: The least score of each column, over all ranks.
        high: The largest one.
    """
    bins = bins_for(len(columns))
    width = np.where(high > low, high - low, 1)
    places = np.clip((scores - low) / width * bins, 0, bins - 1).astype(np.int64)
    found = np.empty((len(columns), 2, bins))
    for place, number in enumerate(columns):
        own = y == number
        found[place, 0] = np.bincount(places[own, place], minlength=bins)
        found[place, 1] = np.bincount(places[~own, place], minlength=bins)
    return found


def auc_of_histograms(found: Float64) -> Auc:
    """Return the AUC of the sum of all ranks' histograms (columns, 2, bins)."""
    areas, errors = [], []
    for own, others in found:
        pairs = own.sum() * others.sum()
        if pairs:
            below = np.cumsum(others) - others
            areas.append(float((own * (below + others / 2)).sum() / pairs))
            errors.append(float((own * others).sum() / 2 / pairs))
    return Auc(float(np.mean(areas)), float(np.mean(errors))) if areas else Auc(None, None)


def _area(scores: Float64, own: NDArray[np.bool_]) -> float | None:
    n_own = int(own.sum())
    n_others = len(own) - n_own
    if not n_own or not n_others:
        return None
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((mean_ranks[places[own]].sum() - n_own * (n_own + 1) / 2) / (n_own * n_others))
