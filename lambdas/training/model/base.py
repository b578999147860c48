"""The interface between models and algorithms; parameters are always one flat float32 array."""

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Parameters: TypeAlias = NDArray[np.float32]
Classes: TypeAlias = NDArray[np.int64]
# float32 (rows, features), dense or scipy's CSR; uint8 (rows, 3072) for images. NumPy and scipy have the operators in
# common that models use, but no type.
Rows: TypeAlias = Any


class LossAndGradient(NamedTuple):
    """Sums over the rows of a batch.

    Attributes:
        loss: Summed loss.
        gradient: Gradient of the loss, float32, in the shape of the parameters.
        samples: Number of rows.
    """

    loss: float
    gradient: Parameters
    samples: int


class Evaluation(NamedTuple):
    """Sums over rows: added across ranks, they give the loss and the accuracy over all data.

    Attributes:
        loss: Summed loss.
        correct: Number of correctly classified rows.
        samples: Number of rows.
        predicted: Number of rows by predicted class (classes,).
    """

    loss: float
    correct: int
    samples: int
    predicted: Classes


class Model(Protocol):
    """A model that is trained by its gradient; it holds shapes, never data or parameters."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""

    def initial(self, seed: int) -> Parameters:
        """Return the initial parameters, the same on every rank."""

    def penalised(self) -> Parameters:
        """Return 1 for each parameter that the penalty includes and 0 for the others (biases)."""

    def loss_and_gradient(self, parameters: Parameters, x: Rows, y: Classes) -> LossAndGradient:
        """Return the summed loss and gradient of a batch, without any penalty; zero rows give zeros."""

    def evaluate(self, parameters: Parameters, x: Rows, y: Classes) -> Evaluation:
        """Return the summed loss and the correct predictions over rows, without any penalty."""

    def predict(self, parameters: Parameters, x: Rows) -> NDArray[np.float32]:
        """Return scores (rows, classes): probabilities if the model has them; the largest is the predicted class."""
