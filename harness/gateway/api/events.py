"""Event invoke configurations: https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html."""

from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.errors import LambdaApiError, invalid_parameter, not_found
from harness.gateway.events.destination_checks import check_destinations
from harness.gateway.names import LATEST, Identifier, function_arn, parse_identifier
from harness.gateway.records import EventInvokeConfig


class Destination(msgspec.Struct, rename="pascal"):
    """One destination of a `DestinationConfig`."""

    destination: str | None = None


class DestinationConfig(msgspec.Struct, rename="pascal"):
    """`DestinationConfig` of the API: where a record of an event's end is sent."""

    on_success: Destination = msgspec.field(default_factory=Destination)
    on_failure: Destination = msgspec.field(default_factory=Destination)


class PutFunctionEventInvokeConfig(Input):
    """Input of PutFunctionEventInvokeConfig."""

    function_name: str
    qualifier: str | None = None
    maximum_retry_attempts: int | None = None
    maximum_event_age_in_seconds: int | None = None
    destination_config: DestinationConfig | None = None


class UpdateFunctionEventInvokeConfig(PutFunctionEventInvokeConfig):
    """Input of UpdateFunctionEventInvokeConfig; absent members stay unchanged."""


@operation(PutFunctionEventInvokeConfig)
async def put_function_event_invoke_config(call: Call[PutFunctionEventInvokeConfig]) -> Body:
    """Replace the settings of a function, a version or an alias."""
    return await _store(call, EventInvokeConfig())


@operation(UpdateFunctionEventInvokeConfig)
async def update_function_event_invoke_config(call: Call[UpdateFunctionEventInvokeConfig]) -> Body:
    """Change some settings of a function, a version or an alias."""
    identifier = _existing(call, parse_identifier(call.input.function_name, call.input.qualifier))
    before = call.services.functions.events.get(identifier)
    return await _store(call, before) if before is not None else _refuse_missing(identifier)


class GetFunctionEventInvokeConfig(Input):
    """Input of GetFunctionEventInvokeConfig."""

    function_name: str
    qualifier: str | None = None


@operation(GetFunctionEventInvokeConfig)
async def get_function_event_invoke_config(call: Call[GetFunctionEventInvokeConfig]) -> Body:
    """Return the settings of a function, a version or an alias."""
    identifier = parse_identifier(call.input.function_name, call.input.qualifier)
    config = call.services.functions.events.get(identifier)
    return _view(identifier, config) if config is not None else _refuse_missing(identifier)


class ListFunctionEventInvokeConfigs(Input):
    """Input of ListFunctionEventInvokeConfigs."""

    function_name: str
    marker: str | None = None
    max_items: int | None = None


@operation(ListFunctionEventInvokeConfigs)
async def list_function_event_invoke_configs(call: Call[ListFunctionEventInvokeConfigs]) -> Body:
    """Return all settings of a function, its versions and its aliases."""
    identifier = _existing(call, Identifier(parse_identifier(call.input.function_name).name, ""))
    configs = call.services.functions.events.all_of(identifier.name)
    return page(
        configs,
        "FunctionEventInvokeConfigs",
        lambda one: _view(*one),
        marker=call.input.marker,
        max_items=call.input.max_items,
    )


class DeleteFunctionEventInvokeConfig(Input):
    """Input of DeleteFunctionEventInvokeConfig."""

    function_name: str
    qualifier: str | None = None


@operation(DeleteFunctionEventInvokeConfig)
async def delete_function_event_invoke_config(call: Call[DeleteFunctionEventInvokeConfig]) -> Body:
    """Remove the settings of a function, a version or an alias."""
    identifier = parse_identifier(call.input.function_name, call.input.qualifier)
    if not call.services.functions.events.remove(identifier):
        _refuse_missing(identifier)
    return None


def _existing(call: Call[Any], identifier: Identifier) -> Identifier:
    """Return the identifier; AWS refuses one of nothing in words of its own here."""
    try:
        call.services.functions.find(identifier)
    except LambdaApiError as error:
        raise not_found("The function doesn't exist.") from error
    return identifier


async def _store(call: Call[Any], before: EventInvokeConfig) -> dict[str, Any]:
    wanted: PutFunctionEventInvokeConfig = call.input
    retries, age, destinations = (
        wanted.maximum_retry_attempts,
        wanted.maximum_event_age_in_seconds,
        wanted.destination_config,
    )
    if retries is None and age is None and destinations is None:
        raise invalid_parameter("You must specify at least one of error handling or destination setting.")
    identifier = _existing(call, parse_identifier(wanted.function_name, wanted.qualifier))
    on_failure, on_success = before.on_failure, before.on_success
    if destinations is not None:
        on_failure, on_success = destinations.on_failure.destination, destinations.on_success.destination
        services = call.services
        function = services.functions.find(identifier)
        await check_destinations(services.destinations, services.functions, function, on_success, on_failure)
    config = EventInvokeConfig(
        before.retries if retries is None else retries,
        before.age_s if age is None else age,
        on_failure,
        on_success,
        datetime.now(UTC),
    )
    call.services.functions.events.put(identifier, config)
    return _view(identifier, config)


def _view(identifier: Identifier, config: EventInvokeConfig) -> dict[str, Any]:
    """Return settings in AWS's form, which shows only what was set."""
    assert config.modified is not None  # noqa: S101 - AWS does not show defaults
    destinations = {"OnSuccess": config.on_success, "OnFailure": config.on_failure}
    answer: dict[str, Any] = {
        "FunctionArn": function_arn(identifier.name, identifier.qualifier or LATEST),
        "LastModified": config.modified.timestamp(),
        "DestinationConfig": {when: {"Destination": arn} if arn else {} for when, arn in destinations.items()},
    }
    if config.retries is not None:
        answer["MaximumRetryAttempts"] = config.retries
    if config.age_s is not None:
        answer["MaximumEventAgeInSeconds"] = config.age_s
    return answer


def _refuse_missing(identifier: Identifier) -> NoReturn:
    arn = function_arn(identifier.name, identifier.qualifier or LATEST)
    raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
