"""The page's API: JSON that its code asks for, and the stream of events.

    GET  /api/state                            the stack, its functions, the runs
    GET  /api/events                           server-sent events; see `harness.page.visitors`
    GET  /api/runs/ID?from=&to=                a run's view; with finer bars between these seconds
    GET  /api/runs/ID/log?rank=&text=&since=   its lines
    GET  /api/log?function=&request_id=        the newest lines of all functions
    GET  /api/invocations, /api/invocations/N  records of invocations; one of them with payload and answer
    POST /api/invoke                           {"function", "payload", "kind"}: invoke a function
    GET  /metrics                              Prometheus: the stack, and the figures of its gateway

An error is a line of plain text.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from harness.errors import HarnessError
from harness.page.board import FIRST_LINES, PageBoard
from harness.page.gateway import encoded_payload
from harness.page.views import COORDINATOR_RANK, Window, log_of, nearest, view_of
from harness.stack.metrics import stack_metrics

MOST_PAYLOAD_BYTES = 8 << 20
# Characters of a function's ARN with a version or an alias:
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
LONGEST_FUNCTION = 256
NO_STACK = "no stack is up: `harness up` starts one"


class InvokeCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to invoke a function.

    Attributes:
        function: Its name; a version or an alias may follow after a colon.
        payload: The event: any JSON.
        kind: Whether to wait for the answer, or to queue an event.
    """

    function: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_FUNCTION)]
    payload: Any
    kind: Literal["event", "request"] = "request"


def api_routes(board: PageBoard, server_id: str) -> list[Route]:
    """Return the routes.

    Args:
        board: What the page knows.
        server_id: The id of this server's start.
    """

    async def state(_request: Request) -> Response:
        return _json(await board.state())

    async def events(_request: Request) -> Response:
        stream = _events(board, server_id)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def run(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        try:
            window = _window(request)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        view = await view_of(board, run_id, window)
        return _no_run(board, run_id) if view is None else _json(view)

    async def run_log(request: Request) -> Response:
        run_id, asked = request.path_params["run_id"], request.query_params
        try:
            since, rank = _number(asked.get("since", "0"), "since"), _rank(asked.get("rank", ""))
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        lines = await log_of(board, run_id, rank, asked.get("text", ""), since)
        return _no_run(board, run_id) if lines is None else _json(lines)

    async def log(request: Request) -> Response:
        function, request_id = (request.query_params.get(name, "") for name in ("function", "request_id"))
        return _json(
            [line for line in board.lines if function in ("", line.function) and request_id in ("", line.request_id)]
        )

    async def invocations(_request: Request) -> Response:
        return _json(board.records())

    async def metrics(_request: Request) -> Response:
        return await _metrics(board)

    return [
        Route("/api/state", state),
        Route("/api/events", events),
        Route("/api/runs/{run_id}", run),
        Route("/api/runs/{run_id}/log", run_log),
        Route("/api/log", log),
        Route("/api/invocations", invocations),
        Route("/api/invocations/{number:int}", partial(_invocation, board)),
        Route("/api/invoke", partial(_invoke, board), methods=["POST"]),
        Route("/metrics", metrics),
    ]


async def _events(board: PageBoard, server_id: str) -> AsyncIterator[bytes]:
    """Yield a browser's stream; whoever comes, or comes back, gets everything first."""
    visitor = board.visitors.enter()
    try:
        visitor.put_state(msgspec.json.encode(await board.state()))
        visitor.put_invocations(board.records())
        visitor.put_lines(list(board.lines)[-FIRST_LINES:])
        for run in board.live_runs():
            visitor.put_run(run.run_id)
        async for news in visitor.events({"server": server_id}):
            yield news
    finally:
        board.visitors.leave(visitor)


async def _invocation(board: PageBoard, request: Request) -> Response:
    """Return an invocation; without payload and answer if its gateway does not keep it any more, or has gone."""
    number = request.path_params["number"]
    for follower in board.followers.values():
        own = follower.number_in_gateway(number)
        if own is None:
            continue
        try:
            found = await follower.gateway.invocation(own)
        except HarnessError as error:
            return PlainTextResponse(str(error), 502)
        if found is not None:
            return _json(msgspec.structs.replace(found, number=number))
    known = next((record for record in board.records() if record.number == number), None)
    if known is None:
        return PlainTextResponse(f"invocation {number} is not kept any more, or its stack has gone", 404)
    return _json(known)


async def _invoke(board: PageBoard, request: Request) -> Response:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_PAYLOAD_BYTES:
                return PlainTextResponse(f"a payload has at most {MOST_PAYLOAD_BYTES >> 20} MB", 413)
    except ClientDisconnect:
        return PlainTextResponse("the browser went before it had sent everything", 400)
    try:
        call = msgspec.json.decode(body, type=InvokeCall)
        payload = encoded_payload(call.payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return PlainTextResponse(f"this is no invocation: {error}", 400)
    if board.shown is None:
        return PlainTextResponse(NO_STACK, 409)
    try:
        answer = await board.shown.gateway.send(call.function, payload, event=call.kind == "event")
    except HarnessError as error:
        return PlainTextResponse(str(error), 502)
    return _json(answer)


async def _metrics(board: PageBoard) -> Response:
    shown = board.shown
    # Of a stack of containers, the engine is asked.
    content = await asyncio.to_thread(stack_metrics, shown.stack if shown is not None else None)
    if shown is not None:
        with suppress(HarnessError):  # the stack's own figures say that its gateway is down
            content += await shown.gateway.metrics()
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


def _window(request: Request) -> Window | None:
    given = request.query_params.get("from"), request.query_params.get("to")
    if given == (None, None):
        return None
    begin, end = _number(given[0] or "0", "from"), _number(given[1] or "inf", "to")
    if not begin < end:
        raise ValueError("`from` must be less than `to`")
    return begin, end


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"`{name}` must be a number of seconds, not {text[:40]!r}")
    return number


def _rank(text: str) -> str:
    if text in ("", COORDINATOR_RANK) or (text.isascii() and text.isdigit()):
        return text
    raise ValueError(f"`rank` must be a number or `{COORDINATOR_RANK}`, not {text[:40]!r}")


def _no_run(board: PageBoard, run_id: str) -> Response:
    near = nearest(board, run_id)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return PlainTextResponse(f"there is no run {run_id[:100]}{meant}", 404)


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
