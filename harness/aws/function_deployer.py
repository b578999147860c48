"""Functions made what they should be by the Lambda API: the same calls on this machine's stack and on AWS.

What there is is read first, and what differs becomes steps; a function that is as it should be has none.

    read  ->  steps, each named by what it changes  ->  carried out in their order, each waited for

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from harness.aws.errors import to_harness_error
from harness.errors import HarnessError
from harness.gateway.limits import ANY_ROLE, ARCHITECTURE
from harness.settings import FunctionSettings

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

RUNTIME: Literal["python3.11"] = "python3.11"

# A role that was made a moment ago is not known everywhere yet.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency
_ROLE_UNKNOWN = ("cannot be assumed by Lambda", "does not have permissions to call CreateNetworkInterface")
_ROLE_KNOWN_WITHIN_S = 90.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 8.0
# A function's network interfaces take a minute or two; an image of some GB takes as long.
_READY_WITHIN_S = 600
_POLL_S = 1
# What accounts may start with; AWS tells of it only when a function asks for more.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
NEW_ACCOUNTS_MEMORY_MB = 3008


@dataclass(frozen=True)
class Code:
    """What a function is created from.

    Attributes:
        sha256: As the Lambda API shows it.
        arguments: For `UpdateFunctionCode`, and within `Code` of `CreateFunction`.
        image: The image's digest; empty for a deployment package.
    """

    sha256: str
    arguments: dict[str, Any]
    image: str = ""


@dataclass(frozen=True)
class Placement:
    """What a function has from the place that it is in, beside what harness.toml declares.

    Attributes:
        role: ARN of its role.
        subnets: IDs of its VPC's subnets; none for a function outside of a VPC.
        security_groups: IDs of its security groups.
        tags: Its tags; others that it has are left alone.
        failure_queue: ARN of the queue for events that failed for good; empty for none.
        alias: Name of the alias that points to the version published last; empty for no versions.
    """

    role: str = ANY_ROLE
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    failure_queue: str = ""
    alias: str = ""


@dataclass(frozen=True)
class DesiredFunction:
    """A function as it should be."""

    name: str
    settings: FunctionSettings
    code: Code
    placement: Placement = Placement()

    def configuration(self) -> dict[str, Any]:
        """For `UpdateFunctionConfiguration`; the keys are those of `GetFunctionConfiguration`."""
        settings, placement = self.settings, self.placement
        desired: dict[str, Any] = {
            "Role": placement.role,
            "Timeout": settings.timeout_s,
            "MemorySize": settings.memory_mb,
            "EphemeralStorage": {"Size": settings.ephemeral_storage_mb},
            "Environment": {"Variables": settings.environment},
        }
        if not self.code.image:
            desired["Handler"] = settings.handler
        if placement.subnets:
            desired["VpcConfig"] = {
                "SubnetIds": sorted(placement.subnets),
                "SecurityGroupIds": sorted(placement.security_groups),
            }
        return desired

    def creation(self) -> dict[str, Any]:
        """For `CreateFunction`, without the name."""
        kind: dict[str, Any] = (
            {"PackageType": "Image"} if self.code.image else {"PackageType": "Zip", "Runtime": RUNTIME}
        )
        tags = {"Tags": dict(self.placement.tags)} if self.placement.tags else {}
        return {
            **self.configuration(),
            **kind,
            **tags,
            "Code": self.code.arguments,
            "Architectures": [ARCHITECTURE],
        }

    def events(self) -> dict[str, Any]:
        """For `PutFunctionEventInvokeConfig`."""
        queue = self.placement.failure_queue
        destination = {"DestinationConfig": {"OnFailure": {"Destination": queue}}} if queue else {}
        return {"MaximumRetryAttempts": self.settings.retries, **destination}


@dataclass(frozen=True)
class Step:
    """One thing to change.

    Attributes:
        what: What it changes, in a word or two.
        run: Does so, and waits until it is done.
    """

    what: str
    run: Callable[[], object]


def create_or_update(client: "LambdaClient", desired: DesiredFunction) -> list[str]:
    """Makes the function exist as it should be; touches nothing that is so already.

    Returns:
        What was changed; nothing when all was as it should be.

    Raises:
        HarnessError: Lambda refused, or the function does not become ready; its reason is told.
    """
    done = []
    for step in pending(client, desired):
        try:
            step.run()
        except (ClientError, BotoCoreError) as error:
            if step.what == "created" and isinstance(error, client.exceptions.ResourceConflictException):
                return create_or_update(client, desired)  # another run on the same stack was quicker
            raise _step_error(desired, step, error) from error
        done.append(step.what)
    return done


def pending(client: "LambdaClient", desired: DesiredFunction) -> list[Step]:
    """What has to change so that the function is as it should be; nothing is changed by asking.

    A function that is changing at this moment is waited for.
    """
    name = desired.name
    found = _find(client, name)
    if found is not None and found["Configuration"].get("State") == "Failed":
        # It cannot be updated into life: https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
        gone = Step("removed what had failed", lambda: client.delete_function(FunctionName=name))
        return [gone, *_creation(client, desired)]
    if found is None:
        return _creation(client, desired)
    return [*_changes(client, desired, found), *_publication(client, desired)]


def differences(found: Mapping[str, Any], desired: DesiredFunction) -> list[str]:
    """The keys of the configuration in which a function is not as it should be.

    Args:
        found: What `GetFunction` says of the function or of a version.
        desired: The function as it should be.
    """
    configuration = found["Configuration"]
    different = [] if _has_code(found, desired.code) else ["Code"]
    for key, value in desired.configuration().items():
        present = configuration.get(key)
        if key == "VpcConfig":
            present = {part: sorted((present or {}).get(part, ())) for part in value}
        if present != value:
            different.append(key)
    return different


def _find(client: "LambdaClient", name: str) -> dict[str, Any] | None:
    try:
        found: Any = client.get_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        return None
    configuration = found["Configuration"]
    if configuration.get("State") == "Pending":
        _await(client, "function_active_v2", name)
    elif configuration.get("LastUpdateStatus") == "InProgress":
        _await(client, "function_updated_v2", name)
    else:
        return dict(found)
    return dict(client.get_function(FunctionName=name))


def _has_code(found: Mapping[str, Any], code: Code) -> bool:
    """An image is known by its digest in the registry, or by its own when it is of this machine's engine."""
    resolved = found.get("Code", {}).get("ResolvedImageUri", "")
    return bool(found["Configuration"]["CodeSha256"] == code.sha256 or resolved.endswith(f"@sha256:{code.sha256}"))


def _creation(client: "LambdaClient", desired: DesiredFunction) -> list[Step]:
    name, settings, placement = desired.name, desired.settings, desired.placement
    steps = [Step("created", lambda: _create(client, desired))]
    if settings.reserved_concurrency:
        steps.append(_reservation(client, desired))
    steps.append(Step("events", lambda: client.put_function_event_invoke_config(FunctionName=name, **desired.events())))
    if settings.recursive:
        steps.append(_recursion(client, desired))
    return steps + (_publishing(client, desired) if placement.alias else [])


def _create(client: "LambdaClient", desired: DesiredFunction) -> None:
    arguments = desired.creation()
    answer = _once_the_role_is_known(lambda: client.create_function(FunctionName=desired.name, **arguments))
    if answer.get("State", "Active") != "Active":
        _await(client, "function_active_v2", desired.name)


def _changes(client: "LambdaClient", desired: DesiredFunction, found: Mapping[str, Any]) -> list[Step]:
    name, settings = desired.name, desired.settings
    different, steps = differences(found, desired), []
    if "Code" in different:
        steps.append(
            Step("code", lambda: _update(client, client.update_function_code, desired, desired.code.arguments))
        )
        different.remove("Code")
    if different:
        configuration = desired.configuration()
        update = client.update_function_configuration
        steps.append(Step(", ".join(different), lambda: _update(client, update, desired, configuration)))
    reserved = found.get("Concurrency", {}).get("ReservedConcurrentExecutions", 0)
    if reserved != settings.reserved_concurrency:
        steps.append(_reservation(client, desired))
    tags = dict(desired.placement.tags)
    if tags.items() - found.get("Tags", {}).items():
        arn = found["Configuration"]["FunctionArn"]
        steps.append(Step("tags", lambda: client.tag_resource(Resource=arn, Tags=tags)))
    if not _has_events(client, desired, {}):
        steps.append(
            Step("events", lambda: client.put_function_event_invoke_config(FunctionName=name, **desired.events()))
        )
    loop = client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"]
    if (loop == "Allow") != settings.recursive:
        steps.append(_recursion(client, desired))
    return steps


def _publication(client: "LambdaClient", desired: DesiredFunction) -> list[Step]:
    alias = desired.placement.alias
    if not alias:
        return []
    try:
        version = client.get_alias(FunctionName=desired.name, Name=alias)["FunctionVersion"]
        published: Any = client.get_function(FunctionName=desired.name, Qualifier=version)
    except client.exceptions.ResourceNotFoundException:
        return _publishing(client, desired)
    if differences(published, desired):
        return _publishing(client, desired)
    return [] if _has_events(client, desired, {"Qualifier": alias}) else [_publishing(client, desired)[-1]]


def _publishing(client: "LambdaClient", desired: DesiredFunction) -> list[Step]:
    """An alias's events are its own: what is set for `$LATEST` does not count for them."""
    name, alias = desired.name, desired.placement.alias
    return [
        Step(f"version and alias {alias}", lambda: _publish(client, desired)),
        Step(
            f"events of {alias}",
            lambda: client.put_function_event_invoke_config(FunctionName=name, Qualifier=alias, **desired.events()),
        ),
    ]


def _publish(client: "LambdaClient", desired: DesiredFunction) -> None:
    name, alias = desired.name, desired.placement.alias
    # Lambda publishes no second version of what has not changed, and answers with the first.
    version = client.publish_version(FunctionName=name)["Version"]
    client.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier=version, WaiterConfig={"Delay": _POLL_S, "MaxAttempts": _READY_WITHIN_S}
    )
    try:
        client.update_alias(FunctionName=name, Name=alias, FunctionVersion=version)
    except client.exceptions.ResourceNotFoundException:
        client.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)


def _reservation(client: "LambdaClient", desired: DesiredFunction) -> Step:
    name, reserved = desired.name, desired.settings.reserved_concurrency
    if not reserved:
        return Step("reserved concurrency", lambda: client.delete_function_concurrency(FunctionName=name))
    return Step(
        "reserved concurrency",
        lambda: client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved),
    )


def _recursion(client: "LambdaClient", desired: DesiredFunction) -> Step:
    loop: Literal["Allow", "Terminate"] = "Allow" if desired.settings.recursive else "Terminate"
    return Step(
        "recursion", lambda: client.put_function_recursion_config(FunctionName=desired.name, RecursiveLoop=loop)
    )


def _has_events(client: "LambdaClient", desired: DesiredFunction, qualifier: dict[str, str]) -> bool:
    try:
        found: Any = client.get_function_event_invoke_config(FunctionName=desired.name, **qualifier)
    except client.exceptions.ResourceNotFoundException:
        return False
    events = desired.events()
    return bool(
        found.get("MaximumRetryAttempts") == events["MaximumRetryAttempts"] and _queue_of(found) == _queue_of(events)
    )


def _queue_of(events: Mapping[str, Any]) -> str:
    return str(events.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", ""))


def _update(
    client: "LambdaClient", update: Callable[..., Any], desired: DesiredFunction, arguments: Mapping[str, Any]
) -> None:
    answer = _once_the_role_is_known(lambda: update(FunctionName=desired.name, **arguments))
    if answer.get("LastUpdateStatus", "Successful") != "Successful":
        # The next call would be refused while this one goes on.
        _await(client, "function_updated_v2", desired.name)


def _once_the_role_is_known(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the call answers
    deadline, delay = time.monotonic() + _ROLE_KNOWN_WITHIN_S, _FIRST_DELAY_S
    while True:
        try:
            return call()
        except ClientError as error:
            unknown = any(words in str(error) for words in _ROLE_UNKNOWN)
            if not unknown or time.monotonic() + delay > deadline:
                raise
        time.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY_S)


def _await(client: "LambdaClient", waiter: Literal["function_active_v2", "function_updated_v2"], name: str) -> None:
    limits: Any = {"Delay": _POLL_S, "MaxAttempts": _READY_WITHIN_S // _POLL_S}
    client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=limits)


def _reason(error: WaiterError) -> str:
    response: Any = error.last_response
    configuration = response.get("Configuration", {})
    return str(configuration.get("StateReason") or configuration.get("LastUpdateStatusReason") or error)


def _step_error(desired: DesiredFunction, step: Step, error: ClientError | BotoCoreError) -> HarnessError:
    doing = f"function {desired.name}, {step.what}"
    if isinstance(error, WaiterError):
        return HarnessError(
            f"{doing}: it does not become ready", _reason(error), "mend that, and run the command again"
        )
    words = str(error)
    if "UnreservedConcurrentExecution" in words:
        return HarnessError(
            f"function {desired.name}: {desired.settings.reserved_concurrency} environments cannot be reserved for it",
            words,
            "raise the account's concurrency in Service Quotas, or reserve fewer",
        )
    if "MemorySize" in words and desired.settings.memory_mb > NEW_ACCOUNTS_MEMORY_MB:
        return HarnessError(
            f"function {desired.name}: the account does not allow memory_mb = {desired.settings.memory_mb}",
            words,
            f"ask AWS for more, or set it to {NEW_ACCOUNTS_MEMORY_MB} or less in harness.toml",
        )
    return to_harness_error(doing, error)
