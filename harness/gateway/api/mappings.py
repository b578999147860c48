"""Event source mappings: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html."""

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.configuration_checks import check_tags
from harness.gateway.errors import LambdaApiError, invalid_parameter, not_found
from harness.gateway.mappings.patterns import parse_pattern
from harness.gateway.mappings.store import EventSourceMapping, new_id
from harness.gateway.names import Identifier, function_arn, parse_identifier
from harness.gateway.records import Function
from harness.gateway.services import Services

_DEFAULT_BATCH, _WITHOUT_WINDOW, _MOST_OF_FIFO = 10, 10, 10
_MOST_LISTED = 100
# What the function's role must allow: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
_NEEDED = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
_ITEMS = "ReportBatchItemFailures"


class ScalingConfig(msgspec.Struct, rename="pascal"):
    """`ScalingConfig` of the API."""

    maximum_concurrency: int | None = None


class Filter(msgspec.Struct, rename="pascal"):
    """`Filter` of the API."""

    pattern: str | None = None


class FilterCriteria(msgspec.Struct, rename="pascal"):
    """`FilterCriteria` of the API: a message that one of the filters wants reaches the function."""

    filters: list[Filter] = []

    @property
    def patterns(self) -> tuple[str, ...]:
        """Return the patterns."""
        return tuple(one.pattern for one in self.filters if one.pattern is not None)


class CreateEventSourceMapping(Input):
    """Input of CreateEventSourceMapping."""

    function_name: str
    event_source_arn: str | None = None
    enabled: bool = True
    batch_size: int = _DEFAULT_BATCH
    maximum_batching_window_in_seconds: int = 0
    function_response_types: tuple[Literal["ReportBatchItemFailures"], ...] = ()
    scaling_config: ScalingConfig | None = None
    filter_criteria: FilterCriteria | None = None
    # Members of other event sources, which are refused after these.
    starting_position: str | None = None
    destination_config: dict[str, Any] | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)


@operation(CreateEventSourceMapping)
async def create_event_source_mapping(call: Call[CreateEventSourceMapping]) -> Body:
    """Let a function get the messages of a queue."""
    wanted, services = call.input, call.services
    queue = _queue(wanted.event_source_arn)
    if wanted.destination_config:
        raise invalid_parameter("Unsupported DestinationConfig parameter for given event source mapping type.")
    if wanted.starting_position:
        raise invalid_parameter("StartingPosition is not valid for SQS event sources.")
    check_tags(wanted.tags)
    identifier = parse_identifier(wanted.function_name)
    function = _existing(services, identifier)
    mapping = EventSourceMapping(
        new_id(),
        queue,
        identifier,
        wanted.batch_size,
        wanted.maximum_batching_window_in_seconds,
        _ITEMS in wanted.function_response_types,
        wanted.enabled,
        None if wanted.scaling_config is None else wanted.scaling_config.maximum_concurrency,
        datetime.now(UTC),
        wanted.tags,
        () if wanted.filter_criteria is None else wanted.filter_criteria.patterns,
    )
    await _check(services, mapping, function)
    same = [one for one in services.mappings.all() if (one.queue, one.target) == (queue, identifier)]
    if same:
        raise LambdaApiError(
            "ResourceConflictException",
            409,
            f'An event source mapping with SQS arn (" {queue} ") and function (" {identifier.name} ") already exists. '
            f"Please update or delete the existing mapping with UUID {same[0].id}",
        )
    services.mappings.put(mapping)
    return _view(mapping, "Creating" if mapping.enabled else "Disabled")


class GetEventSourceMapping(Input):
    """Input of GetEventSourceMapping."""

    uuid: str = msgspec.field(name="UUID")


@operation(GetEventSourceMapping)
async def get_event_source_mapping(call: Call[GetEventSourceMapping]) -> Body:
    """Return a mapping."""
    return _view(_found(call.services, call.input.uuid))


class ListEventSourceMappings(Input):
    """Input of ListEventSourceMappings."""

    event_source_arn: str | None = None
    function_name: str | None = None
    marker: str | None = None
    max_items: int | None = None


@operation(ListEventSourceMappings)
async def list_event_source_mappings(call: Call[ListEventSourceMappings]) -> Body:
    """Return all mappings, or those of a queue or a function; neither has to exist."""
    queue, name = call.input.event_source_arn, call.input.function_name
    target = parse_identifier(name) if name is not None else None
    found = [one for one in call.services.mappings.all() if queue in (None, one.queue) and target in (None, one.target)]
    return page(
        found,
        "EventSourceMappings",
        _view,
        marker=call.input.marker,
        max_items=call.input.max_items,
        most=_MOST_LISTED,
    )


class UpdateEventSourceMapping(Input):
    """Input of UpdateEventSourceMapping; absent members stay unchanged."""

    uuid: str = msgspec.field(name="UUID")
    function_name: str | None = None
    enabled: bool | None = None
    batch_size: int | None = None
    maximum_batching_window_in_seconds: int | None = None
    function_response_types: list[Literal["ReportBatchItemFailures"]] | None = None
    scaling_config: ScalingConfig | None = None
    filter_criteria: FilterCriteria | None = None


@operation(UpdateEventSourceMapping)
async def update_event_source_mapping(call: Call[UpdateEventSourceMapping]) -> Body:
    """Change a mapping."""
    wanted, services = call.input, call.services
    before = _found(services, wanted.uuid)
    target = before.target if wanted.function_name is None else parse_identifier(wanted.function_name)
    types, window_s = wanted.function_response_types, wanted.maximum_batching_window_in_seconds
    scaling, criteria = wanted.scaling_config, wanted.filter_criteria
    mapping = msgspec.structs.replace(
        before,
        target=target,
        enabled=before.enabled if wanted.enabled is None else wanted.enabled,
        batch_size=wanted.batch_size or before.batch_size,
        window_s=before.window_s if window_s is None else window_s,
        reports_items=before.reports_items if types is None else _ITEMS in types,
        most_at_once=before.most_at_once if scaling is None else scaling.maximum_concurrency,
        modified=datetime.now(UTC),
        patterns=before.patterns if criteria is None else criteria.patterns,
    )
    await _check(services, mapping, _existing(services, target))
    services.mappings.put(mapping)
    if mapping.enabled != before.enabled:
        return _view(mapping, "Enabling" if mapping.enabled else "Disabling")
    return _view(mapping, "Updating")


class DeleteEventSourceMapping(Input):
    """Input of DeleteEventSourceMapping."""

    uuid: str = msgspec.field(name="UUID")


@operation(DeleteEventSourceMapping)
async def delete_event_source_mapping(call: Call[DeleteEventSourceMapping]) -> Body:
    """Delete a mapping; its messages stay in the queue."""
    mapping = _found(call.services, call.input.uuid)
    call.services.mappings.remove(mapping.id)
    return _view(mapping, "Deleting")


def _queue(arn: str | None) -> str:
    if not arn:
        raise invalid_parameter("Unrecognized event source.")
    if not arn.startswith("arn:aws:sqs:"):
        raise invalid_parameter(f"The event source {arn} is not emulated: queues of SQS are.")
    return arn


def _existing(services: Services, identifier: Identifier) -> Function:
    try:
        return services.functions.find(identifier)
    except LambdaApiError as error:
        raise invalid_parameter("Function does not exist") from error


async def _check(services: Services, mapping: EventSourceMapping, function: Function) -> None:
    """Refuse sizes that do not fit the queue, a queue that does not exist, and a role that may not read it."""
    for pattern in mapping.patterns:
        parse_pattern(pattern)
    fifo = mapping.queue.endswith(".fifo")
    if fifo and (mapping.window_s or mapping.batch_size > _MOST_OF_FIFO):
        raise invalid_parameter("Batches of a FIFO queue have at most 10 messages and no batching window.")
    if mapping.batch_size > _WITHOUT_WINDOW and not mapping.window_s:
        raise invalid_parameter(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
    for action in _NEEDED:
        if not await services.permissions.allows(function.name, function.role, f"sqs:{action}", mapping.queue):
            raise invalid_parameter(f"The provided execution role does not have permissions to call {action} on SQS")
    unseen_s = await services.mappings.queues.visibility_timeout_s(mapping.queue)
    if unseen_s < function.timeout_s:
        raise invalid_parameter(
            f"Queue visibility timeout: {unseen_s} seconds is less than Function timeout: {function.timeout_s} seconds"
        )


def _found(services: Services, mapping_id: str) -> EventSourceMapping:
    mapping = services.mappings.get(mapping_id)
    if mapping is None:
        raise not_found("The resource you requested does not exist.")
    return mapping


def _view(mapping: EventSourceMapping, state: str = "") -> dict[str, Any]:
    scaling = {} if mapping.most_at_once is None else {"MaximumConcurrency": mapping.most_at_once}
    filters = [{"Pattern": pattern} for pattern in mapping.patterns]
    return {
        "UUID": mapping.id,
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": mapping.window_s,
        "EventSourceArn": mapping.queue,
        "EventSourceMappingArn": mapping.arn,
        "FunctionArn": function_arn(*mapping.target),
        "LastModified": mapping.modified.timestamp(),
        "State": state or ("Enabled" if mapping.enabled else "Disabled"),
        "StateTransitionReason": "USER_INITIATED",
        "FunctionResponseTypes": [_ITEMS] if mapping.reports_items else [],
        **({"ScalingConfig": scaling} if scaling else {}),
        **({"FilterCriteria": {"Filters": filters}} if filters else {}),
    }
