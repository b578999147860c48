"""The weights of a trained model as matrices, as exports to other libraries need them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.model.catalogue import row_of
from training.run.model_file import TrainedModel

Float32 = NDArray[np.float32]

# Images are normalised inside of a model, (x / 255 - 0.5) / 0.25; the same as (x - mean) / scale.
IMAGE_MEAN, IMAGE_SCALE = 127.5, 63.75


class Affine(NamedTuple):
    """x W + b.

    Attributes:
        weights: float32 (inputs, outputs).
        biases: float32 (outputs,).
    """

    weights: Float32
    biases: Float32


def in_the_users_unit(trained: TrainedModel) -> TrainedModel:
    """Return the same regression with the scaling of its targets in the weights of its last layer."""
    if trained.target is None:
        return trained
    mean, scale = trained.target
    inputs = trained.n_features if is_linear(trained) else trained.hidden_units
    parameters = trained.parameters.astype(np.float64)
    last = parameters[-(inputs + 1) :]
    if trained.loss == "poisson":
        # The prediction is exponential, and such targets are divided only.
        last[-1] += np.log(scale)
    else:
        last *= scale
        last[-1] += mean
    return trained._replace(parameters=parameters.astype(np.float32), target=None)


def is_linear(trained: TrainedModel) -> bool:
    """Return whether a model is linear in its rows."""
    return (row_of(trained.model).maker or "").startswith(("linear.", "regression."))


def affine_of(trained: TrainedModel) -> Affine:
    """Return the weights of a linear model: one output for two classes and for a regression, else one per class."""
    matrix = trained.parameters.reshape(trained.n_features + 1, -1)
    return Affine(matrix[:-1], matrix[-1])


def scores_of(trained: TrainedModel) -> Affine:
    """Return the weights of a linear model with one output per class, also for two classes; see `affine_of`."""
    weights, biases = affine_of(trained)
    if trained.is_regression or weights.shape[1] > 1:
        return Affine(weights, biases)
    # Of two classes, ours scores the second: the softmax of (0, m), or the margins (-m, m).
    first = np.float32(-1 if trained.loss == "hinge" else 0)
    return Affine(np.hstack([first * weights, weights]), np.concatenate([first * biases, biases]))


def layers_of_mlp(trained: TrainedModel) -> tuple[Affine, Affine]:
    """Return the hidden layer and the output layer of mlp."""
    hidden, flat = trained.hidden_units, trained.parameters
    ends = np.cumsum([trained.n_features * hidden, hidden])
    first, bias, rest = np.split(flat, ends)
    outputs = rest.size // (hidden + 1)
    return (
        Affine(first.reshape(hidden, -1).T, bias),
        Affine(rest[: outputs * hidden].reshape(outputs, hidden).T, rest[outputs * hidden :]),
    )


def centroids_of(trained: TrainedModel) -> Float32:
    """Return the centroids of a clustering, (clusters, features)."""
    return trained.parameters.reshape(-1, trained.n_features)
