"""Aliases: https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html."""

from typing import Any

import msgspec

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.errors import LambdaApiError, invalid_parameter, not_found
from harness.gateway.functions import FunctionStore, check_revision, new_revision
from harness.gateway.names import LATEST, Identifier, function_arn, parse_identifier
from harness.gateway.records import Alias

# https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
_MOST_ADDITIONAL_VERSIONS = 1


class RoutingConfig(msgspec.Struct, rename="pascal"):
    """`RoutingConfig` of the API: the share of the invocations that another version takes."""

    additional_version_weights: dict[str, float] = {}


class CreateAlias(Input):
    """Input of CreateAlias."""

    function_name: str
    name: str
    function_version: str
    description: str = ""
    routing_config: RoutingConfig = msgspec.field(default_factory=RoutingConfig)


@operation(CreateAlias)
async def create_alias(call: Call[CreateAlias]) -> Body:
    """Create an alias."""
    wanted, functions = call.input, call.services.functions
    alias = Alias(
        parse_identifier(wanted.function_name).name,
        wanted.name,
        wanted.function_version,
        wanted.description,
        new_revision(),
        wanted.routing_config.additional_version_weights,
    )
    _check(functions, alias)
    functions.add_alias(alias)
    return _view(alias)


class GetAlias(Input):
    """Input of GetAlias."""

    function_name: str
    name: str


@operation(GetAlias)
async def get_alias(call: Call[GetAlias]) -> Body:
    """Return an alias."""
    name = parse_identifier(call.input.function_name).name
    return _view(call.services.functions.alias(name, call.input.name))


class ListAliases(Input):
    """Input of ListAliases."""

    function_name: str
    function_version: str | None = None
    marker: str | None = None
    max_items: int | None = None


@operation(ListAliases)
async def list_aliases(call: Call[ListAliases]) -> Body:
    """Return the aliases of a function, or those that invoke one version of it."""
    functions = call.services.functions
    aliases = functions.aliases(functions.get(call.input.function_name).name)
    version = call.input.function_version
    return page(
        [alias for alias in aliases if version in (None, *alias.versions)],
        "Aliases",
        _view,
        marker=call.input.marker,
        max_items=call.input.max_items,
    )


class UpdateAlias(Input):
    """Input of UpdateAlias; absent members stay unchanged."""

    function_name: str
    name: str
    function_version: str | None = None
    description: str | None = None
    routing_config: RoutingConfig | None = None
    revision_id: str | None = None


@operation(UpdateAlias)
async def update_alias(call: Call[UpdateAlias]) -> Body:
    """Change an alias."""
    wanted, functions = call.input, call.services.functions
    name, routing = functions.get(parse_identifier(wanted.function_name).name).name, wanted.routing_config
    before = {alias.name: alias for alias in functions.aliases(name)}.get(wanted.name)
    if before is None:
        raise not_found(f"Alias not found: {function_arn(name, wanted.name)}")
    check_revision(before, wanted.revision_id)
    alias = msgspec.structs.replace(
        before,
        version=before.version if wanted.function_version is None else wanted.function_version,
        description=before.description if wanted.description is None else wanted.description,
        revision=new_revision(),
        weights=before.weights if routing is None else routing.additional_version_weights,
    )
    _check(functions, alias)
    call.services.provisioned.check_move(alias)
    functions.replace_alias(alias)
    call.services.provisioned.follow(alias)
    return _view(alias)


class DeleteAlias(Input):
    """Input of DeleteAlias."""

    function_name: str
    name: str


@operation(DeleteAlias)
async def delete_alias(call: Call[DeleteAlias]) -> Body:
    """Delete an alias; deleting one that does not exist succeeds."""
    functions = call.services.functions
    name = functions.get(call.input.function_name).name
    functions.remove_alias(name, call.input.name)
    call.services.provisioned.forget(Identifier(name, call.input.name))
    return None


def _view(alias: Alias) -> dict[str, Any]:
    routing = {"RoutingConfig": {"AdditionalVersionWeights": alias.weights}} if alias.weights else {}
    return {
        "AliasArn": function_arn(alias.function, alias.name),
        "Name": alias.name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision,
        **routing,
    }


def _check(functions: FunctionStore, alias: Alias) -> None:
    """Refuse an alias whose versions do not exist, or cannot share its invocations."""
    if len(alias.weights) > _MOST_ADDITIONAL_VERSIONS:
        raise invalid_parameter("Number of items in AdditionalVersionWeights cannot be greater than 1")
    if alias.weights and alias.version == LATEST:
        # This error of AWS's has no `Type`.
        raise LambdaApiError(
            "InvalidParameterValueException",
            400,
            "$LATEST is not supported for an alias pointing to more than 1 version",
            typed=False,
        )
    if alias.version in alias.weights:
        raise invalid_parameter(
            f"Invalid function version {alias.version}. Function version {alias.version} is already included in "
            "routing configuration."
        )
    for version in alias.versions:
        functions.find(Identifier(alias.function, version))
