"""Metrics of a classification that follow from counts: accuracy, precision, recall and F1.

    precision     rows of a class among those that are predicted as it
    recall        rows that are predicted as a class among those of it
    F1            2 precision recall / (precision + recall)

With two classes they are those of the second one, the larger label; with more, the mean over the classes that occur,
as true or as predicted ones (macro). A share of no rows is 0, as in scikit-learn.
Manning, Raghavan, Schuetze 2008, Introduction to Information Retrieval, 8.3 and 13.6.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.metrics.hits import predicted_classes
from training.model.base import Classes

Float64 = NDArray[np.float64]

# The most classes of a confusion matrix; of more, ranks only add counts by class.
MOST_CONFUSION_CLASSES = 100


class ClassCounts(NamedTuple):
    """Counts over rows; those of several ranks are added.

    Attributes:
        rows: Rows of each class (classes,).
        predicted: Rows predicted as each class (classes,).
        hits: Rows of each class that are predicted as it (classes,).
        confusion: Rows by true class and predicted class (classes, classes); None with too many classes.
    """

    rows: Float64
    predicted: Float64
    hits: Float64
    confusion: Float64 | None

    @classmethod
    def of(cls, flat: Float64, n_classes: int) -> "ClassCounts":
        """Return the counts in an array of `count`, or in the sum of several."""
        if n_classes <= MOST_CONFUSION_CLASSES:
            confusion = flat.reshape(n_classes, n_classes)
            return cls(confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal(), confusion)
        rows, predicted, hits = np.split(flat, 3)
        return cls(rows, predicted, hits, None)

    @property
    def accuracy(self) -> float:
        """The share of rows that are predicted as their class."""
        return float(self.hits.sum() / self.rows.sum())

    def precision_recall_f1(self) -> tuple[float, float, float]:
        """Return the three metrics of the second of two classes, or their means over more."""
        shares = [
            _share(self.hits, self.predicted),
            _share(self.hits, self.rows),
            _share(2 * self.hits, self.rows + self.predicted),
        ]
        if len(self.rows) == 2:
            first, second, third = (float(share[1]) for share in shares)
        else:
            occurs = self.rows + self.predicted > 0
            first, second, third = (float(share[occurs].mean()) for share in shares)
        return first, second, third


def count(scores: NDArray[np.float32], y: Classes) -> Float64:
    """Return the counts of some rows, flat: the confusion matrix, or rows, predicted and hits of many classes."""
    classes, n_classes = predicted_classes(scores), scores.shape[1]
    if n_classes <= MOST_CONFUSION_CLASSES:
        return np.bincount(y * n_classes + classes, minlength=n_classes**2).astype(np.float64)
    parts = (y, classes, y[classes == y])
    return np.concatenate([np.bincount(part, minlength=n_classes) for part in parts]).astype(np.float64)


def counts_size(n_classes: int) -> int:
    """Return the length of an array of `count`."""
    return n_classes**2 if n_classes <= MOST_CONFUSION_CLASSES else 3 * n_classes


def _share(part: Float64, whole: Float64) -> Float64:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
