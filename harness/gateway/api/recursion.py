"""Recursive loops: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html."""

from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.records import Function


class PutFunctionRecursionConfig(Input):
    """Input of PutFunctionRecursionConfig."""

    function_name: str
    recursive_loop: str


@operation(PutFunctionRecursionConfig)
async def put_function_recursion_config(call: Call[PutFunctionRecursionConfig]) -> Body:
    """Set whether a function may invoke itself any number of times."""
    functions = call.services.functions
    function = functions.get(call.input.function_name)
    return _view(functions.set_recursion(function, allowed=call.input.recursive_loop == "Allow"))


class GetFunctionRecursionConfig(Input):
    """Input of GetFunctionRecursionConfig."""

    function_name: str


@operation(GetFunctionRecursionConfig)
async def get_function_recursion_config(call: Call[GetFunctionRecursionConfig]) -> Body:
    """Return whether a function may invoke itself any number of times."""
    return _view(call.services.functions.get(call.input.function_name))


def _view(function: Function) -> dict[str, str]:
    return {"RecursiveLoop": "Allow" if function.recursion_allowed else "Terminate"}
