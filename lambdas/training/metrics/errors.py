"""Predictions of a regression against targets, as sums over rows."""

from typing import NamedTuple

import numpy as np

from training.metrics.hits import pieces
from training.model.base import Model, Parameters, Rows, Targets


class Errors(NamedTuple):
    """Sums over rows.

    Attributes:
        loss: Summed loss.
        squares: Summed squared difference of prediction and target, in the unit of the targets that training sees.
        samples: Number of rows.
    """

    loss: float
    squares: float
    samples: int


def sum_errors(model: Model, parameters: Parameters, x: Rows, y: Targets) -> Errors:
    """Evaluate rows piece by piece, and return the sums over all of them."""
    loss, squares = 0.0, 0.0
    for piece_x, piece_y in pieces(x, y):
        evaluation = model.evaluate(parameters, piece_x, piece_y)
        differences = evaluation.scores[:, 0].astype(np.float64) - piece_y
        loss, squares = loss + evaluation.loss, squares + float(np.square(differences).sum())
    return Errors(loss, squares, len(y))
