"""What every model offers an algorithm; parameters are always one flat float32 array."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class LossAndGradient(NamedTuple):
    """Sums over the rows of a batch.

    Attributes:
        loss: Summed loss.
        gradient: Its gradient, float32, the shape of the parameters.
        samples: Rows.
    """

    loss: float
    gradient: NDArray[np.float32]
    samples: int


class Evaluation(NamedTuple):
    """Sums over rows: added across ranks, they give the loss and the accuracy over all data.

    Attributes:
        loss: Summed loss.
        correct: Rows classified rightly.
        samples: Rows.
    """

    loss: float
    correct: int
    samples: int


class Model(Protocol):
    """A model over flat parameters; it holds shapes, never data."""

    def initial(self, seed: int) -> NDArray[np.float32]:
        """The parameters to start from; the same for every rank."""

    def loss_and_gradient(
        self, parameters: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.int64]
    ) -> LossAndGradient:
        """Summed loss and gradient of a batch; zero rows give zeros."""

    def evaluate(self, parameters: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.int64]) -> Evaluation:
        """Summed loss and hits over rows."""
