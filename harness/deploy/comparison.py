"""A deployed function beside the one that a run on this machine makes of the same declaration.

The local one is made in a stack of its own, which ends with the comparison: what it has is read from the Lambda API,
as what the deployed one has, and is not what this code believes of it.
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

# What a place gives to a function. Whatever else differs is a difference that a rehearsal on this machine misses.
EXPECTED = MappingProxyType(
    {
        "FunctionArn": "account and region",
        "Role": "the stack's role for it",
        "VpcConfig": "the stack's subnets and security group",
        "CodeSha256": "the registry's digest of the image",
        "RevisionId": "made up anew by each change",
        "LastModified": "when it was made",
        "OnFailure": "the stack's queue",
        "ReservedConcurrentExecutions": "deploy --n-workers",
    }
)
_ABSENT = "-"
_WIDTH = 44


class Difference(msgspec.Struct, frozen=True):
    """One key in which a deployed function is not as the local one.

    Attributes:
        function: Its name.
        key: The key, as the Lambda API has it.
        local: The value here; `-` when it has none.
        deployed: The value there.
        why: What makes it differ in every deployment; empty when nothing should.
    """

    function: str
    key: str
    local: str
    deployed: str
    why: str


def compare(target: Target, settings: Settings, stack: str, log: Log) -> list[Difference]:
    """In what the functions of a deployment differ from those of a run on this machine.

    Args:
        target: Where the deployment is.
        settings: What the functions are declared as.
        stack: The stack's name.
        log: Told what takes long.

    Raises:
        HarnessError: Nothing is deployed, or the functions cannot be made here.
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
    """The keys in which two configurations differ, in the order of their names."""
    for key in sorted(local.keys() | deployed.keys()):
        here, there = local.get(key), deployed.get(key)
        if here != there:
            yield Difference(function, key, _text(here), _text(there), EXPECTED.get(key, ""))


def told(found: list[Difference]) -> Iterator[str]:
    """The table for a terminal; long values are cut."""
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
    """All that the API says of how a function is set up; how it changes at this moment is left out."""
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


def _text(value: Any) -> str:  # noqa: ANN401 - whatever the API answers
    if value is None:
        return _ABSENT
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
