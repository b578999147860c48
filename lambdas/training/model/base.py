"""The interface between models and algorithms; parameters are always one flat float32 array."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Parameters: TypeAlias = NDArray[np.float32]
Classes: TypeAlias = NDArray[np.int64]
# What a row is to teach: its class (int64), or its target (float32) in a regression. NumPy's types do not mix.
Targets: TypeAlias = Any
# float32 (rows, features), dense or scipy's CSR; uint8 (rows, 3072) for images. NumPy and scipy have the operators in
# common that models use, but no type.
Rows: TypeAlias = Any
# Channels, rows and columns of an image.
IMAGE_SHAPE = (3, 32, 32)


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
    """The loss and the scores of some rows; every metric follows from the scores, see `training.metrics`.

    Attributes:
        loss: Summed loss.
        samples: Number of rows.
        scores: What `predict` returns for these rows, float32 (rows, outputs).
    """

    loss: float
    samples: int
    scores: NDArray[np.float32]


class Model(Protocol):
    """A model that is trained by its gradient; it holds shapes, never data or parameters."""

    @property
    def n_classes(self) -> int:
        """Number of classes; 1 for a regression."""

    def initial(self, seed: int) -> Parameters:
        """Return the initial parameters, the same on every rank."""

    def penalised(self) -> Parameters:
        """Return 1 for each parameter that the penalty includes and 0 for the others (biases)."""

    def loss_and_gradient(self, parameters: Parameters, x: Rows, y: Targets) -> LossAndGradient:
        """Return the summed loss and gradient of a batch, without any penalty; zero rows give zeros."""

    def evaluate(self, parameters: Parameters, x: Rows, y: Targets) -> Evaluation:
        """Return the summed loss and the scores of rows, without any penalty; callers pass rows in pieces."""

    def predict(self, parameters: Parameters, x: Rows) -> NDArray[np.float32]:
        """Return scores (rows, classes): probabilities if the model has them; the largest is the predicted class.

        A regression returns its predictions (rows, 1).
        """


class Sections(NamedTuple):
    """What a vector of parameters holds: what is trained, then what is averaged, then what never changes.

    Attributes:
        trained: Number of parameters that have a gradient.
        averaged: Numbers that a training step changes by itself, such as running means. The gradient has their change
            in the batch, times its rows, so that a step adds the mean change of all rows.
    """

    trained: int
    averaged: int

    @property
    def exchanged(self) -> int:
        """Length of the gradient."""
        return self.trained + self.averaged


@runtime_checkable
class Sectioned(Protocol):
    """A model whose parameters are not all trained."""

    @property
    def sections(self) -> Sections:
        """The sections of its parameters."""


@runtime_checkable
class Stepwise(Protocol):
    """A model with random choices in training, such as dropout; the same step of a rank makes the same choices."""

    def begin_step(self, step: int, rank: int) -> None:
        """Note that the next gradient is that of a rank's training step, from 1."""


def sections_of(model: "Model", parameters: Parameters) -> Sections:
    """Return the sections of a model's parameters: all are trained, unless the model says otherwise."""
    return model.sections if isinstance(model, Sectioned) else Sections(parameters.size, 0)


def gradient_of(model: "Model", parameters: Parameters, x: Rows, y: Classes, step: int, rank: int) -> LossAndGradient:
    """Return the summed loss and gradient of a batch as a step of a training."""
    # Not isinstance(model, Stepwise): it takes 7 us, a fiftieth of a small module's step.
    begin: Callable[[int, int], None] | None = getattr(model, "begin_step", None)
    if begin is not None:
        begin(step, rank)
    return model.loss_and_gradient(parameters, x, y)


@runtime_checkable
class Weighable(Protocol):
    """A model that can weigh rows by their class."""

    def weighted(self, weights: Sequence[float]) -> Model:
        """Return the same model with the loss of each row weighted by its class; counts stay as they are."""
