"""What every model offers an algorithm; parameters are always one flat float32 array."""

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Parameters: TypeAlias = NDArray[np.float32]
Classes: TypeAlias = NDArray[np.int64]
# float32 (rows, features), dense or scipy's CSR; uint8 (rows, 3072) for images. NumPy and scipy share the operators
# that models use, but no type.
Rows: TypeAlias = Any


class LossAndGradient(NamedTuple):
    """Sums over the rows of a batch.

    Attributes:
        loss: Summed loss.
        gradient: Its gradient, float32, the shape of the parameters.
        samples: Rows.
    """

    loss: float
    gradient: Parameters
    samples: int


class Evaluation(NamedTuple):
    """Sums over rows: added across ranks, they give the loss and the accuracy over all data.

    Attributes:
        loss: Summed loss.
        correct: Rows classified rightly.
        samples: Rows.
        predicted: Rows by their predicted class (classes,).
    """

    loss: float
    correct: int
    samples: int
    predicted: Classes


class Model(Protocol):
    """A model over flat parameters that is trained by its gradient; it holds shapes, never data."""

    @property
    def n_classes(self) -> int:
        """Classes that it tells apart."""

    def initial(self, seed: int) -> Parameters:
        """The parameters to start from; the same for every rank."""

    def penalised(self) -> Parameters:
        """1 where a parameter counts in the penalty, 0 where it does not (biases), the shape of the parameters."""

    def loss_and_gradient(self, parameters: Parameters, x: Rows, y: Classes) -> LossAndGradient:
        """Summed loss and gradient of a batch, without any penalty; zero rows give zeros."""

    def evaluate(self, parameters: Parameters, x: Rows, y: Classes) -> Evaluation:
        """Summed loss and hits over rows, without any penalty."""

    def predict(self, parameters: Parameters, x: Rows) -> NDArray[np.float32]:
        """Scores (rows, classes): the largest is the predicted class; probabilities where the model has them."""
