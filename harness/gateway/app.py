"""The Lambda API over HTTP, for boto3, the AWS CLI and curl.

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
"""

import base64
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.gateway import limits
from harness.gateway.control import control_plane
from harness.gateway.credentials import caller_of
from harness.gateway.debugging import debug_routes
from harness.gateway.errors import (
    LambdaApiError,
    body_not_json,
    client_context_invalid,
    invalid_parameter,
    recursive_invocation,
    request_too_large,
)
from harness.gateway.faults import control_routes
from harness.gateway.feed import feed_routes
from harness.gateway.invocations import Invocation
from harness.gateway.names import function_arn, parse_identifier
from harness.gateway.payloads import is_client_context, read_json
from harness.gateway.services import Services, services_of
from harness.gateway.testing import test_routes
from harness.gateway.traces import trace_of
from harness.guard import Guard, GuardedAsgi, Signed, signed_by

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html
INVOKE = "lambda:InvokeFunction"
INVOCATIONS = "/2015-03-31/functions/{name}/invocations"


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


Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(services: Services, lifespan: Lifespan, guard: Guard) -> Starlette:
    """Return the application.

    Args:
        services: The parts of the Lambda service.
        lifespan: Starts and stops them.
        guard: Checks every request first.
    """
    app = Starlette(
        # The first matching route wins.
        routes=[
            Route(INVOCATIONS, _invoke, methods=["POST"]),
            Route("/_harness/environments", _environments),
            *control_plane(),
            *control_routes(services.faults),
            *feed_routes(services.feed),
            *test_routes(),
            *debug_routes(services.debugging),
        ],
        middleware=[Middleware(GuardedAsgi, guard=guard), Middleware(FunctionsOnlyInvoke)],
        exception_handlers={LambdaApiError: _api_error, ClientDisconnect: _gone, Exception: _service_error},
        lifespan=lifespan,
    )
    app.state.services = services
    return app


async def _invoke(request: Request) -> Response:
    services = services_of(request)
    identifier = parse_identifier(request.path_params["name"], request.query_params.get("Qualifier"))
    function = services.functions.find(identifier)
    kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    if kind not in {"RequestResponse", "Event", "DryRun"}:
        raise invalid_parameter(f"InvocationType '{kind}' must be one of RequestResponse, Event, DryRun.")
    payload = await _payload(request, limits.ASYNC_PAYLOAD_BYTES if kind == "Event" else limits.SYNC_PAYLOAD_BYTES)
    called = function_arn(identifier.name, identifier.qualifier)
    await services.permissions.check(_signed(request).token, INVOKE, called)
    context = request.headers.get("X-Amz-Client-Context")
    if context and not is_client_context(context):
        raise client_context_invalid()
    invocation = Invocation(
        identifier,
        payload,
        {"X-Amz-Client-Context": context} if context else {},
        lineage=services.pool.lineage_of(_signed(request).key),
        trace=trace_of(request.headers.get("X-Amzn-Trace-Id", "")),
    )
    headers = {"X-Amzn-RequestId": invocation.request_id, "X-Amz-Executed-Version": function.version}
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


async def _environments(request: Request) -> Response:
    return JSONResponse({"environments": services_of(request).pool.counts()})


def _signed(request: Request) -> Signed:
    """Return the credentials that the guard has checked."""
    return signed_by(request.headers.get, request.url.query)


async def _gone(_request: Request, _error: Exception) -> Response:
    """Answer a caller that disconnected before its request was complete; nobody receives this answer."""
    return Response(status_code=400)


async def _service_error(request: Request, error: Exception) -> Response:
    """Answer an internal error as AWS does; the server logs it."""
    return await _api_error(request, LambdaApiError("ServiceException", 500, f"{type(error).__name__}: {error}"))


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LambdaApiError)  # noqa: S101 - Starlette calls this for no other
    reason = {"Reason": error.reason} if error.reason else {}
    return JSONResponse(
        {**reason, "Type": "User", "Message": error.message},
        status_code=error.status,
        headers={"x-amzn-ErrorType": error.type_},
    )
