"""The Lambda API over HTTP, for boto3, the AWS CLI and curl.

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
"""

import base64
import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.gateway import limits
from harness.gateway.api import resources, surface
from harness.gateway.api.constraints import check
from harness.gateway.api.model import service_model
from harness.gateway.api.operations import operation_routes, request_id
from harness.gateway.control import own_routes
from harness.gateway.credentials import caller_of
from harness.gateway.debugging import debug_routes
from harness.gateway.downloads import PREFIX, download_routes
from harness.gateway.errors import (
    LambdaApiError,
    body_not_json,
    client_context_invalid,
    function_pending,
    input_not_emulated,
    recursive_invocation,
    request_too_large,
    signed_for_other_region,
)
from harness.gateway.experiments import experiment_routes
from harness.gateway.faults import control_routes
from harness.gateway.feed import feed_routes
from harness.gateway.invocations import Invocation
from harness.gateway.metadata_endpoint import METADATA_PATH, metadata_routes
from harness.gateway.names import LATEST, Identifier, function_arn, parse_identifier
from harness.gateway.observation import observation_routes
from harness.gateway.payloads import is_client_context, read_json
from harness.gateway.services import Services, services_of
from harness.gateway.staging import staging_routes
from harness.gateway.testing import test_routes
from harness.gateway.traces import trace_of
from harness.gateway.urls.service import FunctionUrlService
from harness.guard import Guard, GuardedAsgi, Signed, signed_by

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html
INVOKE = "lambda:InvokeFunction"
INVOCATIONS = "/2015-03-31/functions/{name}/invocations"
# The operations register themselves when their modules are imported.
RESOURCES = resources.__all__
_REQUEST_ID = b"x-amzn-requestid"
_SIGNED = "harness.signed"


class OneRegion:
    """Refuses requests that are signed for another region, as AWS does; the harness's own paths have no region.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or answer 403."""
        if scope["type"] == "http" and not scope["path"].startswith("/_"):
            request = Request(scope)
            region = _signed(request).region
            if region not in ("", limits.REGION):
                answer = await _api_error(request, signed_for_other_region(region))
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


class FunctionsOnlyInvoke:
    """Refuses calls other than Invoke by a deployed function, because no role that we deploy allows any.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or answer 403."""
        if scope["type"] == "http" and not scope["path"].endswith("/invocations"):
            caller = caller_of(_signed(Request(scope)).token)
            if caller is not None and caller.role != limits.ANY_ROLE:
                message = f"User: {caller.arn} is not authorized to perform this call: only Invoke is evaluated here"
                denied = LambdaApiError("AccessDeniedException", 403, message)
                answer = await _api_error(Request(scope), denied)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


class RequestIds:
    """Gives every answer the id of its request, errors too, as AWS does.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, and add the header to its answer unless that has one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def identified(message: Message) -> None:
            if message["type"] == "http.response.start" and not any(
                name == _REQUEST_ID for name, _ in message["headers"]
            ):
                message["headers"] = [*message["headers"], (_REQUEST_ID, request_id().encode())]
            await send(message)

        await self._app(scope, receive, identified)


Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(services: Services, lifespan: Lifespan, guard: Guard, secret: str) -> Starlette:
    """Return the application.

    Args:
        services: The parts of the Lambda service.
        lifespan: Starts and stops them.
        guard: Checks every request first.
        secret: The stack's secret.
    """
    guard.open(PREFIX)
    guard.leave(METADATA_PATH)
    app = Starlette(
        # The first matching route wins.
        routes=[
            Route(INVOCATIONS, _invoke, methods=["POST"]),
            *operation_routes(),
            *own_routes(),
            *control_routes(services.faults),
            *experiment_routes(services.faults.experiments),
            *feed_routes(services.feed),
            *observation_routes(),
            *test_routes(),
            *staging_routes(),
            *debug_routes(services.debugging),
            *download_routes(services.downloads),
            *metadata_routes(secret),
        ],
        middleware=[
            Middleware(RequestIds),
            Middleware(FunctionUrlService, services=services, guard=guard),
            Middleware(GuardedAsgi, guard=guard),
            Middleware(OneRegion),
            Middleware(FunctionsOnlyInvoke),
        ],
        exception_handlers={LambdaApiError: _api_error, ClientDisconnect: _gone, Exception: _service_error},
        lifespan=lifespan,
    )
    app.state.services = services
    return app


async def _invoke(request: Request) -> Response:
    services = services_of(request)
    name, qualifier = request.path_params["name"], request.query_params.get("Qualifier")
    kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    log_type = request.headers.get("X-Amz-Log-Type")
    given = {"FunctionName": name, "Qualifier": qualifier, "InvocationType": kind, "LogType": log_type}
    check(service_model().operations["Invoke"], given, service_model())
    for member, header in _untaken_headers():
        if request.headers.get(header):
            raise input_not_emulated("Invoke", member)
    identifier = parse_identifier(name, qualifier)
    function = services.functions.find(identifier if identifier.qualifier else Identifier(identifier.name, LATEST))
    if function.under_change is not None and function.under_change.creates:
        raise function_pending()
    payload = await _payload(request, limits.ASYNC_PAYLOAD_BYTES if kind == "Event" else limits.SYNC_PAYLOAD_BYTES)
    called = function_arn(identifier.name, identifier.qualifier)
    await services.permissions.check(
        _signed(request).token,
        INVOKE,
        called,
        lambda caller: services.functions.policies.grants_function(caller, identifier, INVOKE),
    )
    context = request.headers.get("X-Amz-Client-Context")
    if context and not is_client_context(context):
        raise client_context_invalid()
    invocation = Invocation(
        identifier,
        payload,
        {"X-Amz-Client-Context": context} if context else {},
        lineage=services.pool.lineage_of(_signed(request).key),
        trace=trace_of(request.headers.get("X-Amzn-Trace-Id", ""), active=function.tracing == "Active"),
    )
    headers = {"X-Amzn-RequestId": invocation.request_id}
    if kind == "DryRun":
        return Response(status_code=204, headers=headers)
    if not function.recursion_allowed and invocation.lineage.count(function.name) >= limits.RECURSIVE_INVOCATIONS:
        raise recursive_invocation(function.name)
    if kind == "Event":
        await services.invoker.queue(invocation)
        return Response(status_code=202, headers=headers)
    finished = await services.invoker.run(invocation)
    headers["X-Amz-Executed-Version"] = finished.version
    if finished.answer.error:
        headers["X-Amz-Function-Error"] = finished.answer.error
    if log_type == "Tail":
        headers["X-Amz-Log-Result"] = base64.b64encode(finished.log_tail).decode()
    return Response(finished.answer.payload, headers=headers, media_type="application/json")


@functools.cache
def _untaken_headers() -> list[tuple[str, str]]:
    """Return the members of Invoke that are not emulated, each with its header."""
    members = service_model().operations["Invoke"].members.values()
    return [(one.name, one.sent_as) for one in members if one.location == "header" and one.name not in surface.INVOKE]


async def _payload(request: Request, limit: int) -> bytes:
    """Return the request's body within its limit; a missing body is the empty object, as on AWS."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise request_too_large(limit, "InvokeFunction")
    payload = bytes(body or b"{}")
    try:
        read_json(payload)
    except ValueError as error:
        raise body_not_json(f"Could not parse payload into json: {error}") from error
    return payload


def _signed(request: Request) -> Signed:
    """Return the credentials that the guard has checked; they are read once for each request."""
    signed: Signed | None = request.scope.get(_SIGNED)
    if signed is None:
        signed = request.scope[_SIGNED] = signed_by(request.headers.get, request.url.query)
    return signed


async def _gone(_request: Request, _error: Exception) -> Response:
    """Answer a caller that disconnected before its request was complete; nobody receives this answer."""
    return Response(status_code=400)


async def _service_error(request: Request, error: Exception) -> Response:
    """Answer an internal error as AWS does; the server logs it.

    Starlette answers internal errors before every middleware, so the answer gets its request's id here.
    """
    answer = await _api_error(request, LambdaApiError("ServiceException", 500, f"{type(error).__name__}: {error}"))
    answer.headers["X-Amzn-RequestId"] = request_id()
    return answer


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LambdaApiError)  # noqa: S101 - Starlette calls this for no other
    return JSONResponse(error.body(), status_code=error.status, headers={"x-amzn-ErrorType": error.type_})
