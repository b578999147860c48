"""Scores of users' own models, checked: (rows, classes), or (rows, 1) for a regression."""

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError


def checked_scores(name: str, scores: NDArray[np.float32], rows: int, n_classes: int) -> NDArray[np.float32]:
    """Return scores of the right shape; (rows,) is taken for (rows, 1).

    Raises:
        InputError: They have another shape.
    """
    if scores.shape == (rows,):
        scores = scores[:, None]
    if scores.shape != (rows, n_classes):
        raise InputError(f"model={name} returns scores of shape {scores.shape}; wanted: {(rows, n_classes)}")
    return scores
