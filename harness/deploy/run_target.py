"""A deployment as the target of runs: its functions are compared with the working tree, and not changed."""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from harness.aws.errors import aws_errors
from harness.aws.function_deployer import Code, DesiredFunction, differences
from harness.deploy import functions
from harness.deploy.model_workers import is_model_worker
from harness.deploy.stack import Log, StackInfo, read_stack
from harness.deploy.target import Target
from harness.deploy.zones import cost_of_another_zone, zone_ids
from harness.errors import HarnessError
from harness.release.record import load_release
from harness.runs.run_target import RunTarget
from harness.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


def deployed_run_target(target: Target, name: str, warn: Log) -> RunTarget:
    """Return a deployment as the target of runs.

    Args:
        target: The account and region.
        name: The stack's name.
        warn: Called when a function differs from the working tree.

    Raises:
        HarnessError: There is no such deployment, or it is incomplete.
    """
    with aws_errors(f"looking for the stack {name}"):
        stack = read_stack(target.client("cloudformation"), name)
    rehearse = " --rehearse" if target.kind == "rehearsal" else ""
    if stack is None or not stack.usable:
        state = f"the stack is {stack.status}" if stack else "there is no such stack"
        raise HarnessError(f"{name} is not deployed in {target.region}", state, f"run `harness deploy{rehearse}` first")
    clients = target.run_clients()
    deployed = stack
    if "," in stack.outputs.get("SubnetIds", "") and stack.parameters.get("FunctionZones") != "all":
        warn(
            f"the functions of {name} are in two zones, the cache in one: from the other, {cost_of_another_zone()}; "
            f"`harness deploy{rehearse}` moves them"
        )

    def make_ready(function: str, settings: Settings, log: Log) -> str:
        log(f"looking for {function}")
        found = _ready(clients.management, function, deployed)
        digest = _digest(found)
        for key in _differences(settings, deployed, function, found):
            warn(f"{function}: {key} differs from the working tree; `harness deploy{rehearse}` updates it")
        return digest

    return RunTarget(
        mode=target.kind,
        clients=clients,
        discovery=f"{functions.output(stack, 'CacheHost')}:{functions.output(stack, 'CachePort')}",
        make_ready=make_ready,
        bucket=functions.output(stack, "DataBucket"),
        polling=target.polling,
        cache_zone=_cache_zone(target, stack),
    )


def _cache_zone(target: Target, stack: StackInfo) -> str:
    """Return the ID of the cache's zone; empty if the stack does not say, or the caller may not look it up."""
    zone = stack.outputs.get("CacheZone", "")
    try:
        return zone_ids(target.client("ec2")).get(zone, "") if zone else ""
    except ClientError:
        return ""  # whoever only runs needs no permission to describe zones


def _ready(client: "LambdaClient", name: str, stack: StackInfo) -> dict[str, Any]:
    """Return the function, after waiting until it can be invoked.

    Raises:
        HarnessError: The function does not exist, or does not become ready.
    """
    with aws_errors(f"looking for function {name}"):
        try:
            found: Any = client.get_function(FunctionName=name)
        except client.exceptions.ResourceNotFoundException as error:
            raise HarnessError(
                f"function {name} is not deployed",
                f"stack {stack.name}",
                f"run `harness deploy{' --model FILE:NAME' if is_model_worker(name) else ''}`",
            ) from error
        # A function that was idle for weeks, or that is being updated, takes a while.
        if found["Configuration"].get("State", "Active") == "Pending":
            client.get_waiter("function_active_v2").wait(FunctionName=name)
    return dict(found)


def _digest(found: dict[str, Any]) -> str:
    resolved: str = found.get("Code", {}).get("ResolvedImageUri", "")
    return resolved.rpartition("@")[2] or resolved


def _differences(settings: Settings, stack: StackInfo, name: str, found: dict[str, Any]) -> list[str]:
    """Return what a deployment would change in the function; its code is compared with the release record."""
    function = settings.functions[name]
    uri, digest = found.get("Code", {}).get("ImageUri", ""), _digest(found)
    pushed = {
        push.digest
        for entry in load_release(settings.root).images
        if entry.image.name == function.image
        for push in entry.pushes
        if push.repository == uri.rpartition("@")[0]
    }
    wanted = DesiredFunction(
        name,
        function,
        Code((next(iter(pushed)) if pushed and digest not in pushed else digest).removeprefix("sha256:"), {}, digest),
        functions.placement_of(stack, name, {}),
    )
    return differences(found, wanted)
