"""The registry of operations: routes made from the service model, requests checked and decoded, answers in AWS's form.

An operation is a function in the file of its resource:

    class ListThings(Input):
        function_name: str
        marker: str | None = None
        ...

    @operation(ListThings)
    async def list_things(call: Call[ListThings]) -> Body:
        ...

Its input names the members that the emulation acts on, or stores and shows.
A request with another member of AWS's is refused by the member's name; an operation that nobody registered, by its own.
"""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.gateway import limits
from harness.gateway.api.constraints import check
from harness.gateway.api.model import OperationModel, service_model
from harness.gateway.api.taken import untaken
from harness.gateway.errors import (
    LambdaApiError,
    body_not_json,
    input_not_emulated,
    operation_not_emulated,
    request_too_large,
)
from harness.gateway.services import Services, services_of

# An answer's body in AWS's form; None for an answer without a body.
Body = Mapping[str, Any] | None

# Bodies above this size hold a package; threads decode them, so that other invocations go on.
_LARGE_BYTES = 256 * 1024


class Input(msgspec.Struct, rename="pascal"):
    """The members of an operation's input that the emulation takes."""


In = TypeVar("In", bound=Input)


@dataclass(frozen=True, slots=True)
class Call(Generic[In]):
    """One call of an operation.

    Attributes:
        input: What the caller sent.
        services: The parts of the Lambda service.
        address: The address by which the caller reaches the service, `http://host:port`.
    """

    input: In
    services: Services
    address: str


Handler = Callable[[Call[Any]], Awaitable[Body]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A registered operation.

    Attributes:
        name: AWS's name.
        input: The members that it takes.
        handler: Performs it.
        status: HTTP status of a success, where it is not the model's; None otherwise.
    """

    name: str
    input: type[Input]
    handler: Handler
    status: int | None


OPERATIONS: dict[str, Operation] = {}


def operation(
    kind: type[In], *, status: int | None = None
) -> Callable[[Callable[[Call[In]], Awaitable[Body]]], Callable[[Call[In]], Awaitable[Body]]]:
    """Register a function as the operation that its input is named after.

    Args:
        kind: The operation's input; its name is AWS's name of the operation.
        status: HTTP status of a success, where AWS's answer differs from AWS's model.
    """

    def register(handler: Callable[[Call[In]], Awaitable[Body]]) -> Callable[[Call[In]], Awaitable[Body]]:
        OPERATIONS[kind.__name__] = Operation(kind.__name__, kind, handler, status)
        return handler

    return register


def operation_routes() -> list[Route]:
    """Return the routes of all of AWS's operations, with and without the trailing slash that some clients send.

    An operation that AWS tells by its query comes before the one with the same path.
    Operations that the emulation lacks answer 501.
    """
    models = service_model().operations.values()
    by_place: dict[tuple[str, str], list[OperationModel]] = {}
    for model in models:
        if model.name != "Invoke":
            by_place.setdefault((model.method, _form(model.path)), []).append(model)
    routes = []
    for (method, _), sharing in by_place.items():
        sharing.sort(key=lambda model: not model.query)
        path = _starlette_path(sharing[0].path)
        routes += [Route(path + end, _answering(sharing), methods=[method], name=sharing[-1].name) for end in ("", "/")]
    # Starlette matches in order: a fixed path such as .../event-invoke-config/list precedes one with a parameter.
    return sorted(routes, key=lambda route: (route.path.count("{"), -len(route.path)))


def _form(path: str) -> str:
    """Return a path with uniform parameters."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _starlette_path(path: str) -> str:
    """Return a path in Starlette's form; a parameter at the end may be an ARN, which may contain slashes."""
    return path.replace("{Resource}", "{Resource:path}").replace("{ResourceArn}", "{ResourceArn:path}")


def _answering(sharing: list[OperationModel]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        model = next(one for one in sharing if not one.query or _asks_for(request, one.query))
        services = services_of(request)
        fault = services.call_faults.take("lambda", lambda: model.name)
        if fault is not None:
            raise LambdaApiError(fault.error, fault.status, fault.message)
        own = OPERATIONS.get(model.name)
        if own is None:
            raise operation_not_emulated(model.name)
        given, size = await _given(request, model)
        decode = functools.partial(_decoded, own, model, given)
        taken = await asyncio.to_thread(decode) if size > _LARGE_BYTES else decode()
        body = await own.handler(Call(taken, services, f"{request.url.scheme}://{request.url.netloc}"))
        status = own.status or model.status
        return Response(status_code=status) if body is None else JSONResponse(dict(body), status_code=status)

    return answer


def _asks_for(request: Request, query: str) -> bool:
    name, _, value = query.partition("=")
    return request.query_params.get(name) == value


async def _given(request: Request, model: OperationModel) -> tuple[dict[str, Any], int]:
    """Return the members of a request, from its path, query, headers and body, and the body's size."""
    given: dict[str, Any] = {}
    size = 0
    if model.payload:
        content = await _content(request, model.name)
        given[model.payload], size = content, len(content)
    elif any(not member.location for member in model.members.values()):
        sent, size = await _body(request, model.name)
        given = {name: sent[name] for name, member in model.members.items() if not member.location and name in sent}
    for name, member in model.members.items():
        if member.location == "uri":
            given[name] = _of_text([request.path_params[member.sent_as]], member.shape["type"])
        elif member.location == "querystring":
            values = request.query_params.getlist(member.sent_as)
            if values:
                given[name] = _of_text(values, member.shape["type"])
        elif member.location == "header" and member.sent_as in request.headers:
            given[name] = request.headers[member.sent_as]
    return given, size


def _of_text(values: list[str], kind: str) -> Any:  # noqa: ANN401 - JSON
    """Return a parameter of the path or query as the service model's type; what does not fit stays text."""
    if kind == "list":
        return values
    if kind in ("integer", "long"):
        try:
            return int(values[0])
        except ValueError:
            return values[0]
    return values[0] == "true" if kind == "boolean" else values[0]


async def _content(request: Request, name: str) -> bytes:
    limit = limits.CODE_REQUEST_BYTES
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise request_too_large(limit, name)
        parts.append(part)
    return b"".join(parts)


async def _body(request: Request, name: str) -> tuple[dict[str, Any], int]:
    content = await _content(request, name)
    size = len(content)
    parse = functools.partial(msgspec.json.decode, content or b"{}")
    try:
        decoded = await asyncio.to_thread(parse) if size > _LARGE_BYTES else parse()
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise body_not_json(str(error)) from error
    if not isinstance(decoded, dict):
        raise body_not_json(f"expected an object, got {type(decoded).__name__}")
    return decoded, size


def _decoded(own: Operation, model: OperationModel, given: dict[str, Any]) -> Input:
    """Return the operation's input after every check against the service model.

    Raises:
        LambdaApiError: A member violates the model, has another type, or is not emulated.
    """
    check(model, given, service_model())
    for member in untaken(given, own.input, model.input, service_model()):
        raise input_not_emulated(model.name, member)
    present = {name: value for name, value in given.items() if value is not None}
    try:
        return msgspec.convert(present, own.input)
    except msgspec.ValidationError as error:
        raise LambdaApiError("SerializationException", 400, str(error), typed=False) from error


def request_id() -> str:
    """Return a new id of a request."""
    return str(uuid.uuid4())
