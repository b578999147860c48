"""The control plane: functions, versions, aliases, concurrency, events and tags.

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
An operation is complete when its answer arrives, but the answer says `Pending` or `InProgress` as on AWS, so that
callers have to wait for `Active` here, too.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.faults.calls import CallFault
from harness.gateway import limits
from harness.gateway.account import AccountLimits
from harness.gateway.errors import LambdaApiError, request_too_large
from harness.gateway.records import Function
from harness.gateway.requests import AccountRequest, ConfigurationRequest, CreateRequest, decode
from harness.gateway.services import Services, services_of

CREATING = {
    "State": "Pending",
    "StateReason": "The function is being created.",
    "StateReasonCode": "Creating",
}
UPDATING = {
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": "The function is being created.",
    "LastUpdateStatusReasonCode": "Creating",
}

Operation = Callable[[Request], Awaitable[Response]]


def control_plane() -> list[Route]:
    """Return the routes."""
    functions, one = "/2015-03-31/functions", "/2015-03-31/functions/{name}"
    events = "/2019-09-25/functions/{name}/event-invoke-config"
    recursion = "/2024-08-31/functions/{name}/recursion-config"
    concurrency = "/2017-10-31/functions/{name}/concurrency"
    tags = "/2017-03-31/tags/{arn:path}"
    return [
        *_routes("ListFunctions", "GET", functions, _list),
        *_routes("CreateFunction", "POST", functions, _create),
        *_routes("GetFunction", "GET", one, _get),
        *_routes("DeleteFunction", "DELETE", one, _delete),
        *_routes("GetFunctionConfiguration", "GET", one + "/configuration", _get_configuration),
        *_routes("UpdateFunctionConfiguration", "PUT", one + "/configuration", _update_configuration),
        *_routes("UpdateFunctionCode", "PUT", one + "/code", _update_code),
        *_routes("PublishVersion", "POST", one + "/versions", _publish),
        *_routes("ListVersionsByFunction", "GET", one + "/versions", _versions),
        *_routes("CreateAlias", "POST", one + "/aliases", _create_alias),
        *_routes("ListAliases", "GET", one + "/aliases", _aliases),
        *_routes("GetAlias", "GET", one + "/aliases/{alias}", _get_alias),
        *_routes("UpdateAlias", "PUT", one + "/aliases/{alias}", _update_alias),
        *_routes("DeleteAlias", "DELETE", one + "/aliases/{alias}", _delete_alias),
        *_routes("PutFunctionConcurrency", "PUT", concurrency, _put_concurrency),
        *_routes("DeleteFunctionConcurrency", "DELETE", concurrency, _delete_concurrency),
        *_routes("GetFunctionConcurrency", "GET", "/2019-09-30/functions/{name}/concurrency", _get_concurrency),
        *_routes("ListFunctionEventInvokeConfigs", "GET", events + "/list", _list_events),
        *_routes("GetFunctionEventInvokeConfig", "GET", events, _get_events),
        *_routes("PutFunctionEventInvokeConfig", "PUT", events, _put_events),
        *_routes("UpdateFunctionEventInvokeConfig", "POST", events, _update_events),
        *_routes("DeleteFunctionEventInvokeConfig", "DELETE", events, _delete_events),
        *_routes("GetFunctionRecursionConfig", "GET", recursion, _get_recursion),
        *_routes("PutFunctionRecursionConfig", "PUT", recursion, _put_recursion),
        *_routes("ListTags", "GET", tags, _list_tags),
        *_routes("TagResource", "POST", tags, _tag),
        *_routes("UntagResource", "DELETE", tags, _untag),
        *_routes("GetAccountSettings", "GET", "/2016-08-19/account-settings", _account_settings),
        Route("/_harness/account", _put_account, methods=["PUT"]),
        Route("/_harness/calls", _put_call_faults, methods=["PUT"]),
    ]


def _routes(name: str, method: str, path: str, operation: Operation) -> list[Route]:
    """Return the routes of one operation, with and without the trailing slash that some clients send."""

    async def answer(request: Request) -> Response:
        services = services_of(request)
        fault = services.call_faults.take("lambda", lambda: name)
        if fault is not None:
            raise LambdaApiError(fault.error, fault.status, fault.message)
        return await operation(request)

    return [Route(path + end, answer, methods=[method], name=name) for end in ("", "/")]


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _qualifier(request: Request) -> str | None:
    return request.query_params.get("Qualifier")


async def _list(request: Request) -> Response:
    functions = services_of(request).functions
    listed = functions.all()
    if request.query_params.get("FunctionVersion") == "ALL":
        listed = [version for function in listed for version in functions.versions(function.name)]
    return JSONResponse({"Functions": [function.configuration() for function in listed]})


async def _create(request: Request) -> Response:
    services, body = services_of(request), await _code_request(request, "CreateFunction")
    # Packages are large: threads keep the event loop free for other invocations.
    create = await asyncio.to_thread(decode, body, CreateRequest)
    vpc = await services.network.vpc_of(create.vpc_config)
    function = await asyncio.to_thread(services.functions.create, create, vpc)
    services.pool.prepare(services.functions.get(function.name))
    services.feed.change_code(function.name, function.package.sha256)
    return JSONResponse(function.configuration(**CREATING), status_code=201)


async def _get(request: Request) -> Response:
    services = services_of(request)
    function = services.functions.get(_name(request), _qualifier(request))
    answer = {
        "Configuration": function.configuration(),
        "Code": function.code_location(),
        "Tags": services.functions.tags(function.name),
    }
    reserved = services.account.reserved.get(function.name)
    if reserved is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return JSONResponse(answer)


async def _get_configuration(request: Request) -> Response:
    function = services_of(request).functions.get(_name(request), _qualifier(request))
    return JSONResponse(function.configuration())


async def _update_code(request: Request) -> Response:
    services = services_of(request)
    before = services.functions.get(_name(request))
    body = await _code_request(request, "UpdateFunctionCode")
    function = await asyncio.to_thread(services.functions.update_code, before.name, body)
    _renew(services, before)
    now = services.functions.get(before.name)
    if now.package.sha256 != before.package.sha256:  # and no dry run
        services.feed.change_code(now.name, now.package.sha256)
    return JSONResponse(function.configuration(**UPDATING))


async def _update_configuration(request: Request) -> Response:
    services, body = services_of(request), await request.body()
    before = services.functions.get(_name(request))
    config = decode(body, ConfigurationRequest).vpc_config
    vpc = None if config is None else await services.network.vpc_of(config)
    function = services.functions.update_configuration(before.name, body, vpc)
    _renew(services, before)
    return JSONResponse(function.configuration(**UPDATING))


def _renew(services: Services, before: Function) -> None:
    """Retire the environments of a changed function and prepare for new ones; a dry run changes nothing."""
    now = services.functions.get(before.name)
    if now.revision != before.revision:
        services.pool.retire(now, successor=now.revision)
        services.pool.prepare(now)
    else:
        services.pool.remove_unneeded_code()


async def _code_request(request: Request, operation: str) -> bytes:
    """Return the body of a request that may contain a package."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limits.CODE_REQUEST_BYTES:
            raise request_too_large(limits.CODE_REQUEST_BYTES, operation)
        parts.append(part)
    return b"".join(parts)


async def _delete(request: Request) -> Response:
    services = services_of(request)
    for function in services.functions.delete(_name(request), _qualifier(request)):
        services.pool.retire(function, successor="")
    return Response(status_code=204)


async def _publish(request: Request) -> Response:
    function = services_of(request).functions.publish(_name(request), await request.body())
    return JSONResponse(function.configuration(), status_code=201)


async def _versions(request: Request) -> Response:
    versions = services_of(request).functions.versions(_name(request))
    return JSONResponse({"Versions": [version.configuration() for version in versions]})


async def _create_alias(request: Request) -> Response:
    alias = services_of(request).functions.create_alias(_name(request), await request.body())
    return JSONResponse(alias.to_api(), status_code=201)


async def _aliases(request: Request) -> Response:
    version = request.query_params.get("FunctionVersion")
    aliases = services_of(request).functions.aliases(_name(request), version)
    return JSONResponse({"Aliases": [alias.to_api() for alias in aliases]})


async def _get_alias(request: Request) -> Response:
    return JSONResponse(services_of(request).functions.alias(_name(request), request.path_params["alias"]).to_api())


async def _update_alias(request: Request) -> Response:
    functions = services_of(request).functions
    alias = functions.update_alias(_name(request), request.path_params["alias"], await request.body())
    return JSONResponse(alias.to_api())


async def _delete_alias(request: Request) -> Response:
    services_of(request).functions.delete_alias(_name(request), request.path_params["alias"])
    return Response(status_code=204)


async def _put_concurrency(request: Request) -> Response:
    reserved = services_of(request).functions.put_concurrency(_name(request), await request.body())
    return JSONResponse({"ReservedConcurrentExecutions": reserved})


async def _get_concurrency(request: Request) -> Response:
    services = services_of(request)
    reserved = services.account.reserved.get(services.functions.get(_name(request)).name)
    return JSONResponse({} if reserved is None else {"ReservedConcurrentExecutions": reserved})


async def _delete_concurrency(request: Request) -> Response:
    services = services_of(request)
    services.account.release(services.functions.get(_name(request)).name)
    return Response(status_code=204)


async def _list_events(request: Request) -> Response:
    functions = services_of(request).functions
    configs = functions.events.list_all(functions.get(_name(request)).name)
    return JSONResponse({"FunctionEventInvokeConfigs": configs})


async def _get_events(request: Request) -> Response:
    return JSONResponse(services_of(request).functions.events.get(_name(request), _qualifier(request)))


async def _put_events(request: Request) -> Response:
    return await _set_events(request, keep=False)


async def _update_events(request: Request) -> Response:
    return await _set_events(request, keep=True)


async def _set_events(request: Request, *, keep: bool) -> Response:
    put = services_of(request).functions.events.put
    return JSONResponse(put(_name(request), _qualifier(request), await request.body(), keep=keep))


async def _delete_events(request: Request) -> Response:
    services_of(request).functions.events.delete(_name(request), _qualifier(request))
    return Response(status_code=204)


async def _get_recursion(request: Request) -> Response:
    return JSONResponse(services_of(request).functions.get(_name(request)).recursion_config())


async def _put_recursion(request: Request) -> Response:
    function = services_of(request).functions.put_recursion_config(_name(request), await request.body())
    return JSONResponse(function.recursion_config())


async def _list_tags(request: Request) -> Response:
    return JSONResponse({"Tags": services_of(request).functions.tags(request.path_params["arn"])})


async def _tag(request: Request) -> Response:
    services_of(request).functions.tag(request.path_params["arn"], await request.body())
    return Response(status_code=204)


async def _untag(request: Request) -> Response:
    services_of(request).functions.untag(request.path_params["arn"], request.query_params.getlist("tagKeys"))
    return Response(status_code=204)


async def _account_settings(request: Request) -> Response:
    services = services_of(request)
    functions = services.functions.all()
    limit = {
        "ConcurrentExecutions": services.account.concurrency,
        "UnreservedConcurrentExecutions": services.account.unreserved,
    }
    usage = {"FunctionCount": len(functions), "TotalCodeSize": sum(one.package.size for one in functions)}
    return JSONResponse({"AccountLimit": limit, "AccountUsage": usage})


async def _put_account(request: Request) -> Response:
    """Set the account's limits for a rehearsal."""
    changes, account = decode(await request.body(), AccountRequest), services_of(request).account
    account.concurrency = changes.concurrency or account.concurrency
    account.memory_mb = changes.memory_mb or account.memory_mb
    return JSONResponse(_to_api(account))


def _to_api(account: AccountLimits) -> dict[str, int]:
    return {"concurrency": account.concurrency, "memory_mb": account.memory_mb}


async def _put_call_faults(request: Request) -> Response:
    """Replace the list of API calls that a rehearsal makes fail."""
    faults = decode(await request.body() or b"[]", tuple[CallFault, ...])
    services_of(request).call_faults.put(faults)
    return Response(msgspec.json.encode(faults), media_type="application/json")
