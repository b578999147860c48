"""Reserved concurrency: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html."""

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.errors import invalid_parameter
from harness.gateway.names import LATEST, Identifier, parse_identifier
from harness.gateway.services import Services


class PutFunctionConcurrency(Input):
    """Input of PutFunctionConcurrency."""

    function_name: str
    reserved_concurrent_executions: int


@operation(PutFunctionConcurrency)
async def put_function_concurrency(call: Call[PutFunctionConcurrency]) -> Body:
    """Reserve a part of the account's concurrency for a function."""
    name = _function(call.services, call.input.function_name)
    call.services.account.reserve(name, call.input.reserved_concurrent_executions)
    return {"ReservedConcurrentExecutions": call.input.reserved_concurrent_executions}


class GetFunctionConcurrency(Input):
    """Input of GetFunctionConcurrency."""

    function_name: str


@operation(GetFunctionConcurrency)
async def get_function_concurrency(call: Call[GetFunctionConcurrency]) -> Body:
    """Return a function's reserved concurrency, if it has one."""
    name = call.services.functions.get(call.input.function_name).name
    reserved = call.services.account.reserved.get(name)
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}


class DeleteFunctionConcurrency(Input):
    """Input of DeleteFunctionConcurrency."""

    function_name: str


@operation(DeleteFunctionConcurrency)
async def delete_function_concurrency(call: Call[DeleteFunctionConcurrency]) -> Body:
    """Release a function's reserved concurrency."""
    call.services.account.release(_function(call.services, call.input.function_name))
    return None


def _function(services: Services, identifier: str) -> str:
    """Return the name of a function, which has a reservation as a whole.

    Raises:
        LambdaApiError: It is a version or an alias, or does not exist.
    """
    name, qualifier = parse_identifier(identifier)
    if qualifier:
        raise invalid_parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."
        )
    return services.functions.find(Identifier(name, LATEST)).name
