"""Provisioned concurrency: https://docs.aws.amazon.com/lambda/latest/api/API_PutProvisionedConcurrencyConfig.html."""

from typing import Any

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.api.paging import page
from harness.gateway.errors import LambdaApiError, function_not_found, invalid_parameter
from harness.gateway.functions import FunctionStore
from harness.gateway.names import LATEST, Identifier, function_arn, parse_identifier
from harness.gateway.provisioned import ProvisionedConfig


class PutProvisionedConcurrencyConfig(Input):
    """Input of PutProvisionedConcurrencyConfig."""

    function_name: str
    qualifier: str
    provisioned_concurrent_executions: int


@operation(PutProvisionedConcurrencyConfig)
async def put_provisioned_concurrency_config(call: Call[PutProvisionedConcurrencyConfig]) -> Body:
    """Request environments that wait for invocations of a version or an alias; they start in the background."""
    wanted, functions = call.input, call.services.functions
    unpublished = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    identifier = _existing(functions, wanted.function_name, wanted.qualifier, unpublished)
    if functions.find(identifier).version == LATEST:
        raise invalid_parameter(unpublished)
    return _view(call.services.provisioned.put(identifier, wanted.provisioned_concurrent_executions))


class GetProvisionedConcurrencyConfig(Input):
    """Input of GetProvisionedConcurrencyConfig."""

    function_name: str
    qualifier: str


@operation(GetProvisionedConcurrencyConfig)
async def get_provisioned_concurrency_config(call: Call[GetProvisionedConcurrencyConfig]) -> Body:
    """Return what was requested for a version or an alias, and how much of it is ready."""
    identifier = _existing(call.services.functions, call.input.function_name, call.input.qualifier)
    config = call.services.provisioned.get(identifier)
    if config is None:
        raise LambdaApiError(
            "ProvisionedConcurrencyConfigNotFoundException",
            404,
            "No Provisioned Concurrency Config found for this function",
        )
    return _view(config)


class ListProvisionedConcurrencyConfigs(Input):
    """Input of ListProvisionedConcurrencyConfigs."""

    function_name: str
    marker: str | None = None
    max_items: int | None = None


@operation(ListProvisionedConcurrencyConfigs)
async def list_provisioned_concurrency_configs(call: Call[ListProvisionedConcurrencyConfigs]) -> Body:
    """Return everything that was requested for a function."""
    name = call.services.functions.get(call.input.function_name).name
    return page(
        call.services.provisioned.all_of(name),
        "ProvisionedConcurrencyConfigs",
        lambda config: {"FunctionArn": function_arn(*config.identifier), **_view(config)},
        marker=call.input.marker,
        max_items=call.input.max_items,
    )


class DeleteProvisionedConcurrencyConfig(Input):
    """Input of DeleteProvisionedConcurrencyConfig."""

    function_name: str
    qualifier: str


@operation(DeleteProvisionedConcurrencyConfig)
async def delete_provisioned_concurrency_config(call: Call[DeleteProvisionedConcurrencyConfig]) -> Body:
    """Stop the environments of a version or an alias; it succeeds if there are none."""
    identifier = _existing(call.services.functions, call.input.function_name, call.input.qualifier)
    call.services.provisioned.forget(identifier)
    return None


def _existing(
    functions: FunctionStore,
    function: str,
    qualifier: str,
    latest: str = "The function resource provided must be an alias or a published version.",
) -> Identifier:
    """Return the version or the alias that an input identifies.

    Args:
        functions: The account's functions.
        function: The function's name or ARN.
        qualifier: The version's number or the alias's name.
        latest: The message where it is `$LATEST`.

    Raises:
        LambdaApiError: It does not exist, or is `$LATEST`.
    """
    identifier = parse_identifier(function, qualifier)
    name, qualifier = identifier
    if qualifier == LATEST:
        raise invalid_parameter(latest)
    if not qualifier.isdecimal():
        functions.alias(name, qualifier)
    elif name not in {one.name for one in functions.all()}:
        raise function_not_found(function_arn(name, qualifier))
    functions.find(identifier)
    return identifier


def _view(config: ProvisionedConfig) -> dict[str, Any]:
    reason = {"StatusReason": config.reason} if config.reason else {}
    return {
        "RequestedProvisionedConcurrentExecutions": config.requested,
        "AvailableProvisionedConcurrentExecutions": config.available,
        "AllocatedProvisionedConcurrentExecutions": config.available,
        "Status": config.status,
        **reason,
        "LastModified": config.modified.strftime("%Y-%m-%dT%H:%M:%S+0000"),
    }
