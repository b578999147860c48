"""What a stage (`harness.explore`) does with the Lambda service: deliver an event, end an environment, begin afresh.

    POST /_harness/deliveries                          deliver an event; answers with its attempts when all have ended
    GET  /_harness/environments/NAME/invocation        the attempt that an environment runs
    POST /_harness/environments/NAME/end?how=HOW       end it: `killed`, or `timed-out` as at the function's time limit
    POST /_harness/settle                              answers when nothing runs or waits
    POST /_harness/afresh                              no invocation, no environment, no log; the functions stay

As for every path below /_harness/, the guard refuses functions.
"""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.gateway.debug_records import LIFTED_S
from harness.gateway.errors import LambdaApiError
from harness.gateway.initialisation import INIT_WITHIN_S
from harness.gateway.invocations import Invocation
from harness.gateway.names import parse_identifier
from harness.gateway.requests import decode
from harness.gateway.services import Services, services_of

KILLED, TIMED_OUT = "killed", "timed-out"
# A stage decides when a time limit strikes: neither a busy machine nor a held call. RIE's own limit is a second later.
GRACE_S = INIT_WITHIN_S
# A debugger may hold each of an event's attempts for as long as time limits are lifted.
_LONGEST_S = 4 * LIFTED_S


class DeliveryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One delivery of an event.

    Attributes:
        function: The function's name, with a qualifier if there is one.
        payload: The event.
        request_id: The request's id, the same for all deliveries of an event.
        delivery: Which delivery it is, from 1.
        retried: Whether a failed attempt is followed by others.
    """

    function: str
    payload: msgspec.Raw
    request_id: str
    delivery: Annotated[int, msgspec.Meta(ge=1)] = 1
    retried: bool = True


class SettleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait.

    Attributes:
        within_s: Seconds.
    """

    within_s: Annotated[float, msgspec.Meta(gt=0, le=_LONGEST_S)]


def staging_routes() -> list[Route]:
    """Return the routes."""
    environment = "/_harness/environments/{name}"
    return [
        Route("/_harness/deliveries", _deliver, methods=["POST"]),
        Route(environment + "/invocation", _running, methods=["GET"]),
        Route(environment + "/end", _end, methods=["POST"]),
        Route("/_harness/settle", _settle, methods=["POST"]),
        Route("/_harness/afresh", _afresh, methods=["POST"]),
    ]


async def _deliver(request: Request) -> Response:
    wanted = decode(await request.body(), DeliveryRequest)
    identifier = parse_identifier(wanted.function, None)
    invocation = Invocation(
        identifier,
        bytes(wanted.payload),
        request_id=wanted.request_id,
        delivery=wanted.delivery,
        grace_s=GRACE_S,
        retried=wanted.retried,
    )
    attempts = await services_of(request).invoker.deliver(invocation)
    return Response(msgspec.json.encode(attempts), media_type="application/json")


async def _running(request: Request) -> Response:
    tracked = services_of(request).invoker.attempts.running_in(request.path_params["name"])
    if tracked is None:
        return JSONResponse({"Message": "the environment runs no invocation"}, status_code=404)
    return Response(msgspec.json.encode(tracked.record), media_type="application/json")


async def _end(request: Request) -> Response:
    environment = services_of(request).pool.find(request.path_params["name"])
    if environment is not None and request.query_params.get("how") == TIMED_OUT:
        environment.expire()
    elif environment is not None:
        await environment.kill("sigkill")
    return Response(status_code=204)


async def _settle(request: Request) -> Response:
    wanted = decode(await request.body(), SettleRequest)
    invoker = services_of(request).invoker
    if not await invoker.settle(wanted.within_s):
        names = {one.record.function for one in invoker.attempts.in_progress()}
        raise LambdaApiError("RequestTimeout", 408, f"these functions still run: {', '.join(sorted(names))}")
    return Response(status_code=204)


async def _afresh(request: Request) -> Response:
    await begin_afresh(services_of(request))
    return Response(status_code=204)


async def begin_afresh(services: Services) -> None:
    """End all invocations, events and environments, and forget their logs and faults; functions stay as they are."""
    await services.invoker.cancel_all()
    await services.pool.end_idle()
    services.faults.clear()
    services.call_faults.put(())
    await services.logs.forget()
    await services.metrics.forget()
    services.invoker.journal.clear(keep=0, now=services.invoker.clock.now())
