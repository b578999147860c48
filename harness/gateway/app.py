"""The Lambda API over HTTP: what boto3, the AWS CLI and curl talk to.

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
"""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.gateway import limits
from harness.gateway.errors import (
    LambdaApiError,
    body_not_json,
    invalid_parameter,
    recursive_invocation,
    request_too_large,
)
from harness.gateway.faults import InvocationFaults, control_routes
from harness.gateway.functions import FunctionStore
from harness.gateway.invocations import Invocation, Invoker
from harness.gateway.pool import Pool

LOCAL_HOSTS = {"127.0.0.1", "localhost", "[::1]"}
FUNCTIONS = "/2015-03-31/functions"


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes stand on."""

    functions: FunctionStore
    pool: Pool
    invoker: Invoker
    faults: InvocationFaults


class LocalCallersOnly:
    """Refuses what a web page in the user's browser could send: whoever invokes runs code on this machine.

    A page's requests carry its origin, and those of a rebound name carry that name as host; boto3, the AWS CLI and
    curl send neither.

    Args:
        app: What is behind it.
        names: The service's own names beside this machine's.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = LOCAL_HOSTS | set(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers 403."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "").rsplit(":", 1)[0]
            if "origin" in headers or host not in self._names:
                answer = JSONResponse({"Message": "only local programs may call this service"}, status_code=403)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(services: Services, lifespan: Lifespan, names: Collection[str] = ()) -> Starlette:
    """The application.

    Args:
        services: What the routes stand on.
        lifespan: Starts and stops that.
        names: Hosts by which callers know this service beside those of this machine.
    """
    one = FUNCTIONS + "/{name}"
    events = "/2019-09-25/functions/{name}/event-invoke-config"
    recursion = "/2024-08-31/functions/{name}/recursion-config"
    app = Starlette(
        routes=[
            # Looked for in this order.
            Route(one + "/invocations", _invoke, methods=["POST"]),
            Route("/_harness/health", _health),
            Route(FUNCTIONS, _list, methods=["GET"]),
            Route(FUNCTIONS + "/", _list, methods=["GET"]),
            Route(FUNCTIONS, _create, methods=["POST"]),
            Route(one, _get, methods=["GET"]),
            Route(one, _delete, methods=["DELETE"]),
            Route(one + "/configuration", _get_configuration, methods=["GET"]),
            Route(one + "/configuration", _update_configuration, methods=["PUT"]),
            Route(one + "/code", _update_code, methods=["PUT"]),
            Route("/2016-08-19/account-settings", _account_settings, methods=["GET"]),
            Route("/2016-08-19/account-settings/", _account_settings, methods=["GET"]),
            Route(events, _get_event_invoke_config, methods=["GET"]),
            Route(events, _put_event_invoke_config, methods=["PUT"]),
            Route(recursion, _get_recursion_config, methods=["GET"]),
            Route(recursion, _put_recursion_config, methods=["PUT"]),
            *control_routes(services.faults),
        ],
        middleware=[Middleware(LocalCallersOnly, names=names)],
        exception_handlers={LambdaApiError: _api_error},
        lifespan=lifespan,
    )
    app.state.services = services
    return app


async def _invoke(request: Request) -> Response:
    services = _services(request)
    qualifier = request.query_params.get("Qualifier", "$LATEST")
    function = services.functions.get(f"{request.path_params['name'].removesuffix(':$LATEST')}:{qualifier}")
    kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    if kind not in {"RequestResponse", "Event", "DryRun"}:
        raise invalid_parameter(f"InvocationType '{kind}' must be one of RequestResponse, Event, DryRun.")
    payload = await _payload(request, limits.ASYNC_PAYLOAD_BYTES if kind == "Event" else limits.SYNC_PAYLOAD_BYTES)
    context = request.headers.get("X-Amz-Client-Context")
    invocation = Invocation(
        function.name,
        payload,
        {"X-Amz-Client-Context": context} if context else {},
        lineage=services.pool.lineage_of(_access_key(request)),
    )
    headers = {"X-Amzn-RequestId": invocation.request_id, "X-Amz-Executed-Version": "$LATEST"}
    if kind == "DryRun":
        return Response(status_code=204, headers=headers)
    if not function.recursion_allowed and invocation.lineage.count(function.name) >= limits.RECURSIVE_INVOCATIONS:
        raise recursive_invocation(function.name)
    if kind == "Event":
        await services.invoker.queue(invocation)
        return Response(status_code=202, headers=headers)
    finished = await services.invoker.run(invocation)
    if finished.answer.error:
        headers["X-Amz-Function-Error"] = finished.answer.error
    if request.headers.get("X-Amz-Log-Type") == "Tail":
        headers["X-Amz-Log-Result"] = base64.b64encode(finished.log_tail).decode()
    return Response(finished.answer.payload, headers=headers, media_type="application/json")


async def _payload(request: Request, limit: int) -> bytes:
    """The request's body within its limit; an absent one is the empty object, as on AWS."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise request_too_large(limit, "InvokeFunction")
    try:
        json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise body_not_json(str(error)) from error
    return bytes(body or b"{}")


async def _health(request: Request) -> Response:
    return JSONResponse({"environments": _services(request).pool.counts()})


async def _list(request: Request) -> Response:
    functions = [function.configuration() for function in _services(request).functions.all()]
    return JSONResponse({"Functions": functions})


async def _create(request: Request) -> Response:
    services = _services(request)
    function = await asyncio.to_thread(services.functions.create, await request.body())
    services.pool.prepare(function)
    return JSONResponse(function.configuration(), status_code=201)


async def _get(request: Request) -> Response:
    function = _services(request).functions.get(request.path_params["name"])
    return JSONResponse({"Configuration": function.configuration(), "Code": function.code_location()})


async def _get_configuration(request: Request) -> Response:
    return JSONResponse(_services(request).functions.get(request.path_params["name"]).configuration())


async def _update_code(request: Request) -> Response:
    services = _services(request)
    update = services.functions.update_code
    function = await asyncio.to_thread(update, request.path_params["name"], await request.body())
    services.pool.retire(function, successor=function.revision)
    services.pool.prepare(function)
    return JSONResponse(function.configuration())


async def _update_configuration(request: Request) -> Response:
    services = _services(request)
    function = services.functions.update_configuration(request.path_params["name"], await request.body())
    services.pool.retire(function, successor=function.revision)
    services.pool.prepare(function)
    return JSONResponse(function.configuration())


async def _delete(request: Request) -> Response:
    services = _services(request)
    services.pool.retire(services.functions.delete(request.path_params["name"]), successor="")
    return Response(status_code=204)


async def _get_event_invoke_config(request: Request) -> Response:
    return JSONResponse(_services(request).functions.get(request.path_params["name"]).event_invoke_config())


async def _put_event_invoke_config(request: Request) -> Response:
    function = _services(request).functions.put_event_invoke_config(request.path_params["name"], await request.body())
    return JSONResponse(function.event_invoke_config())


async def _get_recursion_config(request: Request) -> Response:
    return JSONResponse(_services(request).functions.get(request.path_params["name"]).recursion_config())


async def _put_recursion_config(request: Request) -> Response:
    functions = _services(request).functions
    function = functions.put_recursion_config(request.path_params["name"], await request.body())
    return JSONResponse(function.recursion_config())


def _access_key(request: Request) -> str:
    """Whose credentials the request is signed with; each environment has its own.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    signed = re.search(r"Credential=([^/,\s]+)", request.headers.get("Authorization", ""))
    return signed[1] if signed else ""


async def _account_settings(request: Request) -> Response:
    services = _services(request)
    concurrency = services.pool.concurrency
    limit = {"ConcurrentExecutions": concurrency, "UnreservedConcurrentExecutions": concurrency}
    usage = {"FunctionCount": len(services.functions.all())}
    return JSONResponse({"AccountLimit": limit, "AccountUsage": usage})


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LambdaApiError)  # noqa: S101 - Starlette calls this for no other
    return JSONResponse(
        {"Type": "User", "Message": error.message},
        status_code=error.status,
        headers={"x-amzn-ErrorType": error.type_},
    )


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
