"""Compare deployed functions with the local functions that the same declarations give on this machine.

The local functions are created in a private stack that ends with the comparison. Both configurations are read from
the Lambda API, so the comparison does not rely on what this code intends.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from harness.aws.clients import clients_for
from harness.aws.errors import aws_errors
from harness.deploy.functions import deployed_names, present
from harness.deploy.stack import Log
from harness.deploy.target import Target
from harness.errors import HarnessError
from harness.runs.functions import make_declared
from harness.settings import Settings
from harness.stack import start_private_stack

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# Differences that every deployment has. Any other difference is one that runs on this machine would miss.
EXPECTED = MappingProxyType(
    {
        "FunctionArn": "account and region",
        "Role": "the stack's role for it",
        "VpcConfig": "the stack's subnets and security group",
        "CodeSha256": "the registry's digest of the image",
        "RevisionId": "new after each change",
        "LastModified": "time of the last change",
        "OnFailure": "the stack's queue",
        "ReservedConcurrentExecutions": "deploy --n-workers",
    }
)
_ABSENT = "-"
_WIDTH = 44


class Difference(msgspec.Struct, frozen=True):
    """One key in which a deployed function differs from the local one.

    Attributes:
        function: The function's name.
        key: The key in the Lambda API.
        local: The local value; `-` if there is none.
        deployed: The deployed value; `-` if there is none.
        why: The reason why it differs in every deployment; empty if it should not differ.
    """

    function: str
    key: str
    local: str
    deployed: str
    why: str


def compare(target: Target, settings: Settings, stack: str, log: Log) -> list[Difference]:
    """Return the differences between a deployment's functions and those on this machine.

    Args:
        target: The account and region of the deployment.
        settings: The project's settings, which declare the functions.
        stack: The stack's name.
        log: Called with progress messages.

    Raises:
        HarnessError: Nothing is deployed, or the functions cannot be created here.
    """
    deployed: LambdaClient = target.client("lambda")
    with aws_errors(f"looking for the functions of {stack}"):
        names = present(deployed, deployed_names(settings), stack)
    if not names:
        raise HarnessError(f"{stack} has no function in {target.region}", remedy="run `harness deploy` first")
    with start_private_stack(settings, s3="moto", mode="container", log=log) as private:
        here = clients_for(private.endpoints).functions
        found: list[Difference] = []
        for name in names:
            make_declared(here, name, settings, "container", log=log)
            with aws_errors(f"reading the function {name}"):
                found += differences(name, _configuration(here, name), _configuration(deployed, name))
        return found


def differences(function: str, local: Mapping[str, Any], deployed: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield the keys in which two configurations differ, in alphabetical order."""
    for key in sorted(local.keys() | deployed.keys()):
        here, there = local.get(key), deployed.get(key)
        if here != there:
            yield Difference(function, key, _text(here), _text(there), EXPECTED.get(key, ""))


def format_differences(found: list[Difference]) -> Iterator[str]:
    """Format the differences as a table for a terminal; long values are truncated."""
    rows = [("function", "key", "why", "here", "deployed")]
    rows += [
        (each.function, each.key, each.why or "NOT EXPECTED", _cut(each.local), _cut(each.deployed)) for each in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    unexpected = sum(not each.why for each in found)
    yield f"{len(found)} differences, {unexpected} of them in more than endpoints and identifiers"


def _configuration(client: "LambdaClient", name: str) -> dict[str, Any]:
    """Return a function's complete configuration from the API, without the progress of a pending change."""
    found: Any = client.get_function(FunctionName=name)
    events: Any = client.get_function_event_invoke_config(FunctionName=name)
    changing = {key for key in found["Configuration"] if key.startswith(("State", "LastUpdateStatus"))}
    return {
        **{key: value for key, value in found["Configuration"].items() if key not in changing},
        **found.get("Concurrency", {}),
        "MaximumRetryAttempts": events["MaximumRetryAttempts"],
        "OnFailure": events.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"),
        "RecursiveLoop": client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"],
    }


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."


def _text(value: Any) -> str:  # noqa: ANN401 - any value from the API
    if value is None:
        return _ABSENT
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
