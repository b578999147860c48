"""AWS's service model of Lambda: each operation's method, path and input members, with their constraints.

botocore ships the model, and every AWS SDK is generated from it. This module reads the file without importing botocore,
which would cost the gateway 20 MB.
"""

import functools
import gzip
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.gateway.api.corrections import FIRST, MEMBERS, corrected

_FILE = "data/lambda/2015-03-31/service-2.json.gz"

# Where a member lies in a request.
Shape = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """One input member of an operation.

    Attributes:
        name: AWS's name.
        shape: Its type and constraints.
        location: `uri`, `querystring`, `header`, or empty for a member of the body.
        sent_as: Its name in the request.
        required: Whether every request must have it.
    """

    name: str
    shape: Shape
    location: str
    sent_as: str
    required: bool


@dataclass(frozen=True, slots=True)
class OperationModel:
    """One operation.

    Attributes:
        name: AWS's name, for example `CreateAlias`.
        method: HTTP method.
        path: The path, with `{Member}` for each member in it.
        query: The query by which AWS tells it from another operation with the same path, for example `List=ALL`.
        status: HTTP status of a success.
        members: The input members by name.
        payload: The member that is the whole body, if one is.
        input: The shape of all of them.
    """

    name: str
    method: str
    path: str
    query: str
    status: int
    members: Mapping[str, Member]
    payload: str
    input: Shape


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """All operations and shapes."""

    operations: Mapping[str, OperationModel]
    shapes: Mapping[str, Shape]

    def shape(self, reference: Shape) -> Shape:
        """Return the shape that a member or an element refers to."""
        found: Shape = self.shapes[reference["shape"]]
        return found


@functools.cache
def service_model() -> ServiceModel:
    """Return the model.

    Raises:
        RuntimeError: botocore is not installed beside the gateway.
    """
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the gateway reads Lambda's service model from botocore, which is not installed")
    content = gzip.decompress((Path(spec.submodule_search_locations[0]) / _FILE).read_bytes())
    raw = msgspec.json.decode(content)
    shapes = corrected(raw["shapes"])
    operations = {name: _operation(name, operation, shapes) for name, operation in raw["operations"].items()}
    return ServiceModel(operations, shapes)


def _operation(name: str, raw: Shape, shapes: Mapping[str, Shape]) -> OperationModel:
    input_shape = shapes[raw["input"]["shape"]] if "input" in raw else {"members": {}}
    required = set(input_shape.get("required", ()))
    references = input_shape["members"]
    names = dict.fromkeys([*FIRST.get(name, ()), *references])
    path, _, query = raw["http"]["requestUri"].partition("?")
    return OperationModel(
        name=name,
        method=raw["http"]["method"],
        path=path.rstrip("/"),
        query=query,
        status=raw["http"].get("responseCode", 200),
        members={
            member: Member(
                member,
                {**shapes[reference["shape"]], **MEMBERS.get((name, member), {})},
                reference.get("location", ""),
                reference.get("locationName", member),
                member in required,
            )
            for member, reference in ((member, references[member]) for member in names)
        },
        payload=input_shape.get("payload", ""),
        input=input_shape,
    )
