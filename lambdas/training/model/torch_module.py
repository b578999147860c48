"""A user's torch.nn.Module as a model: one flat float32 vector like every other, see `training.model.torch_layout`.

The whole batch passes the module at once, as in a loop of plain PyTorch. Rows are float32 (rows, features), sparse ones
made dense; images are (rows, 3, 32, 32), their bytes normalised, (x / 255 - 0.5) / 0.25.

What n ranks compute is what one rank computes on all their rows, up to float32's order of additions, if the loss of a
row depends on that row alone. Two layers are different:

    dropout              is drawn from (seed, step, rank): a rank that comes back draws the same again, and another
                         number of ranks draws otherwise
    batch normalisation  normalises by the batch of its rank, as `torch.nn.parallel.DistributedDataParallel` does. Its
                         running mean and variance are averaged over ranks after every exchange, weighted by rows.
                         A batch of a single row has no variance: such a row passes with the running ones.

Importing torch takes two seconds and 190 MB, so this module is imported only for a model that uses it.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedParameter

import training.model.torch_settings  # noqa: F401 - threads and determinism
from training.errors import InputError
from training.model.base import IMAGE_SHAPE, Evaluation, LossAndGradient, Parameters, Rows, Sections
from training.model.own_loss import loss_of_module
from training.model.scores import checked_scores
from training.model.torch_layout import Layout
from training.model.user_code import RANDOM_LOCK, step_seed, user_code

# Rows that are evaluated at once: as many as hold this many numbers, within limits.
_NUMBERS_AT_ONCE, _FEWEST_AT_ONCE, _MOST_AT_ONCE = 1 << 15, 32, 1024
_NORMS = (
    _BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,  # noqa: SLF001 - their common base
    nn.RMSNorm,
)


class TorchModel:
    """A module as a model; see `training.model.base.Model`.

    Args:
        name: The model's name.
        make: Makes the module for a seed.
        module: The module for the seed of the facts.
        facts: Those of `facts_of`.

    Attributes:
        layout: The module's arrays in the vector.

    Raises:
        InputError: The module cannot be trained.
    """

    def __init__(
        self, name: str, make: Callable[[int], nn.Module], module: nn.Module, facts: Mapping[str, Any]
    ) -> None:
        self._name, self._make, self._facts = name, make, facts
        self._seed: int = facts.get("seed", 0)
        self._step = self._rank = 0
        self.n_classes: int = facts["n_classes"]
        self.convex = bool(getattr(module, "convex", False))
        self._module = module
        self._materialise(module)
        self._loss = loss_of_module(name, module, facts)
        self.layout = Layout(name, module)
        self._initial = self._checked_initial(self.layout)
        self._dtype = next(slot.dtype for slot in self.layout.trained)
        self._batch_norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
        self._at_once = max(_FEWEST_AT_ONCE, min(_MOST_AT_ONCE, _NUMBERS_AT_ONCE // max(1, facts["n_features"])))

    @property
    def has_batch_statistics(self) -> bool:
        """Whether a row's output depends on the other rows of its batch, by a batch normalisation."""
        return bool(self._batch_norms)

    @property
    def has_probabilities(self) -> bool:
        """Whether scores are the probabilities of the classes."""
        return self._loss.has_probabilities

    @property
    def sections(self) -> Sections:
        """The sections of the vector; see `Sectioned`."""
        return self.layout.sections

    def initial(self, seed: int) -> Parameters:
        """Return the parameters and buffers that the constructor makes for this seed."""
        if seed == self._seed:
            return self._initial.copy()
        module = self._make(seed)
        self._materialise(module)
        return self._checked_initial(Layout(self._name, module))

    def filled(self, parameters: Parameters) -> nn.Module:
        """Return the user's module with these parameters and buffers, for predictions; it is the model's own."""
        self.layout.load(parameters)
        return self._module.eval()

    def scored(self, outputs: Any) -> Tensor:  # noqa: ANN401 - whatever the module returns
        """Return the scores that belong to outputs of the module; see `predict`."""
        return self._loss.scores(outputs)

    def penalised(self) -> Parameters:
        """Return 1 for parameters, and 0 for biases, normalisations, buffers and frozen parameters."""
        norms = {path for path, layer in self._module.named_modules() if isinstance(layer, _NORMS)}
        marks = np.zeros(self._initial.size, np.float32)
        for slot in self.layout.trained:
            path, _, key = slot.name.rpartition(".")
            marks[slot.start : slot.start + slot.size] = "bias" not in key and path not in norms
        return marks

    def begin_step(self, step: int, rank: int) -> None:
        """Note the training step; see `Stepwise`."""
        self._step, self._rank = step, rank

    def loss_and_gradient(self, parameters: Parameters, x: Rows, y: NDArray[Any]) -> LossAndGradient:
        """Return the summed loss and its gradient, with the change of the buffers behind it; see `Sections`.

        Raises:
            InputError: The module raised, its outputs have another shape, or its gradient is not finite where the loss
                is; the parameter is named.
        """
        rows = len(y)
        if not rows:
            return LossAndGradient(0.0, np.zeros(self.sections.exchanged, np.float32), 0)
        layout = self.layout
        with RANDOM_LOCK, user_code(self._name, "computed a gradient"):
            layout.load(parameters)
            layout.begin(self._step)
            torch.default_generator.manual_seed(step_seed(self._seed, self._step, self._rank))
            self._set_training(rows)
            outputs = self._module(self._inputs(x))
            self._loss.check(outputs, rows)
            loss = self._loss.total(outputs, self._targets(y))
            if not loss.requires_grad:
                raise InputError(
                    f"model={self._name}: the loss does not depend on the parameters; forward must not detach them "
                    "or run under torch.no_grad"
                )
            torch.autograd.backward(loss)
            total, gradient = loss.item(), layout.gradient(parameters, rows)
        if math.isfinite(total) and not math.isfinite(np.add.reduce(gradient)):
            self._refuse_gradient(gradient)
        return LossAndGradient(total, gradient, rows)

    def evaluate(self, parameters: Parameters, x: Rows, y: NDArray[Any]) -> Evaluation:
        """Return the summed loss and the scores of rows, without dropout and with running statistics."""
        loss, scores = self._passed(parameters, x, y)
        return Evaluation(loss, len(y), scores)

    def predict(self, parameters: Parameters, x: Rows) -> NDArray[np.float32]:
        """Return the scores of rows (rows, classes): probabilities where the loss is one of torch's that has them."""
        return self._passed(parameters, x, None)[1]

    def weighted(self, weights: Sequence[float]) -> "TorchModel":
        """Return the model with the loss of each row weighted by its class; it shares the module."""
        model = copy.copy(self)
        model._loss = self._loss.weighted(weights)  # noqa: SLF001 - its own copy
        return model

    def _passed(self, parameters: Parameters, x: Rows, y: NDArray[Any] | None) -> tuple[float, NDArray[np.float32]]:
        """Return the summed loss of rows, 0 without targets, and their scores."""
        rows, total = int(x.shape[0]), 0.0
        scores = np.empty((rows, self.n_classes), np.float32)
        with RANDOM_LOCK, user_code(self._name, "was evaluated"), torch.inference_mode():
            self.layout.load(parameters)
            torch.default_generator.manual_seed(self._seed)
            self._module.eval()
            for start in range(0, rows, self._at_once):
                piece = slice(start, min(start + self._at_once, rows))
                outputs = self._module(self._inputs(x[piece]))
                self._loss.check(outputs, piece.stop - start)
                if y is not None:
                    total += self._loss.total(outputs, self._targets(y[piece])).item()
                found = self._loss.scores(outputs).float().numpy()
                scores[piece] = checked_scores(self._name, found, piece.stop - start, self.n_classes)
        return total, scores

    def _set_training(self, rows: int) -> None:
        if not self._module.training:
            self._module.train()
        for layer in self._batch_norms:
            if layer.training != (rows > 1):  # assigning an attribute of a module is slow
                layer.training = rows > 1

    def _inputs(self, x: Rows) -> Tensor:
        # A copy, since torch aligns its own memory, and the grouping of sums may depend on that.
        rows = torch.tensor(x if isinstance(x, np.ndarray) else x.toarray())
        if rows.dtype == torch.uint8:
            rows = rows.float().div_(255).sub_(0.5).div_(0.25)
        if self._facts["dataset_type"] == "cifar10":
            rows = rows.view(-1, *IMAGE_SHAPE)
        return rows if rows.dtype == self._dtype else rows.to(self._dtype)

    def _targets(self, y: NDArray[Any]) -> Tensor:
        if self._facts["task"] == "regression":
            return torch.tensor(y, dtype=self._dtype)
        return torch.from_numpy(y.astype(np.int64))  # a copy, too

    def _materialise(self, module: nn.Module) -> None:
        """Pass two rows of zeros through a module with lazy layers, whose shapes follow from their first input."""
        if not any(isinstance(array, UninitializedParameter) for array in module.parameters()):
            return
        dtype = np.uint8 if self._facts["dataset_type"] == "cifar10" else np.float32
        self._dtype = next(array.dtype for array in module.parameters() if array.is_floating_point())
        with RANDOM_LOCK, user_code(self._name, "was given its first rows"), torch.no_grad():
            torch.default_generator.manual_seed(self._seed)
            module.eval()(self._inputs(np.zeros((2, self._facts["n_features"]), dtype)))
        module.train()

    def _checked_initial(self, layout: Layout) -> Parameters:
        vector = layout.vector()
        wrong = np.flatnonzero(~np.isfinite(vector))
        if wrong.size:
            key, index = layout.slot_at(int(wrong[0]))
            raise InputError(
                f"model={self._name}: the initial {key}{list(index)} is {vector[wrong[0]]}; wanted: finite numbers"
            )
        return vector

    def _refuse_gradient(self, gradient: Parameters) -> None:
        wrong = np.flatnonzero(~np.isfinite(gradient))
        if wrong.size:
            key, index = self.layout.slot_at(int(wrong[0]))
            raise InputError(
                f"model={self._name}: the loss is finite and its gradient is not: {gradient[wrong[0]]} at "
                f"{key}{list(index)}, {wrong.size} numbers in all"
            )
