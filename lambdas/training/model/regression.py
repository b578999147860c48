"""Linear regression on dense or sparse rows, in closed form; losses are sums over rows, as in `linear.py`.

With outputs m = x W + b, targets y and r = m - y:

    squared     r^2 / 2
    huber       r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2)
    poisson     exp(m) - y m                  log link: the prediction is exp(m); y >= 0

The residuals are r, r cut off at -delta and delta, and exp(m) - y.
All three have the curvature 1 where the prediction is the mean of targets that `training.algorithm.targets` scaled.
Huber 1964, Robust Estimation of a Location Parameter; McCullagh and Nelder 1989, Generalized Linear Models, 6.2.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from training.model.linear import LinearModel, Loss
from training.model.loss_kinds import LossKind

Float32 = NDArray[np.float32]


def linear_regression(
    n_features: int,
    n_classes: int,  # noqa: ARG001 - as every maker
    loss: LossKind = "squared",
    huber_delta: float = 1.0,
) -> LinearModel:
    """Return a linear regression; a Poisson loss predicts the exponential of the linear output."""
    losses: dict[LossKind, Loss] = {"squared": _squared, "huber": partial(_huber, huber_delta), "poisson": _poisson}
    return LinearModel(n_features, 1, 1, losses[loss], _exponential if loss == "poisson" else _column)


def _squared(outputs: Float32, y: Float32) -> tuple[float, Float32]:
    residuals = outputs - y
    return 0.5 * float(np.square(residuals).sum()), residuals


def _huber(delta: float, outputs: Float32, y: Float32) -> tuple[float, Float32]:
    differences = outputs - y
    residuals = np.clip(differences, np.float32(-delta), np.float32(delta))
    # Where |r| <= delta both factors are r; beyond, c (r - c / 2) with c = +-delta is delta (|r| - delta / 2).
    return float((residuals * (differences - np.float32(0.5) * residuals)).sum()), residuals


def _poisson(outputs: Float32, y: Float32) -> tuple[float, Float32]:
    rates = np.exp(outputs)
    return float((rates - y * outputs).sum()), rates - y


def _column(outputs: Float32) -> Float32:
    return outputs[:, np.newaxis]


def _exponential(outputs: Float32) -> Float32:
    rates: Float32 = np.exp(outputs)
    return rates[:, np.newaxis]
