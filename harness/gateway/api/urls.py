"""Function URLs: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html."""

from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.errors import LambdaApiError, not_found
from harness.gateway.functions import FunctionStore
from harness.gateway.names import Identifier, function_arn, parse_identifier
from harness.gateway.urls.store import PATH, AuthType, Cors, FunctionUrl, InvokeMode, new_id


class CreateFunctionUrlConfig(Input):
    """Input of CreateFunctionUrlConfig."""

    function_name: str
    auth_type: AuthType
    qualifier: str | None = None
    cors: Cors | None = None
    invoke_mode: InvokeMode | None = None


@operation(CreateFunctionUrlConfig)
async def create_function_url_config(call: Call[CreateFunctionUrlConfig]) -> Body:
    """Give a function or an alias a URL."""
    wanted, functions = call.input, call.services.functions
    identifier = _existing(functions, parse_identifier(wanted.function_name, wanted.qualifier))
    if functions.urls.get(identifier) is not None:
        raise LambdaApiError(
            "ResourceConflictException",
            409,
            f"Failed to create function url config for [functionArn = {function_arn(*identifier)}]. Error message:  "
            "FunctionUrlConfig exists for this Lambda function",
        )
    now, url_id = datetime.now(UTC), new_id()
    address = f"{call.address}{PATH}{url_id}/"
    url = FunctionUrl(url_id, address, wanted.auth_type, wanted.cors, wanted.invoke_mode, now, now)
    functions.urls.put(identifier, url)
    view = _view(identifier, url)
    del view["LastModifiedTime"]
    return view


class GetFunctionUrlConfig(Input):
    """Input of GetFunctionUrlConfig."""

    function_name: str
    qualifier: str | None = None


@operation(GetFunctionUrlConfig)
async def get_function_url_config(call: Call[GetFunctionUrlConfig]) -> Body:
    """Return the URL of a function or an alias."""
    identifier = parse_identifier(call.input.function_name, call.input.qualifier)
    url = call.services.functions.urls.get(identifier)
    return _whole(identifier, url) if url is not None else _refuse_missing()


class ListFunctionUrlConfigs(Input):
    """Input of ListFunctionUrlConfigs."""

    function_name: str
    marker: str | None = None
    max_items: int | None = None


@operation(ListFunctionUrlConfigs)
async def list_function_url_configs(call: Call[ListFunctionUrlConfigs]) -> Body:
    """Return the URLs of a function and its aliases."""
    functions = call.services.functions
    name = _existing(functions, Identifier(parse_identifier(call.input.function_name).name, "")).name
    return page(
        functions.urls.all_of(name),
        "FunctionUrlConfigs",
        lambda one: _whole(*one),
        marker=call.input.marker,
        max_items=call.input.max_items,
    )


class UpdateFunctionUrlConfig(Input):
    """Input of UpdateFunctionUrlConfig; absent members stay unchanged."""

    function_name: str
    qualifier: str | None = None
    auth_type: AuthType | None = None
    cors: Cors | None = None
    invoke_mode: InvokeMode | None = None


@operation(UpdateFunctionUrlConfig)
async def update_function_url_config(call: Call[UpdateFunctionUrlConfig]) -> Body:
    """Change the URL of a function or an alias; its address stays."""
    wanted, functions = call.input, call.services.functions
    identifier = _existing(functions, parse_identifier(wanted.function_name, wanted.qualifier))
    before = functions.urls.get(identifier)
    if before is None:
        _refuse_missing()
    url = msgspec.structs.replace(
        before,
        auth_type=wanted.auth_type or before.auth_type,
        cors=before.cors if wanted.cors is None else wanted.cors,
        invoke_mode=wanted.invoke_mode or before.invoke_mode,
        modified=datetime.now(UTC),
    )
    functions.urls.put(identifier, url)
    return _view(identifier, url)


class DeleteFunctionUrlConfig(Input):
    """Input of DeleteFunctionUrlConfig."""

    function_name: str
    qualifier: str | None = None


@operation(DeleteFunctionUrlConfig)
async def delete_function_url_config(call: Call[DeleteFunctionUrlConfig]) -> Body:
    """Take away the URL of a function or an alias."""
    identifier = parse_identifier(call.input.function_name, call.input.qualifier)
    if not call.services.functions.urls.remove(identifier):
        _refuse_missing()
    return None


def _existing(functions: FunctionStore, identifier: Identifier) -> Identifier:
    """Return the identifier; AWS refuses one of nothing in words of its own here."""
    try:
        functions.find(identifier)
    except LambdaApiError as error:
        raise not_found("Function does not exist") from error
    return identifier


def _refuse_missing() -> NoReturn:
    raise not_found("The resource you requested does not exist.")


def _view(identifier: Identifier, url: FunctionUrl) -> dict[str, Any]:
    """Return a URL in AWS's form, with what was given."""
    view = {
        "FunctionUrl": url.address,
        "FunctionArn": function_arn(*identifier),
        "AuthType": url.auth_type,
        "CreationTime": _time(url.created),
        "LastModifiedTime": _time(url.modified),
    }
    if url.cors is not None:
        view["Cors"] = msgspec.to_builtins(url.cors)
    return view | ({"InvokeMode": url.invoke_mode} if url.invoke_mode is not None else {})


def _whole(identifier: Identifier, url: FunctionUrl) -> dict[str, Any]:
    """Return a URL in AWS's form, with the default for what was not given."""
    return {"InvokeMode": "BUFFERED", **_view(identifier, url)}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
