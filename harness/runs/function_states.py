"""The functions of a stack beside those that harness.toml declares."""

from typing import TYPE_CHECKING, Any, NamedTuple

from harness.aws.function_deployer import Code, DesiredFunction, differences
from harness.runs.declared import declared
from harness.runs.functions import desired_function
from harness.settings import Settings
from harness.stack.plan import Log
from harness.stack.state import Mode

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class FunctionState(NamedTuple):
    """A function that harness.toml declares, or that is on the stack, or both.

    Attributes:
        name: Its name.
        state: `current`, `outdated` (differs from harness.toml or its folder), `missing` (declared, but not on the
            stack) or `undeclared`.
        differs: The keys of its configuration that differ from what is declared.
        handler: Its handler; empty for an image.
        memory_mb: Its memory size.
        timeout_s: Its time limit.
        code_bytes: The size of its package or image; 0 if it is missing.
        modified: When it was last changed, in AWS's form; empty if it is missing.
    """

    name: str
    state: str
    differs: list[str]
    handler: str
    memory_mb: int
    timeout_s: int
    code_bytes: int
    modified: str


def function_states(client: "LambdaClient", settings: Settings, mode: Mode, *, log: Log) -> list[FunctionState]:
    """Return the functions in the order of harness.toml, followed by those that it does not declare.

    In container mode, only the configuration is compared: whether an image is out of date costs more to find out.

    Args:
        client: Lambda, of the stack.
        settings: The project's settings.
        mode: How the stack runs.
        log: Called about work that takes long.

    Raises:
        HarnessError: A declared function's folder is missing or not valid.
    """
    pages = client.get_paginator("list_functions").paginate()
    on_stack: dict[str, Any] = {found["FunctionName"]: found for page in pages for found in page["Functions"]}
    states = []
    for name, function in settings.functions.items():
        found = on_stack.pop(name, None)
        if found is None:
            handler = "" if mode == "container" else function.handler
            states.append(FunctionState(name, "missing", [], handler, function.memory_mb, function.timeout_s, 0, ""))
            continue
        if mode == "process":
            desired = desired_function(name, settings, mode, log=log)
        else:
            same = Code(found["CodeSha256"], {}, found["CodeSha256"])
            desired = DesiredFunction(name, declared(settings, name), same)
        differs = differences({"Configuration": found}, desired)
        states.append(_state(found, "outdated" if differs else "current", differs))
    return states + [_state(on_stack[name], "undeclared", []) for name in sorted(on_stack)]


def _state(found: dict[str, Any], state: str, differs: list[str]) -> FunctionState:
    return FunctionState(
        found["FunctionName"],
        state,
        differs,
        found.get("Handler", ""),
        found["MemorySize"],
        found["Timeout"],
        found["CodeSize"],
        found["LastModified"],
    )
