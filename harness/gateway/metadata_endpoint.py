"""The metadata endpoint: a function asks it which zone it runs in.

    GET /2026-01-15/metadata/execution-environment      Authorization: Bearer $AWS_LAMBDA_METADATA_TOKEN
    {"AvailabilityZoneID": "use1-az1"}

On AWS it is within each environment. RIE has one, too, which answers `use1-az1` whatever the zone; so the gateway
serves all environments, and tells them apart by their tokens.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-metadata-endpoint.html
"""

import hmac
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.gateway.credentials import metadata_token
from harness.gateway.services import services_of

METADATA_PATH = "/2026-01-15/metadata/execution-environment"
# An environment stays in its zone.
_CACHED = {"Cache-Control": "private, max-age=43200, immutable"}
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


def metadata_routes(secret: str) -> list[Route]:
    """Return the endpoint's route.

    Args:
        secret: The stack's secret.
    """

    async def answer(request: Request) -> Response:
        if request.method != "GET":
            return _refused(HTTPStatus.METHOD_NOT_ALLOWED)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        name = token.rpartition(".")[0]
        known = hmac.compare_digest(token.encode(), metadata_token(secret, name).encode())
        environment = services_of(request).pool.find(name) if known and scheme == "Bearer" else None
        if environment is None:
            return _refused(HTTPStatus.UNAUTHORIZED)
        return JSONResponse({"AvailabilityZoneID": environment.zone}, headers=_CACHED)

    return [Route(METADATA_PATH, answer, methods=_METHODS)]


def _refused(status: HTTPStatus) -> Response:
    """Return an error as AWS's own server has it, which RIE contains; AWS's page tells the status only."""
    return Response(f"{status.phrase}\n", status, {"X-Content-Type-Options": "nosniff"}, "text/plain")
