"""The functions of a deployment: each from its image's digest, with its own role, in the stack's private subnets."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from harness.aws.function_deployer import Code, DesiredFunction, Placement
from harness.deploy.access import WORKERS
from harness.deploy.intrinsics import Resolver, parse
from harness.deploy.model_workers import is_worker
from harness.deploy.stack import Log, StackInfo
from harness.deploy.target import Client
from harness.deploy.template import ALIAS, PROJECT_TAG, STACK_TAG, output_name
from harness.errors import HarnessError
from harness.release.record import Push
from harness.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


def deployed_names(settings: Settings) -> list[str]:
    """Return the functions that are deployed: those that have an image."""
    return [name for name, function in settings.functions.items() if function.image]


def with_reservations(settings: Settings, n_workers: int) -> Settings:
    """Return the settings, with enough concurrency reserved for each worker function that a run never waits for it."""
    reserved = {
        name: msgspec.structs.replace(function, reserved_concurrency=n_workers if is_worker(name) else 0)
        for name, function in settings.functions.items()
    }
    return msgspec.structs.replace(settings, functions=reserved)


def reserved(client: "LambdaClient", stack: str, default: int) -> int:
    """Return the concurrency that is currently reserved for a deployment's worker functions.

    Ignore a function without the alias: its creation was interrupted, so a missing reservation was not intended.

    Args:
        client: A Lambda client.
        stack: The stack of the functions.
        default: The result if no function is complete.
    """
    finished = [name for name in present(client, WORKERS, stack) if _is_finished(client, name)]
    found = [client.get_function(FunctionName=name) for name in finished]
    return max([each.get("Concurrency", {}).get("ReservedConcurrentExecutions", 0) for each in found], default=default)


def _is_finished(client: "LambdaClient", name: str) -> bool:
    """Return whether the last step of the function's creation, the alias, was completed."""
    try:
        client.get_alias(FunctionName=name, Name=ALIAS)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def tags_of(project: str, stack: str) -> dict[str, str]:
    """Return the tags of all resources of a deployment."""
    return {PROJECT_TAG: project, STACK_TAG: stack}


def output(stack: StackInfo, name: str) -> str:
    """Return an output of the stack.

    Raises:
        HarnessError: The stack has no such output.
    """
    if name not in stack.outputs:
        raise HarnessError(
            f"the stack {stack.name} has no output {name}",
            f"it has {', '.join(sorted(stack.outputs)) or 'none'}",
            "put it back into harness/deploy/template.yaml, and run `harness deploy`",
        )
    return stack.outputs[name]


def placement_of(stack: StackInfo, function: str, tags: Mapping[str, str]) -> Placement:
    """Return the role, network and other values from the stack for one function.

    Raises:
        HarnessError: The stack lacks an output.
    """
    return Placement(
        role=output(stack, output_name(function, "RoleArn")),
        subnets=tuple(output(stack, "SubnetIds").split(",")),
        security_groups=(output(stack, "FunctionSecurityGroupId"),),
        tags=tags,
        failure_queue=output(stack, "FailureQueueArn"),
        alias=ALIAS,
    )


def wanted_functions(
    settings: Settings, stack: StackInfo, pushes: Mapping[str, Push], tags: Mapping[str, str]
) -> Iterator[DesiredFunction]:
    """Yield the desired state of each function.

    Args:
        settings: The project's settings, which declare the functions.
        stack: The stack that provides their infrastructure.
        pushes: The push of each image, by the image's name.
        tags: The functions' tags.
    """
    for name in deployed_names(settings):
        function = settings.functions[name]
        push = pushes[function.image]
        code = Code(push.digest.removeprefix("sha256:"), {"ImageUri": f"{push.repository}@{push.digest}"}, push.digest)
        yield DesiredFunction(name, function, code, placement_of(stack, name, tags))


def physical_ids(cfn: Client, stack: StackInfo) -> dict[str, str]:
    """Return the IDs of the stack's resources, by their names in the template."""
    pages = cfn.get_paginator("list_stack_resources").paginate(StackName=stack.id)
    found = [resource for page in pages for resource in page["StackResourceSummaries"]]
    return {resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "") for resource in found}


def with_planned_subnets(
    stack: StackInfo, body: str, parameters: Mapping[str, str], physical: Mapping[str, str]
) -> StackInfo:
    """Return a stack with the functions' subnets as they will be after a change, so that the plan includes moves.

    Args:
        stack: The stack before the change.
        body: The template.
        parameters: The value of every parameter.
        physical: The IDs of the stack's resources, by their logical IDs.
    """
    template = parse(body)
    value = Resolver(template, parameters).resolve(template["Outputs"]["SubnetIds"]["Value"])
    subnets = [physical.get(subnet.removeprefix("subnet-"), subnet) for subnet in str(value).split(",")]
    return dataclasses.replace(stack, outputs={**stack.outputs, "SubnetIds": ",".join(subnets)})


def present(client: "LambdaClient", names: Iterable[str], stack: str) -> list[str]:
    """Return the functions that exist and belong to that stack."""
    found = []
    for name in names:
        with suppress(client.exceptions.ResourceNotFoundException):
            if client.get_function(FunctionName=name).get("Tags", {}).get(STACK_TAG) == stack:
                found.append(name)
    return found


def check_owner(client: "LambdaClient", names: Iterable[str], stack: str) -> None:
    """Check that no function of the same name belongs to another stack or user.

    Raises:
        HarnessError: There is such a function.
    """
    for name in names:
        with suppress(client.exceptions.ResourceNotFoundException):
            owner = client.get_function(FunctionName=name).get("Tags", {}).get(STACK_TAG)
            if owner != stack:
                raise HarnessError(
                    f"there is a function {name} already, and it is not of the stack {stack}",
                    f"its tag {STACK_TAG} is {owner!r}" if owner else f"it has no tag {STACK_TAG}",
                    "delete it, or deploy into another region or account",
                )


def remove(client: "LambdaClient", name: str, log: Log) -> None:
    """Delete a function with its versions, aliases and event invoke configurations."""
    log(f"deleting function {name}")
    with suppress(client.exceptions.ResourceNotFoundException):
        for config in client.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]:
            qualifier = config["FunctionArn"].rpartition(":")[2]
            client.delete_function_event_invoke_config(FunctionName=name, Qualifier=qualifier)
        client.delete_function(FunctionName=name)
