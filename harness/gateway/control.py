"""The harness's own control of the Lambda service: the account's limits, and API calls that fail.

    PUT /_harness/account    the account's limits for a rehearsal, and how long changes of functions take
    PUT /_harness/calls      the API calls that a rehearsal makes fail

As for every path below /_harness/, the guard refuses functions.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.faults.calls import CallFault
from harness.gateway.account import AccountLimits
from harness.gateway.requests import AccountRequest, decode
from harness.gateway.services import services_of


def own_routes() -> list[Route]:
    """Return the routes."""
    return [
        Route("/_harness/account", _put_account, methods=["PUT"]),
        Route("/_harness/calls", _put_call_faults, methods=["PUT"]),
    ]


async def _put_account(request: Request) -> Response:
    """Set the account's limits for a rehearsal."""
    changes, account = decode(await request.body(), AccountRequest), services_of(request).account
    account.concurrency = changes.concurrency or account.concurrency
    account.memory_mb = changes.memory_mb or account.memory_mb
    if changes.state_delay_s is not None:
        account.state_delay_s = changes.state_delay_s
    return JSONResponse(_to_api(account))


def _to_api(account: AccountLimits) -> dict[str, float]:
    return {
        "concurrency": account.concurrency,
        "memory_mb": account.memory_mb,
        "state_delay_s": account.state_delay_s,
    }


async def _put_call_faults(request: Request) -> Response:
    """Replace the list of API calls that a rehearsal makes fail."""
    faults = decode(await request.body() or b"[]", tuple[CallFault, ...])
    services_of(request).call_faults.put(faults)
    return Response(msgspec.json.encode(faults), media_type="application/json")
