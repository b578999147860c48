"""A user's own model in NumPy: an object with some methods of `training.model.base.Model`.

    initial(seed)                        needed      parameters, one dimension
    loss_and_gradient(parameters, x, y)  needed      (summed loss, gradient), or (loss, gradient, rows)
    evaluate(parameters, x, y)           needed      (summed loss, scores), or (loss, rows, scores)
    predict(parameters, x)               optional    scores (rows, classes); by default those of `evaluate`
    penalised()                          optional    1 for each parameter that a penalty includes; by default all
    weighted(weights)                    optional    the same model with rows weighted by class
    convex                               optional    True lets admm train it
    probabilities                        optional    True says that scores are the probabilities of the classes

`x` is float32 (rows, features), dense or scipy's CSR, and uint8 (rows, 3072) for images; `y` has the numbers of
classes, or float32 targets. Zero rows are never passed. What comes back is checked: shapes, and whether it is finite.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError
from training.model.base import Classes, Evaluation, LossAndGradient, Parameters, Rows
from training.model.scores import checked_scores
from training.model.user_code import drawn_from, step_seed, user_code


class NumpyModel:
    """A user's object as a model; see `training.model.base.Model`.

    Args:
        name: The model's name.
        own: The user's object.
        facts: Those of `facts_of`.
    """

    def __init__(self, name: str, own: Any, facts: Mapping[str, Any]) -> None:  # noqa: ANN401 - the user's
        self._name, self._own, self._facts = name, own, facts
        self._seed: int = facts.get("seed", 0)
        self._step = self._rank = 0
        self.n_classes: int = facts["n_classes"]
        self.convex = bool(getattr(own, "convex", False))
        self.has_probabilities = bool(getattr(own, "probabilities", False))
        self._size: int | None = None

    def initial(self, seed: int) -> Parameters:
        """Return the object's initial parameters.

        Raises:
            InputError: They are no vector of finite numbers.
        """
        with drawn_from(seed), user_code(self._name, "made its initial parameters"):
            found = np.array(self._own.initial(seed), np.float32)
        if found.ndim != 1 or not found.size:
            raise InputError(
                f"model={self._name}: initial returns shape {found.shape}; wanted: one dimension, and a number in it"
            )
        _check_finite(self._name, "initial parameters", found)
        self._size = found.size
        return found

    def penalised(self) -> Parameters:
        """Return the object's marks; by default every parameter is penalised."""
        size = self._parameters()
        if not hasattr(self._own, "penalised"):
            return np.ones(size, np.float32)
        with user_code(self._name, "returned `penalised`"):
            marks = np.array(self._own.penalised(), np.float32)
        if marks.shape != (size,):
            raise InputError(f"model={self._name}: penalised returns shape {marks.shape}; wanted: ({size},)")
        return marks

    def begin_step(self, step: int, rank: int) -> None:
        """Note the training step; see `Stepwise`."""
        self._step, self._rank = step, rank

    def loss_and_gradient(self, parameters: Parameters, x: Rows, y: Classes) -> LossAndGradient:
        """Return the object's loss and gradient.

        Raises:
            InputError: The gradient has another shape than the parameters, or is not finite where the loss is.
        """
        if not len(y):
            return LossAndGradient(0.0, np.zeros_like(parameters), 0)
        with (
            drawn_from(step_seed(self._seed, self._step, self._rank)),
            user_code(self._name, "computed a gradient"),
        ):
            answer = self._own.loss_and_gradient(parameters, x, y)
            loss, gradient = float(answer[0]), np.array(answer[1], np.float32)
        if gradient.shape != parameters.shape:
            raise InputError(
                f"model={self._name}: the gradient has shape {gradient.shape}; wanted: that of the parameters, "
                f"{parameters.shape}"
            )
        if np.isfinite(loss):
            _check_finite(self._name, "gradient", gradient)
        return LossAndGradient(loss, gradient, len(y))

    def evaluate(self, parameters: Parameters, x: Rows, y: Classes) -> Evaluation:
        """Return the object's loss and scores.

        Raises:
            InputError: The scores have another shape than (rows, classes).
        """
        if not len(y):
            return Evaluation(0.0, 0, np.zeros((0, self.n_classes), np.float32))
        with drawn_from(self._seed), user_code(self._name, "was evaluated"):
            answer = self._own.evaluate(parameters, x, y)
            loss, scores = float(answer[0]), np.asarray(answer[-1], np.float32)
        return Evaluation(loss, len(y), checked_scores(self._name, scores, len(y), self.n_classes))

    def predict(self, parameters: Parameters, x: Rows) -> NDArray[np.float32]:
        """Return the object's scores (rows, classes); those of `evaluate` if it has no `predict`."""
        rows = int(x.shape[0])
        if not hasattr(self._own, "predict"):
            y: Any = np.zeros(rows, np.float32 if self._facts["task"] == "regression" else np.int64)
            return self.evaluate(parameters, x, y).scores
        with drawn_from(self._seed), user_code(self._name, "predicted"):
            scores = np.asarray(self._own.predict(parameters, x), np.float32)
        return checked_scores(self._name, scores, rows, self.n_classes)

    def weighted(self, weights: Sequence[float]) -> "NumpyModel":
        """Return the model with the object's weighted one.

        Raises:
            InputError: The object cannot weigh rows.
        """
        if not hasattr(self._own, "weighted"):
            raise InputError(f"class_weights needs a model that can weigh rows; model={self._name} has no `weighted`")
        model = copy.copy(self)
        with user_code(self._name, "was weighted"):
            model._own = self._own.weighted(list(weights))  # noqa: SLF001 - its own copy
        return model

    def _parameters(self) -> int:
        return self._size if self._size is not None else self.initial(self._seed).size


def _check_finite(name: str, what: str, values: Parameters) -> None:
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise InputError(
            f"model={name}: the {what} is not finite at index {wrong[0]} ({values[wrong[0]]}), "
            f"{wrong.size} of {values.size} in all"
        )
