"""The loss of a user's torch.nn.Module: its attribute `loss`, by name or as a function, or the job's.

    a name                cross_entropy, hinge, squared, huber, poisson
    a function of torch   such as torch.nn.functional.l1_loss; its `reduction` is set, so that losses add up over rows
    an object of torch    such as torch.nn.CrossEntropyLoss(label_smoothing=0.1); likewise
    any other function    of (outputs, targets): a loss per row, their sum, or their mean

Losses are sums over rows, so that those of several ranks can be added. A probe on two rows finds whether a function
returns a sum or a mean: with the same row twice, a sum doubles.

The formulas of the names are those of `training.model.linear` and `training.model.torch_losses`. With two classes,
outputs may have one column, the margin of the second class.
"""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.errors import InputError
from training.model.loss_kinds import REGRESSION

NAMES = ("cross_entropy", "hinge", *REGRESSION)
# How outputs become scores.
Link = Literal["softmax", "sigmoid", "probability", "exp", "none"]
# Torch's own losses, as functions and as objects, whose outputs are not scores themselves.
_LINKS: Mapping[str, Link] = {
    "cross_entropy": "softmax",
    "CrossEntropyLoss": "softmax",
    "binary_cross_entropy_with_logits": "sigmoid",
    "BCEWithLogitsLoss": "sigmoid",
    "binary_cross_entropy": "probability",
    "BCELoss": "probability",
    "nll_loss": "exp",
    "NLLLoss": "exp",
    "poisson_nll_loss": "exp",
    "PoissonNLLLoss": "exp",
}
_REGRESSIONS_OF_TORCH = {
    *("mse_loss", "MSELoss", "l1_loss", "L1Loss", "huber_loss", "HuberLoss"),
    *("smooth_l1_loss", "SmoothL1Loss", "poisson_nll_loss", "PoissonNLLLoss"),
}


@dataclass(frozen=True, slots=True)
class OwnLoss:
    """A loss per row.

    Attributes:
        name: The model's name, for errors.
        shown: The loss's name.
        n_classes: Classes; 1 for a regression.
        regression: Whether targets are numbers.
        link: How outputs become scores.
        function: Maps outputs and targets to a loss per row, or to one number.
        weights: The weight of each class; None where all count alike.
        summed: The sum over rows in fewer operations; None where there is none.
    """

    name: str
    shown: str
    n_classes: int
    regression: bool
    link: Link
    function: Callable[[Any, Tensor], Tensor]
    weights: tuple[float, ...] | None = None
    summed: Callable[[Any, Tensor], Tensor] | None = None

    @property
    def has_probabilities(self) -> bool:
        """Whether scores are the probabilities of the classes."""
        one_column = self.n_classes == 2 and self.link in ("sigmoid", "probability")
        return not self.regression and (one_column or self.link in ("softmax", "exp"))

    def total(self, outputs: Any, targets: Tensor) -> Tensor:  # noqa: ANN401 - whatever the module returns
        """Return the summed loss of some rows, weighted by class.

        Raises:
            InputError: The loss is neither per row, nor a sum or a mean.
        """
        if self.summed is not None and self.weights is None:
            return self.summed(outputs, targets)
        rows = len(targets)
        found = self.function(outputs, self._shaped(outputs, targets))
        if not isinstance(found, Tensor):
            raise InputError(f"model={self.name}: the loss {self.shown} returns a {type(found).__name__}, not a tensor")
        if found.dim() == 0:
            if self.weights is not None:
                raise InputError(
                    f"model={self.name}: class_weights need a loss per row; {self.shown} returns one number for all"
                )
            return found * rows if self._is_mean(outputs, targets) else found
        if len(found) != rows:
            raise InputError(
                f"model={self.name}: the loss {self.shown} returns shape {tuple(found.shape)}; "
                f"wanted: ({rows},), one per row, or one number"
            )
        found = found.flatten(1).mean(dim=1) if found.dim() > 1 else found
        if self.weights is not None:
            found = found * torch.tensor(self.weights, dtype=found.dtype)[targets]
        return found.sum()

    def scores(self, outputs: Any) -> Tensor:  # noqa: ANN401 - whatever the module returns
        """Return the scores (rows, classes) of outputs, or (rows, 1) for a regression."""
        values = main_output(outputs).detach()
        values = values[:, None] if values.dim() == 1 else values
        if self.regression:
            return values.exp() if self.link == "exp" else values
        if values.shape[1] == 1 and self.n_classes == 2:
            if self.link in ("softmax", "sigmoid"):
                values = values.sigmoid()
                return torch.cat([1 - values, values], dim=1)
            return torch.cat([1 - values if self.link == "probability" else -values, values], dim=1)
        if self.link == "softmax":
            return values.softmax(dim=1)
        if self.link == "sigmoid":
            return values.sigmoid()
        return values.exp() if self.link == "exp" else values

    def weighted(self, weights: Sequence[float]) -> "OwnLoss":
        """Return the loss with rows weighted by their class."""
        return replace(self, weights=tuple(weights))

    def check(self, outputs: Any, rows: int) -> None:  # noqa: ANN401 - whatever the module returns
        """Check the outputs' shape.

        Raises:
            InputError: It is neither (rows, classes), nor a single column for two classes or a regression.
        """
        main = main_output(outputs)
        shape = tuple(main.shape) if isinstance(main, Tensor) else type(main).__name__
        if shape == (rows, self.n_classes) or (self.n_classes <= 2 and shape in ((rows,), (rows, 1))):
            return
        raise InputError(
            f"model={self.name}: forward returns {shape} for {rows} rows; wanted: {(rows, self.n_classes)}, "
            + ("one number per row" if self.regression else "a score for each class and row")
        )

    def _shaped(self, outputs: Any, targets: Tensor) -> Tensor:  # noqa: ANN401
        """Return targets in the outputs' shape where both are numbers: torch would broadcast (rows,) over (rows, 1)."""
        main = main_output(outputs)
        if self.regression or self.link in ("sigmoid", "probability"):
            if main.shape[1:].numel() > 1:
                targets = functional.one_hot(targets, self.n_classes)
            return targets.to(main.dtype).reshape(main.shape)
        return targets

    def _is_mean(self, outputs: Any, targets: Tensor) -> bool:  # noqa: ANN401
        """Return whether one number for all rows is their mean, rather than their sum."""
        with torch.no_grad():
            once, twice = (
                self.function(_rows_of(outputs, index), self._shaped(_rows_of(outputs, index), targets[index])).item()
                for index in (torch.tensor([0]), torch.tensor([0, 0]))
            )
        if abs(twice - once) <= 1e-4 * abs(once):
            return True
        if abs(twice - 2 * once) <= 1e-4 * abs(twice):
            return False
        raise InputError(
            f"model={self.name}: the loss {self.shown} is {once:g} for a row and {twice:g} for the same row twice; "
            "wanted: a loss per row, their sum or their mean"
        )


def main_output(outputs: Any) -> Any:  # noqa: ANN401
    """Return the tensor with the scores: the first of a tuple, or of a mapping `scores`, `logits` or the first."""
    if isinstance(outputs, tuple | list) and outputs:
        return outputs[0]
    if isinstance(outputs, Mapping) and outputs:
        key = next((key for key in ("scores", "logits") if key in outputs), next(iter(outputs)))
        return outputs[key]
    return outputs


def loss_of_module(name: str, module: nn.Module, facts: Mapping[str, Any]) -> OwnLoss:
    """Return the loss of a module.

    Raises:
        InputError: Its `loss` is neither a known name nor a function, or belongs to the other kind of task.
    """
    found, job_loss = _attribute(module), facts.get("loss")
    if found is None:
        found = job_loss or "cross_entropy"
    regression = facts["task"] == "regression"
    if isinstance(found, str):
        if found not in NAMES:
            raise InputError(f"model={name}: loss is {found!r}; allowed: {', '.join(NAMES)}, or a function")
        _check_task(name, found, wants=found in REGRESSION, regression=regression)
        if job_loss not in (None, found):
            raise InputError(f"loss={job_loss} needs a model without a loss of its own; model={name} has loss={found}")
        return _named(name, found, facts)
    if not callable(found):
        raise InputError(f"model={name}: loss is a {type(found).__name__}; allowed: {', '.join(NAMES)}, or a function")
    shown = getattr(found, "__name__", type(found).__name__)
    # A regression is one by the job's loss; the function replaces it.
    if job_loss not in (None, "squared" if regression else "cross_entropy"):
        raise InputError(f"loss={job_loss} needs a model without a loss of its own; model={name} has loss {shown}")
    if shown in _REGRESSIONS_OF_TORCH or shown in _LINKS:
        _check_task(name, shown, wants=shown in _REGRESSIONS_OF_TORCH, regression=regression)
    function: Any = found
    if isinstance(found, nn.Module) and hasattr(found, "reduction"):
        function = copy.copy(found)
        function.reduction = "none"
    elif inspect.isfunction(found) and "reduction" in inspect.signature(found).parameters:
        function = functools.partial(found, reduction="none")
    return OwnLoss(name, shown, facts["n_classes"], regression, _LINKS.get(shown, "none"), function)


def _attribute(module: nn.Module) -> Any:  # noqa: ANN401
    """Return the attribute `loss`; a function of two arguments in the class's body is no method."""
    plain = inspect.getattr_static(type(module), "loss", None)
    if "loss" not in vars(module) and inspect.isfunction(plain):
        first = next(iter(inspect.signature(plain).parameters), "")
        return plain if first != "self" else module.loss
    return getattr(module, "loss", None)


def _check_task(name: str, loss: str, *, wants: bool, regression: bool) -> None:
    if wants and not regression:
        raise InputError(
            f"model={name}: its loss {loss} is a regression's, and the job trains a classification: set loss=squared, "
            "huber or poisson"
        )
    if regression and not wants:
        raise InputError(f"model={name}: its loss {loss} is a classification's, and the job trains a regression")


def _named(name: str, loss: str, facts: Mapping[str, Any]) -> OwnLoss:
    delta = float(facts.get("huber_delta") or 1.0)
    functions: dict[str, Callable[[Any, Tensor], Tensor]] = {
        "cross_entropy": _cross_entropy,
        "hinge": _hinge,
        "squared": lambda outputs, y: 0.5 * functional.mse_loss(main_output(outputs), y, reduction="none"),
        "huber": lambda outputs, y: functional.huber_loss(main_output(outputs), y, reduction="none", delta=delta),
        "poisson": lambda outputs, y: main_output(outputs).exp() - y * main_output(outputs),
    }
    links: dict[str, Link] = {"cross_entropy": "softmax", "poisson": "exp"}
    link, summed = links.get(loss, "none"), _summed_cross_entropy if loss == "cross_entropy" else None
    return OwnLoss(name, loss, facts["n_classes"], loss in REGRESSION, link, functions[loss], None, summed)


def _cross_entropy(outputs: Any, y: Tensor) -> Tensor:  # noqa: ANN401
    values = main_output(outputs)
    if values.dim() == 1 or values.shape[1] == 1:
        margins = values.reshape(len(y))
        return functional.binary_cross_entropy_with_logits(margins, y.to(margins.dtype), reduction="none")
    return functional.cross_entropy(values, y, reduction="none")


def _summed_cross_entropy(outputs: Any, y: Tensor) -> Tensor:  # noqa: ANN401
    values = main_output(outputs)
    if values.dim() == 1 or values.shape[1] == 1:
        return _cross_entropy(outputs, y).sum()
    return functional.cross_entropy(values, y, reduction="sum")


def _hinge(outputs: Any, y: Tensor) -> Tensor:  # noqa: ANN401
    values = main_output(outputs)
    if values.dim() == 1 or values.shape[1] == 1:
        return (1 - (2 * y - 1) * values.reshape(len(y))).clamp(min=0)
    signs = 2 * functional.one_hot(y, values.shape[1]) - 1
    return (1 - signs * values).clamp(min=0).sum(dim=1)


def _rows_of(outputs: Any, index: Tensor) -> Any:  # noqa: ANN401
    """Return some rows of the outputs, whatever holds them."""
    if isinstance(outputs, Tensor):
        return outputs[index] if outputs.dim() else outputs
    if isinstance(outputs, Mapping):
        return {key: _rows_of(value, index) for key, value in outputs.items()}
    if isinstance(outputs, tuple | list):
        return [_rows_of(value, index) for value in outputs]
    return outputs
