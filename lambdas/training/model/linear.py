"""Logistic regression on dense rows, binary and multi-class, in closed form.

Losses and gradients are sums over rows, not means: parts of several ranks can then be added,
and n workers compute what one worker computes on all their rows.

Binary:       loss = sum log(1 + exp(m)) - y m,                  m = x.w + b,   y in {0, 1}
Multi-class:  loss = sum logsumexp(m) - m[y],                    m = x W + b,   y in {0 .. k-1}

Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 4.4.1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.model.base import Evaluation, LossAndGradient

Float32 = NDArray[np.float32]
Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LogisticRegression:
    """Two classes, one weight per feature and a bias; `parameters` has shape (features + 1,)."""

    n_features: int

    def initial(self, seed: int) -> Float32:  # noqa: ARG002 - convex: the start needs no chance
        """Zeros, shape (features + 1,)."""
        return np.zeros(self.n_features + 1, np.float32)

    def loss_and_gradient(self, parameters: Float32, x: Float32, y: Classes) -> LossAndGradient:
        """Summed loss and its gradient over rows `x` (rows, features) with classes `y` (rows,)."""
        margins = self._margins(parameters, x)
        residuals = _sigmoid(margins) - y.astype(np.float32)
        gradient = np.empty_like(parameters)
        np.dot(residuals, x, out=gradient[:-1])
        gradient[-1] = residuals.sum()
        return LossAndGradient(self._loss(margins, y), gradient, len(y))

    def evaluate(self, parameters: Float32, x: Float32, y: Classes) -> Evaluation:
        """Summed loss, rows classified rightly, and rows."""
        margins = self._margins(parameters, x)
        return Evaluation(self._loss(margins, y), int(np.count_nonzero((margins > 0) == (y == 1))), len(y))

    @staticmethod
    def _margins(parameters: Float32, x: Float32) -> Float32:
        margins: Float32 = x @ parameters[:-1] + parameters[-1]
        return margins

    @staticmethod
    def _loss(margins: Float32, y: Classes) -> float:
        # log(1 + exp(m)) without overflow.
        softplus = np.maximum(margins, 0) + np.log1p(np.exp(-np.abs(margins)))
        return float(softplus.sum(dtype=np.float64) - margins[y == 1].sum(dtype=np.float64))


@dataclass(frozen=True, slots=True)
class SoftmaxRegression:
    """Several classes; `parameters` is the (features + 1, classes) matrix, biases in the last row, laid flat."""

    n_features: int
    n_classes: int

    def initial(self, seed: int) -> Float32:  # noqa: ARG002 - convex: the start needs no chance
        """Zeros, shape ((features + 1) * classes,)."""
        return np.zeros((self.n_features + 1) * self.n_classes, np.float32)

    def loss_and_gradient(self, parameters: Float32, x: Float32, y: Classes) -> LossAndGradient:
        """Summed loss and its gradient over rows `x` (rows, features) with classes `y` (rows,)."""
        log_probabilities = self._log_probabilities(parameters, x)
        rows = np.arange(len(y))
        loss = -float(log_probabilities[rows, y].sum(dtype=np.float64))
        residuals = np.exp(log_probabilities)
        residuals[rows, y] -= 1
        gradient = np.concatenate((x.T @ residuals, residuals.sum(axis=0, keepdims=True)))
        return LossAndGradient(loss, gradient.ravel(), len(y))

    def evaluate(self, parameters: Float32, x: Float32, y: Classes) -> Evaluation:
        """Summed loss, rows classified rightly, and rows."""
        log_probabilities = self._log_probabilities(parameters, x)
        loss = -float(log_probabilities[np.arange(len(y)), y].sum(dtype=np.float64))
        return Evaluation(loss, int(np.count_nonzero(log_probabilities.argmax(axis=1) == y)), len(y))

    def _log_probabilities(self, parameters: Float32, x: Float32) -> Float32:
        matrix = parameters.reshape(self.n_features + 1, self.n_classes)
        logits: Float32 = x @ matrix[:-1] + matrix[-1]
        logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits


def _sigmoid(margins: Float32) -> Float32:
    # tanh saturates where exp(-m) would overflow.
    half: Float32 = 0.5 * (np.tanh(0.5 * margins) + 1)
    return half
