"""The flat vector of a torch.nn.Module: where each of its arrays lies in it.

    trained     parameters with a gradient, in the order of `named_parameters`; a tied parameter once
    averaged    persistent floating buffers, such as the running mean and variance of a batch normalisation
    kept        parameters without a gradient (frozen): never exchanged, and stored with the model

float32 parameters and buffers become views of the vector, so that a step copies each section once.
float64, float16 and bfloat16 ones keep their own memory and are converted: the vector is float32.

Everything else is made by the constructor and must not change in training: buffers that are not persistent, and those
of integers or booleans. `num_batches_tracked` of a batch normalisation is the number of the step, on every rank.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors

from training.errors import InputError
from training.model.base import Parameters, Sections

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COUNTER = "num_batches_tracked"


class Slot(NamedTuple):
    """One array of the vector.

    Attributes:
        name: As in `named_parameters` or `named_buffers`.
        shape: Its shape.
        dtype: The module's type of it.
        start: Its first place in its section.
        size: Number of its elements.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    start: int
    size: int


class _Section:
    """Arrays side by side in one flat float32 tensor."""

    def __init__(self, arrays: Sequence[tuple[str, Tensor]]) -> None:
        self.slots: list[Slot] = []
        start = 0
        for name, array in arrays:
            self.slots.append(Slot(name, tuple(array.shape), array.dtype, start, array.numel()))
            start += array.numel()
        self.size = start
        self.flat = torch.zeros(start)
        self.numbers: NDArray[np.float32] = self.flat.numpy()
        for (_, array), view in zip(arrays, self.views(), strict=True):
            view.copy_(array.detach())

    def views(self) -> list[Tensor]:
        """Return each array as a view of the flat tensor."""
        return [self.flat[slot.start : slot.start + slot.size].view(slot.shape) for slot in self.slots]


class Layout:
    """A module whose parameters and buffers lie in flat vectors.

    Args:
        name: The model's name.
        module: The module; its arrays become views.

    Attributes:
        trained: Slots of the parameters with a gradient.
        averaged: Slots of the averaged buffers.
        kept: Slots of the frozen parameters.
        sections: The sections of the vector.

    Raises:
        InputError: The module has no parameter to train, or one that cannot be exchanged.
    """

    def __init__(self, name: str, module: nn.Module) -> None:
        self._name = name
        parameters = list(module.named_parameters())
        trained = [(key, array) for key, array in parameters if array.requires_grad]
        frozen = [(key, array) for key, array in parameters if not array.requires_grad and array.is_floating_point()]
        _check_trained(name, trained)
        owners = list(_buffers(name, module))
        buffers = [(owner, key, path) for owner, key, path, persistent in owners if persistent and _floats(owner, key)]
        states = [(path, _buffer(owner, key)) for owner, key, path in buffers]
        self._trained, self._averaged, self._kept = _Section(trained), _Section(states), _Section(frozen)
        self.trained, self.averaged, self.kept = self._trained.slots, self._averaged.slots, self._kept.slots
        self.sections = Sections(self._trained.size, self._averaged.size)
        self._parameters = [array for _, array in trained]
        self._converted = _bind(self._parameters, self._trained) + _bind([array for _, array in frozen], self._kept)
        self._buffers = [(owner, key) for owner, key, _ in buffers]
        self._buffer_views = self._averaged.views()
        self._bind_buffers()
        self._counters = [owner for owner, key, _, _ in owners if key == _COUNTER and _buffer(owner, key).dim() == 0]
        self._constants = [
            (owner, key, path, _buffer(owner, key), _buffer(owner, key)._version)  # noqa: SLF001
            for owner, key, path, persistent in owners
            if key != _COUNTER and not (persistent and _floats(owner, key))
        ]

    def vector(self) -> Parameters:
        """Return a copy of the vector."""
        return np.concatenate([self._trained.numbers, self._averaged.numbers, self._kept.numbers])

    def load(self, parameters: Parameters) -> None:
        """Put a vector into the module."""
        trained, exchanged = self.sections.trained, self.sections.exchanged
        np.copyto(self._trained.numbers, parameters[:trained])
        np.copyto(self._averaged.numbers, parameters[trained:exchanged])
        np.copyto(self._kept.numbers, parameters[exchanged:])
        for array, view in self._converted:
            array.data.copy_(view)
        for (owner, key), view in zip(self._buffers, self._buffer_views, strict=True):
            current = _buffer(owner, key)
            if current is not view:
                current.copy_(view)

    def begin(self, step: int) -> None:
        """Prepare a training step: no gradients, and the counters of earlier steps."""
        for array in self._parameters:
            array.grad = None
        for owner in self._counters:
            _buffer(owner, _COUNTER).fill_(max(0, step - 1))

    def gradient(self, parameters: Parameters, rows: int) -> Parameters:
        """Return what a step of the module has left: its gradient, and the change of its buffers times the rows.

        Args:
            parameters: The vector before it.
            rows: Rows of the batch.

        Raises:
            InputError: A buffer that is not exchanged has changed.
        """
        self._check_constants()
        self._collect_buffers()
        arrays = [*map(_gradient, self._parameters), self._averaged.flat]
        vector: Parameters = _flatten_dense_tensors(arrays).detach().numpy()  # a copy of them, side by side
        trained, averaged = self.sections
        if averaged:
            vector[trained:] -= parameters[trained : trained + averaged]
            vector[trained:] *= np.float32(rows)
        return vector

    def slot_at(self, index: int) -> tuple[str, tuple[int, ...]]:
        """Return the name of the parameter or buffer at a place of the vector, and the index within it."""
        for section in (self._trained, self._averaged, self._kept):
            if index < section.size:
                slot = next(slot for slot in section.slots if slot.start <= index < slot.start + slot.size)
                return slot.name, tuple(map(int, np.unravel_index(index - slot.start, slot.shape or (1,))))
            index -= section.size
        raise IndexError(index)

    def _bind_buffers(self) -> None:
        for (owner, key), view in zip(self._buffers, self._buffer_views, strict=True):
            if _buffer(owner, key).dtype == torch.float32:
                owner._buffers[key] = view  # noqa: SLF001 - assigning the attribute does the same, with checks

    def _collect_buffers(self) -> None:
        """Copy buffers that are not views, or were replaced in the step, and bind them again."""
        for (owner, key), view in zip(self._buffers, self._buffer_views, strict=True):
            current = _buffer(owner, key)
            if current is not view:
                if tuple(current.shape) != tuple(view.shape):
                    raise InputError(
                        f"model={self._name}: the buffer {key} had shape {tuple(view.shape)} and has now "
                        f"{tuple(current.shape)}; a buffer keeps its shape"
                    )
                view.copy_(current.detach())
                if view.dtype == current.dtype:
                    owner._buffers[key] = view  # noqa: SLF001

    def _check_constants(self) -> None:
        for owner, key, path, array, version in self._constants:
            current = owner._buffers.get(key)  # noqa: SLF001
            if current is not array or array._version != version:  # noqa: SLF001
                raise InputError(
                    f"model={self._name}: the buffer {path} ({array.dtype}) changed in a training step; "
                    "only persistent buffers of floating numbers are averaged and kept"
                )


def _check_trained(name: str, trained: Sequence[tuple[str, nn.Parameter]]) -> None:
    if not trained:
        raise InputError(f"model={name} has no parameter with requires_grad: there is nothing to train")
    places: dict[int, str] = {}
    for key, array in trained:
        if not array.is_floating_point():
            raise InputError(f"model={name}: the parameter {key} is {array.dtype}; a parameter is a floating number")
        if array.device.type != "cpu":
            raise InputError(f"model={name}: the parameter {key} is on {array.device}; a function has a CPU alone")
        other = places.setdefault(array.data_ptr(), key) if array.numel() else key
        if other != key:
            raise InputError(
                f"model={name}: the parameters {other} and {key} share memory; tie them as one parameter, "
                f"as in `self.b.weight = self.a.weight`"
            )


def _gradient(array: Tensor) -> Tensor:
    """Return the gradient of a parameter, float32; zeros if the loss does not depend on it."""
    found = array.grad
    if found is None:
        return torch.zeros(array.shape)
    found = found.to_dense() if found.is_sparse else found
    return found if found.dtype == torch.float32 else found.float()


def _bind(parameters: Sequence[Tensor], section: _Section) -> list[tuple[Tensor, Tensor]]:
    """Make float32 parameters views of their section; return the others with their views."""
    converted = []
    for array, view in zip(parameters, section.views(), strict=True):
        if array.dtype == torch.float32:
            array.data = view
        else:
            converted.append((array, view))
    return converted


def _buffers(name: str, module: nn.Module) -> Iterator[tuple[nn.Module, str, str, bool]]:
    """Yield each buffer: its owner, its key there, its path, and whether it is persistent.

    Raises:
        InputError: Two modules share a buffer: only one of them could have it as a view.
    """
    seen: set[int] = set()
    for prefix, owner in module.named_modules():
        for key, array in owner._buffers.items():  # noqa: SLF001 - `named_buffers` does not say which are persistent
            path = f"{prefix}.{key}" if prefix else key
            if array is not None and id(array) in seen:
                raise InputError(f"model={name}: the buffer {path} is another module's as well; register a copy of it")
            if array is not None:
                seen.add(id(array))
                persistent = key not in owner._non_persistent_buffers_set  # noqa: SLF001
                yield owner, key, path, persistent


def _buffer(owner: nn.Module, key: str) -> Tensor:
    return cast("Tensor", owner._buffers[key])  # noqa: SLF001 - those that are None were left out


def _floats(owner: nn.Module, key: str) -> bool:
    return bool(_buffer(owner, key).is_floating_point())
