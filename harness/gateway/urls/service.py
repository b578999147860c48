"""Serves function URLs: every request to one invokes its function, without the credentials of the stack.

The service stands before the guard, since a URL of `AuthType` NONE is for callers without credentials, as on AWS.
Its id, which nobody can guess, is what such a caller needs; a URL of `AuthType` AWS_IAM needs the stack's credentials.
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

import dataclasses
import re
from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.gateway import limits
from harness.gateway.credentials import caller_of
from harness.gateway.errors import LambdaApiError, function_pending, recursive_invocation, request_too_large
from harness.gateway.invocations import Invocation
from harness.gateway.names import Identifier, function_arn
from harness.gateway.services import Services
from harness.gateway.traces import trace_of
from harness.gateway.urls.cors import cors_headers, is_preflight
from harness.gateway.urls.store import HOST_SUFFIX, PATH, FunctionUrl
from harness.gateway.urls.url_events import FAILED, UrlAnswer, UrlRequest, answer_of
from harness.guard import Guard, Signed, signed_by

ACTION = "lambda:InvokeFunctionUrl"
_HOST = re.compile(rf"([a-z0-9]+){re.escape(HOST_SUFFIX)}(:\d+)?")
# Headers with credentials of the stack, which a function must not learn.
_CREDENTIALS = {"authorization", "x-amz-security-token"}


class FunctionUrlService:
    """Answers requests to function URLs, and passes all others on.

    Args:
        app: The application behind it.
        services: The parts of the Lambda service.
        guard: Knows the credentials of the stack.
    """

    def __init__(self, app: ASGIApp, services: Services, guard: Guard) -> None:
        self._app, self._services, self._guard = app, services, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        target = _target(scope) if scope["type"] == "http" else None
        if target is None:
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._answer(Request(scope, receive), *target)
        except ClientDisconnect:
            # Nobody waits for an answer.
            return
        response = Response(answer.body, answer.status)
        response.raw_headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
        await response(scope, receive, send)

    async def _answer(self, request: Request, url_id: str, path: str) -> UrlAnswer:
        found = self._services.functions.urls.by_id(url_id)
        if found is None:
            never = url_id not in self._services.functions.urls.ended
            return _refused(_forbidden(), b'{"Message":null}' if never else b"")
        identifier, url = found
        readable = cors_headers(url.cors, request.headers) if url.cors is not None else []
        if url.cors is not None and is_preflight(request):
            return UrlAnswer(200, b"", readable)
        try:
            answer = await self._invoked(request, identifier, url, path)
        except LambdaApiError as error:
            answer = _refused(error)
        return UrlAnswer(answer.status, answer.body, [*answer.headers, *readable])

    async def _invoked(self, request: Request, identifier: Identifier, url: FunctionUrl, path: str) -> UrlAnswer:
        # A signature in the query stays in the query, where the function would see it.
        signed = signed_by(request.headers.get, "")
        signed = signed if self._guard.admits(signed) else Signed("", "", "")
        await self._check_caller(identifier, url, signed)
        services, trace = self._services, trace_of(request.headers.get("x-amzn-trace-id", ""))
        function = services.functions.find(identifier)
        if function.under_change is not None and function.under_change.creates:
            raise function_pending()
        lineage = services.pool.lineage_of(signed.key)
        if not function.recursion_allowed and lineage.count(function.name) >= limits.RECURSIVE_INVOCATIONS:
            raise recursive_invocation(function.name)
        invocation = Invocation(identifier, b"", lineage=lineage, trace=trace)
        received = UrlRequest(
            url_id=url.id,
            domain=f"{url.id}{HOST_SUFFIX}:{request.url.port or 80}",
            method=request.method,
            path=unquote(path),
            query=request.url.query,
            headers=[pair for pair in request.headers.items() if not signed.key or pair[0] not in _CREDENTIALS],
            body=await _body(request),
            source=request.client.host if request.client is not None else "",
            account="anonymous" if url.auth_type == "NONE" else limits.ACCOUNT_ID,
            authorizer={} if url.auth_type == "NONE" else _authorizer(signed),
            request_id=invocation.request_id,
            trace=trace,
        )
        finished = await services.invoker.run(dataclasses.replace(invocation, payload=received.event()))
        if finished.answer.error:
            answer = FAILED
        elif url.invoke_mode == "RESPONSE_STREAM":
            # Functions in Python do not stream: AWS sends their answer as it is.
            answer = UrlAnswer(200, finished.answer.payload, [("content-type", "application/octet-stream")])
        else:
            answer = answer_of(finished.answer.payload)
        own = [("x-amzn-requestid", invocation.request_id), ("x-amzn-trace-id", trace.partition(";")[0])]
        return UrlAnswer(answer.status, answer.body, [*answer.headers, *own])

    async def _check_caller(self, identifier: Identifier, url: FunctionUrl, signed: Signed) -> None:
        """Refuse a caller whom neither its role nor the function's policy lets call the URL."""
        policies, arn = self._services.functions.policies, function_arn(*identifier)
        if url.auth_type == "NONE":
            allowed = policies.grants(identifier, {"*"}, ACTION, arn, {"lambda:FunctionUrlAuthType": "NONE"})
        else:
            allowed = bool(signed.key)
            try:
                await self._services.permissions.check(
                    signed.token,
                    ACTION,
                    arn,
                    lambda caller: policies.grants_function(caller, identifier, ACTION, "AWS_IAM"),
                )
            except LambdaApiError as error:
                if error.type_ != "AccessDeniedException":
                    raise
                allowed = False
        if not allowed:
            raise _forbidden()


def _forbidden() -> LambdaApiError:
    return LambdaApiError(
        "AccessDeniedException",
        403,
        "Forbidden. For troubleshooting Function URL authorization issues, see: "
        "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html",
    )


def _target(scope: Scope) -> tuple[str, str] | None:
    """Return the id of the URL that a request is for, and the path below it; None for other requests."""
    path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
    if path.startswith(PATH):
        url_id, _, below = path.removeprefix(PATH).partition("/")
        # Clients that go on from the URL with a slash of their own send one, as to a host.
        return url_id, f"/{below.lstrip('/')}"
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    match = _HOST.fullmatch(host.decode("latin-1")) if host.endswith(b"t") or b".localhost:" in host else None
    return (match[1], path) if match is not None else None


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.SYNC_PAYLOAD_BYTES:
            raise request_too_large(limits.SYNC_PAYLOAD_BYTES, "InvokeFunction")
    return bytes(body)


def _refused(error: LambdaApiError, body: bytes = b"") -> UrlAnswer:
    content = body or msgspec.json.encode({"Message": error.message})
    return UrlAnswer(error.status, content, [("content-type", "application/json"), ("x-amzn-errortype", error.type_)])


def _authorizer(signed: Signed) -> dict[str, Any]:
    """Return what AWS tells a function of a caller with credentials; the access key, a secret here, stays out."""
    caller = caller_of(signed.token)
    arn = caller.arn if caller is not None else f"arn:aws:iam::{limits.ACCOUNT_ID}:root"
    identity = {"accessKey": "", "accountId": limits.ACCOUNT_ID, "callerId": "", "cognitoIdentity": None}
    return {"iam": {**identity, "principalOrgId": None, "userArn": arn, "userId": ""}}
