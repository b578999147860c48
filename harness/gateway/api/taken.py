"""Which of AWS's members an input takes, those of nested structures included."""

import functools
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from harness.gateway.api.model import ServiceModel, Shape

# What says nothing: a member with such a value is as good as absent.
_EMPTY: tuple[Any, ...] = (None, False, "", [], {})


def untaken(value: Mapping[str, Any], kind: type[msgspec.Struct], shape: Shape, model: ServiceModel) -> Iterator[str]:
    """Yield the members of a structure that say something and that its record does not take, as `A.B`.

    Args:
        value: The structure, as JSON.
        kind: The record that it becomes.
        shape: AWS's shape of it.
        model: The service model.
    """
    for name, record, inner_shape in _members(kind, shape, model):
        inner = value.get(name)
        if inner in _EMPTY:
            continue
        if record is _UNTAKEN:
            yield name
        elif record is not None and inner_shape["type"] == "structure" and isinstance(inner, dict):
            yield from (f"{name}.{one}" for one in untaken(inner, record, inner_shape, model))
        elif record is not None and inner_shape["type"] == "list" and isinstance(inner, list):
            element = model.shape(inner_shape["member"])
            for one in inner:
                if isinstance(one, dict):
                    yield from (f"{name}.{part}" for part in untaken(one, record, element, model))


def paths(kind: type[msgspec.Struct] | None, shape: Shape, model: ServiceModel) -> Iterator[tuple[str, bool]]:
    """Yield every member of a structure, nested ones as `A.B`, and whether the record takes it."""
    for name, record, inner_shape in _members(kind, shape, model):
        taken = record is not _UNTAKEN
        yield name, taken
        nested = inner_shape if inner_shape["type"] == "structure" else None
        if inner_shape["type"] == "list":
            element = model.shape(inner_shape["member"])
            nested = element if element["type"] == "structure" else None
        if nested is not None and taken:
            yield from ((f"{name}.{path}", one) for path, one in paths(record, nested, model))


class _Untaken(msgspec.Struct):
    """Stands for the record of a member that no record takes."""


_UNTAKEN = _Untaken


def _members(
    kind: type[msgspec.Struct] | None, shape: Shape, model: ServiceModel
) -> Iterator[tuple[str, type[msgspec.Struct] | None, Shape]]:
    """Yield each member's name, the record that it becomes, if it becomes one, and its shape."""
    fields = _fields(kind) if kind is not None else {}
    for name, reference in shape["members"].items():
        yield name, fields.get(name, _UNTAKEN), model.shape(reference)


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct] | None]:
    return {field.encode_name: _record_in(field.type) for field in msgspec.structs.fields(kind)}


def _record_in(annotation: Any) -> type[msgspec.Struct] | None:  # noqa: ANN401 - any annotation
    """Return the record in an annotation such as `X | None` or `list[X]`."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    return next((found for one in typing.get_args(annotation) if (found := _record_in(one)) is not None), None)
