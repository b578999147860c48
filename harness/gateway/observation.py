"""What an observer may ask the Lambda service: its invocations, its environments, and figures for Prometheus.

    GET /_harness/invocations            the kept attempts, the oldest first, with their newest state
        ?since=N                         those with a higher number
        ?brief=1                         without payloads and answers
    GET /_harness/invocations/N          one of them, whole
    GET /_harness/environments           how many there are by function and state, and each of them
    GET /_harness/places                 where each is: its zone, and how to tell its connections
    GET /metrics                         Prometheus's text format

The guard refuses functions on paths below /_harness/, because events may be secret; the figures tell no secrets.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.gateway.services import services_of

INVOCATIONS, ENVIRONMENTS, METRICS = "/_harness/invocations", "/_harness/environments", "/metrics"
PLACES = "/_harness/places"


def observation_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route(INVOCATIONS, _invocations, methods=["GET"]),
        Route(INVOCATIONS + "/{number:int}", _invocation, methods=["GET"]),
        Route(ENVIRONMENTS, _environments, methods=["GET"]),
        Route(PLACES, _places, methods=["GET"]),
        Route(METRICS, _metrics, methods=["GET"]),
    ]


async def _invocations(request: Request) -> Response:
    try:
        since = int(request.query_params.get("since", "0"))
    except ValueError:
        return JSONResponse({"Message": "since must be the number of an invocation"}, status_code=400)
    kept = services_of(request).invoker.attempts.kept(since)
    brief = request.query_params.get("brief") == "1"
    return _json([one.record if brief else one.whole() for one in kept])


async def _invocation(request: Request) -> Response:
    number = request.path_params["number"]
    found = services_of(request).invoker.attempts.find(number)
    if found is None:
        return JSONResponse({"Message": f"invocation {number} is not kept (any more)"}, status_code=404)
    return _json(found.whole())


async def _environments(request: Request) -> Response:
    pool = services_of(request).pool
    return _json({"environments": pool.counts(), "each": pool.states()})


async def _places(request: Request) -> Response:
    return _json(services_of(request).pool.places())


async def _metrics(request: Request) -> Response:
    # It takes 0.1 s to import, and nobody may ever scrape.
    from harness.gateway.prometheus import CONTENT_TYPE, gateway_metrics  # noqa: PLC0415

    services = services_of(request)
    return Response(gateway_metrics(services.invoker.attempts, services.pool), media_type=CONTENT_TYPE)


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
