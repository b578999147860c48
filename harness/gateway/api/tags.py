"""Tags: https://docs.aws.amazon.com/lambda/latest/api/API_TagResource.html."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.configuration_checks import check_tags
from harness.gateway.errors import invalid_parameter, not_found
from harness.gateway.names import parse_identifier
from harness.gateway.services import Services

# Resources other than functions, as AWS's errors name them.
_KINDS = {
    "event-source-mapping": "Event source mapping",
    "capacity-provider": "Capacity provider",
    "code-signing-config": "Code signing config",
    "layer": "Layer",
}


@dataclass(frozen=True, slots=True)
class _Tagged:
    """A resource with tags.

    Attributes:
        tags: Its tags; a change to them is stored.
        changed: To be called after a change.
    """

    tags: dict[str, str]
    changed: Callable[[], None] = lambda: None


class ListTags(Input):
    """Input of ListTags."""

    resource: str


@operation(ListTags)
async def list_tags(call: Call[ListTags]) -> Body:
    """Return a resource's tags."""
    return {"Tags": _tagged(call.services, call.input.resource).tags}


class TagResource(Input):
    """Input of TagResource."""

    resource: str
    tags: dict[str, str]


@operation(TagResource)
async def tag_resource(call: Call[TagResource]) -> Body:
    """Add tags to a resource."""
    resource = _tagged(call.services, call.input.resource)
    if not call.input.tags:
        raise invalid_parameter("An error occurred and the request cannot be processed.")
    check_tags(resource.tags | call.input.tags)
    resource.tags.update(call.input.tags)
    resource.changed()
    return None


class UntagResource(Input):
    """Input of UntagResource."""

    resource: str
    tag_keys: list[str]


@operation(UntagResource)
async def untag_resource(call: Call[UntagResource]) -> Body:
    """Remove tags from a resource; removing one that it does not have succeeds."""
    resource = _tagged(call.services, call.input.resource)
    for key in call.input.tag_keys:
        resource.tags.pop(key, None)
    resource.changed()
    return None


def _tagged(services: Services, arn: str) -> _Tagged:
    """Return the resource that an ARN identifies.

    Raises:
        LambdaApiError: It does not exist, or is a version or an alias, which have no tags.
    """
    kind, functions = arn.split(":")[5], services.functions
    if kind == "code-signing-config" and arn in functions.signing.configs:
        return _Tagged(functions.signing.configs[arn].tags)
    if kind == "event-source-mapping":
        mapping = services.mappings.get(arn.rpartition(":")[2])
        if mapping is not None:
            return _Tagged(mapping.tags)
    if kind in _KINDS:
        raise not_found(f"{_KINDS[kind]} not found: {arn}")
    identifier = parse_identifier(arn)
    if identifier.qualifier:
        raise invalid_parameter(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    name = functions.find(identifier).name
    return _Tagged(functions.tags(name), lambda: functions.renew_revision(name))
