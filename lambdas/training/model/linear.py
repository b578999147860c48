"""Linear models on dense or sparse rows, in closed form: logistic regression, softmax, support vector machines.

Losses and gradients are sums over rows, not means, so that the parts of several ranks can be added
and n workers compute what one worker computes on all their rows.

With margins m = x W + b and classes y:

    logistic              log(1 + exp(m)) - y m                     y in {0, 1}
    softmax               logsumexp(m) - m[y]                       y in {0 .. k-1}
    hinge                 max(0, 1 - s m)                           s = -1 for class 0, +1 for class 1
    hinge one-vs-rest     sum over c of max(0, 1 - s_c m_c)         s_c = +1 for c = y, else -1

The gradient in the margins is called residuals; x^T residuals is the gradient in W, whether x is dense or CSR.
Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 4.4.1 and 12.3.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.model.base import Classes, Evaluation, LossAndGradient, Parameters, Rows, Targets

Float32 = NDArray[np.float32]
_HALF = np.float32(0.5)

# Margins (rows,) or (rows, classes), classes or targets (rows,) -> the summed loss and the residuals, shaped as the
# margins.
Loss = Callable[[Float32, Targets], tuple[float, Float32]]
# Margins -> scores (rows, classes).
ToScores = Callable[[Float32], Float32]
# Margins, classes -> the summed loss and the scores.
Fused = Callable[[Float32, Classes], tuple[float, Float32]]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """One column of weights and a bias per output; two classes need a single output.

    `parameters` is the flattened matrix (features + 1, outputs) with the biases in its last row.

    Attributes:
        n_features: Columns of the rows.
        n_classes: Number of classes; 1 for a regression.
        n_outputs: 1 for two classes and for a regression, else one per class.
        loss: Maps margins and classes to the loss and its residuals.
        to_scores: Maps margins to scores.
        fused: The loss without residuals and the scores at once; None where that saves no time.
    """

    n_features: int
    n_classes: int
    n_outputs: int
    loss: Loss
    to_scores: ToScores
    fused: Fused | None = None

    def initial(self, seed: int) -> Parameters:  # noqa: ARG002 - a convex loss needs no random start
        """Return zeros."""
        return np.zeros((self.n_features + 1) * self.n_outputs, np.float32)

    def penalised(self) -> Parameters:
        """Return 1 for weights and 0 for biases."""
        mask = np.ones((self.n_features + 1, self.n_outputs), np.float32)
        mask[-1] = 0
        return mask.ravel()

    def loss_and_gradient(self, parameters: Parameters, x: Rows, y: Targets) -> LossAndGradient:
        """Return the summed loss and gradient; see `Model`."""
        loss, residuals = self.loss(self._margins(parameters, x), y)
        gradient = np.empty_like(parameters)
        gradient[: -self.n_outputs] = (x.T @ residuals).ravel()
        gradient[-self.n_outputs :] = residuals.sum(axis=0)
        return LossAndGradient(loss, gradient, len(y))

    def evaluate(self, parameters: Parameters, x: Rows, y: Targets) -> Evaluation:
        """Return the summed loss and the scores; see `Model`."""
        margins = self._margins(parameters, x)
        if self.fused is None:
            return Evaluation(self.loss(margins, y)[0], len(y), self.to_scores(margins))
        loss, scores = self.fused(margins, y)
        return Evaluation(loss, len(y), scores)

    def predict(self, parameters: Parameters, x: Rows) -> Float32:
        """Return scores (rows, classes); see `Model`."""
        return self.to_scores(self._margins(parameters, x))

    def weighted(self, weights: Sequence[float]) -> "LinearModel":
        """Return the model with the loss of each row weighted; see `Weighable`."""
        return replace(self, loss=_weighted(self.loss, weights), fused=None)

    def _margins(self, parameters: Parameters, x: Rows) -> Float32:
        margins: Float32
        if self.n_outputs == 1:
            margins = x @ parameters[:-1]
            margins += parameters[-1]
        else:
            matrix = parameters.reshape(self.n_features + 1, self.n_outputs)
            margins = x @ matrix[:-1]
            margins += matrix[-1]
        return margins


def logistic_regression(n_features: int, n_classes: int) -> LinearModel:
    """Return logistic regression; softmax regression for more than two classes."""
    if n_classes == 2:
        return LinearModel(n_features, 2, 1, _logistic, _two_probabilities, _logistic_and_scores)
    return LinearModel(n_features, n_classes, n_classes, _softmax, _probabilities, _softmax_and_scores)


def support_vector_machine(n_features: int, n_classes: int) -> LinearModel:
    """Return a linear SVM; one against the rest for more than two classes."""
    if n_classes == 2:
        return LinearModel(n_features, 2, 1, _hinge, _two_margins)
    return LinearModel(n_features, n_classes, n_classes, _hinge_one_vs_rest, _margins_themselves)


def _weighted(loss: Loss, weights: Sequence[float]) -> Loss:
    """Return a loss of which each row counts by the weight of its class."""

    def weighted(margins: Float32, y: Classes) -> tuple[float, Float32]:
        total, residuals = 0.0, np.zeros_like(margins)
        for number in np.unique(y).tolist():
            rows = y == number
            part, of_class = loss(margins[rows], y[rows])
            total += weights[number] * part
            residuals[rows] = np.float32(weights[number]) * of_class
        return total, residuals

    return weighted


def _logistic(margins: Float32, y: Classes) -> tuple[float, Float32]:
    # With d = 1 + exp(-|m|), which cannot overflow, and s = y - 1/2:
    #   log(1 + exp(m)) - y m      = |m|/2 - s m + log d
    #   1 / (1 + exp(-m)) - y      = sign(m) (1/d - 1/2) - s
    signs = y.astype(np.float32)
    signs -= _HALF
    sizes = np.abs(margins)
    d = np.exp(-sizes)
    d += 1
    loss = 0.5 * sizes.sum() - np.dot(margins, signs) + np.log(d).sum()
    residuals = np.copysign(1 / d - _HALF, margins)
    residuals -= signs
    return float(loss), residuals


def _softmax(margins: Float32, y: Classes) -> tuple[float, Float32]:
    rows = np.arange(len(y))
    log_probabilities = _log_probabilities(margins)
    loss = -float(log_probabilities[rows, y].sum(dtype=np.float64))
    residuals = np.exp(log_probabilities)
    residuals[rows, y] -= 1
    return loss, residuals


def _hinge(margins: Float32, y: Classes) -> tuple[float, Float32]:
    signs = (2 * y - 1).astype(np.float32)
    slack = np.maximum(1 - signs * margins, 0)
    return float(slack.sum(dtype=np.float64)), np.where(slack > 0, -signs, np.float32(0))


def _hinge_one_vs_rest(margins: Float32, y: Classes) -> tuple[float, Float32]:
    signs = np.full_like(margins, -1)
    signs[np.arange(len(y)), y] = 1
    slack = np.maximum(1 - signs * margins, 0)
    return float(slack.sum(dtype=np.float64)), np.where(slack > 0, -signs, np.float32(0))


def _log_probabilities(margins: Float32) -> Float32:
    shifted: Float32 = margins - margins.max(axis=1, keepdims=True, initial=-np.inf)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _probabilities(margins: Float32) -> Float32:
    probabilities: Float32 = np.exp(_log_probabilities(margins))
    return probabilities


def _two_probabilities(margins: Float32) -> Float32:
    return _two_shares(margins, np.exp(-np.abs(margins)))


def _two_shares(margins: Float32, e: Float32) -> Float32:
    """Return both probabilities (rows, 2) from e = exp(-|m|): 1 / (1 + e) and e / (1 + e)."""
    larger: Float32 = np.reciprocal(1 + e)
    smaller: Float32 = e * larger
    positive = margins > 0
    shares = np.empty((len(margins), 2), np.float32)
    shares[:, 0] = np.where(positive, smaller, larger)
    shares[:, 1] = np.where(positive, larger, smaller)
    return shares


def _logistic_and_scores(margins: Float32, y: Classes) -> tuple[float, Float32]:
    signs = y.astype(np.float32)
    signs -= _HALF
    sizes = np.abs(margins)
    e = np.exp(-sizes)
    loss = 0.5 * sizes.sum() - np.dot(margins, signs) + np.log(1 + e).sum()
    return float(loss), _two_shares(margins, e)


def _softmax_and_scores(margins: Float32, y: Classes) -> tuple[float, Float32]:
    log_probabilities = _log_probabilities(margins)
    loss = -float(log_probabilities[np.arange(len(y)), y].sum(dtype=np.float64))
    return loss, np.exp(log_probabilities)


def _two_margins(margins: Float32) -> Float32:
    return np.stack((-margins, margins), axis=1)


def _margins_themselves(margins: Float32) -> Float32:
    return margins
