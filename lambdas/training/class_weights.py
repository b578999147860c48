"""Class weights: the loss of a row counts as often as the weight of its class.

    balanced      rows / (classes * rows of the class): all classes count alike, and all rows together as before
    1,5           the weight of each class, in the ascending order of their labels

King and Zeng 2001, Logistic Regression in Rare Events Data.
"""

import math
from collections.abc import Sequence

from training.errors import InputError

BALANCED = "balanced"
LARGEST_WEIGHT = 1e6


def given_weights(text: str) -> list[float] | None:
    """Return the weights that a job names; None where it names none, or they follow from the rows.

    Raises:
        InputError: A weight is 0 or too large.
    """
    if text in ("", BALANCED):
        return None
    weights = [float(number) for number in text.split(",")]
    for weight in weights:
        if not 0 < weight <= LARGEST_WEIGHT:
            raise InputError(f"class_weights={text} has {weight:g}; allowed: numbers above 0, up to {LARGEST_WEIGHT:g}")
    return weights


def weights_of(text: str, class_rows: Sequence[int]) -> list[float] | None:
    """Return the weight of each class; None where all count alike.

    Args:
        text: The job's `class_weights`.
        class_rows: Training rows of each class, over all ranks.

    Raises:
        InputError: The job names weights for another number of classes; all ranks raise it.
    """
    if text == BALANCED:
        share = sum(class_rows) / max(1, sum(rows > 0 for rows in class_rows))
        return [share / rows if rows else 1.0 for rows in class_rows]
    weights = given_weights(text)
    if weights is not None and len(weights) != len(class_rows):
        raise InputError(f"class_weights={text} has {len(weights)} numbers, and the data {len(class_rows)} classes")
    return weights


def mean_weight(text: str, class_rows: Sequence[int]) -> float:
    """Return the mean weight of a row: 1 for balanced weights and for none."""
    weights = weights_of(text, class_rows)
    if weights is None or not sum(class_rows):
        return 1.0
    return math.fsum(weight * rows for weight, rows in zip(weights, class_rows, strict=True)) / sum(class_rows)
