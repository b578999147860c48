"""AWS's checks of a request against the service model, in the words of AWS's `ValidationException`.

    1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy regular
    expression pattern: arn:(aws[a-zA-Z-]*)?:iam::...

The words are those that AWS answered (tests/parity/aws), not documented.
"""

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.gateway.api.model import OperationModel, ServiceModel, Shape
from harness.gateway.errors import LambdaApiError

# The types of which AWS checks length or value, and what their JSON is in Python.
_MEASURED: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "list": list,
    "map": dict,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
}
# Lists whose elements AWS does not describe as `must not be null`.
_MAY_HOLD_NULL = {"SubnetId", "SecurityGroupId", "String"}


def check(operation: OperationModel, given: Mapping[str, Any], model: ServiceModel) -> None:
    """Refuse a request whose members violate the service model.

    Args:
        operation: The operation.
        given: The request's members by name, as JSON values.
        model: The service model.

    Raises:
        LambdaApiError: `ValidationException` with every violation.
    """
    found: list[str] = []
    for name, member in operation.members.items():
        value = given.get(name)
        if value is None:
            if member.required:
                found.append(_failed("null", _at("", name), "Member must not be null"))
            continue
        found += _violations(value, _at("", name), member.shape, model)
    if found:
        errors = "error" if len(found) == 1 else "errors"
        raise LambdaApiError(
            "ValidationException", 400, f"{len(found)} validation {errors} detected: {'; '.join(found)}", typed=False
        )


def _at(parent: str, name: str) -> str:
    own = name[:1].lower() + name[1:]
    return f"{parent}.{own}" if parent else own


def _failed(value: str, path: str, constraint: str) -> str:
    shown = value if value == "null" else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _violations(value: Any, path: str, shape: Shape, model: ServiceModel) -> Iterator[str]:  # noqa: ANN401 - JSON
    if shape["type"] == "structure" and isinstance(value, dict):
        yield from _in_structure(value, path, shape, model)
        return
    for constraint in own_violations(value, shape):
        yield _failed(_shown(value), path, constraint)
    if shape["type"] == "list" and isinstance(value, list):
        yield from _in_list(value, path, shape, model)
    if shape["type"] == "map" and isinstance(value, dict):
        yield from _in_map(value, path, shape, model)


def _in_structure(value: Mapping[str, Any], path: str, shape: Shape, model: ServiceModel) -> Iterator[str]:
    for name, reference in shape["members"].items():
        inner = value.get(name)
        if inner is not None:
            yield from _violations(inner, _at(path, name), model.shape(reference), model)
        elif name in shape.get("required", ()):
            yield _failed("null", _at(path, name), "Member must not be null")


def _in_list(value: list[Any], path: str, shape: Shape, model: ServiceModel) -> Iterator[str]:
    element = model.shape(shape["member"])
    if "enum" in shape:
        if not {*shape["enum"], *shape["accepted"]}.issuperset(map(_shown, value)):
            yield _failed(_shown(value), path, f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]")
    elif element["type"] == "structure":
        for number, one in enumerate(value, 1):
            yield from _violations(one, f"{path}.{number}.member", element, model)
    elif _any_violates(value, element, nullable=(nullable := shape["member"]["shape"] in _MAY_HOLD_NULL)):
        described = _described(element, nullable=nullable)
        yield _failed(_shown(value), path, f"Member must satisfy constraint: [{described}]")


def _in_map(value: Mapping[str, Any], path: str, shape: Shape, model: ServiceModel) -> Iterator[str]:
    key, content = model.shape(shape["key"]), model.shape(shape["value"])
    if _any_violates(value, key, nullable=True):
        described = _described(key, nullable=True)
        yield _failed(_shown(value), path, f"Map keys must satisfy constraint: [{described}]")
    if content["type"] == "double":
        value = {name: _as_double(one) for name, one in value.items()}
    if content["type"] != "structure" and _any_violates(value.values(), content, nullable=False):
        described = _described(content, nullable=False)
        yield _failed(_shown(value), path, f"Map value must satisfy constraint: [{described}]")


def _as_double(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a whole number as AWS's messages show it where a double stands; other values stay as they are."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _any_violates(values: Iterable[Any], shape: Shape, *, nullable: bool) -> bool:
    return any(not nullable if value is None else any(True for _ in own_violations(value, shape)) for value in values)


def own_violations(value: Any, shape: Shape) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield the constraints of a shape that a value violates; a value of another type is refused later."""
    kinds = _MEASURED.get(shape["type"])
    if kinds is None or not isinstance(value, kinds) or isinstance(value, bool):
        return
    measured, what = (len(value), "length") if isinstance(value, str | list | dict) else (value, "value")
    if "max" in shape and measured > shape["max"]:
        yield f"Member must have {what} less than or equal to {_number(shape, 'max')}"
    if "min" in shape and measured < shape["min"]:
        yield f"Member must have {what} greater than or equal to {_number(shape, 'min')}"
    if not isinstance(value, str):
        return
    if "pattern" in shape and not _compiled(shape["pattern"]).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {shape['pattern']}"
    if "enum" in shape and value not in shape["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]"


def _described(shape: Shape, *, nullable: bool) -> str:
    """Return all constraints of a shape, as AWS lists them for the elements of a list or a map."""
    what = "length" if shape["type"] == "string" else "value"
    parts = []
    if "max" in shape:
        parts.append(f"Member must have {what} less than or equal to {_number(shape, 'max')}")
    if "min" in shape:
        parts.append(f"Member must have {what} greater than or equal to {_number(shape, 'min')}")
    if "pattern" in shape:
        parts.append(f"Member must satisfy regular expression pattern: {shape['pattern']}")
    if "enum" in shape:
        parts.append(f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]")
    if not nullable:
        parts.append("Member must not be null")
    return ", ".join(parts)


def _number(shape: Shape, bound: str) -> str:
    return str(float(shape[bound])) if shape["type"] in ("double", "float") else str(shape[bound])


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return a value as AWS's messages show it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_shown(one)}" for key, one in value.items()) + "}"
    return "null" if value is None else str(value)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # The model's expressions are Java's. Its Unicode classes stand only within brackets.
    if r"\p{" in pattern:
        return re.compile(pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", "").replace(r"\p{Z}", " \u00a0"))
    return re.compile(pattern, re.ASCII)
