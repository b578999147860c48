"""Creates and updates functions through the Lambda API, with the same calls on a local stack and on AWS.

The current state is read first, and each difference becomes a step; a function in its desired state has no steps.

    read  ->  steps, each named after what it changes  ->  run in order, waiting for each

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

# A new role is not visible everywhere at once.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency
_ROLE_UNKNOWN = ("cannot be assumed by Lambda", "does not have permissions to call CreateNetworkInterface")
_ROLE_KNOWN_WITHIN_S = 90.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 8.0
# Network interfaces take a minute or two, and so does an image of some GB.
_READY_WITHIN_S = 600
_POLL_S = 1
# The limit of new accounts, which AWS reports only when a function asks for more.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
NEW_ACCOUNTS_MEMORY_MB = 3008


@dataclass(frozen=True)
class Code:
    """The code of a function.

    Attributes:
        sha256: Its hash as the Lambda API returns it.
        arguments: The arguments of `UpdateFunctionCode`, and `Code` of `CreateFunction`.
        image: The image's digest; empty for a deployment package.
    """

    sha256: str
    arguments: dict[str, Any]
    image: str = ""


@dataclass(frozen=True)
class Placement:
    """The properties of a function that its environment decides, in addition to those in harness.toml.

    Attributes:
        role: ARN of its role.
        subnets: IDs of its VPC's subnets; none for a function outside of a VPC.
        security_groups: IDs of its security groups.
        tags: Its tags; other tags are left unchanged.
        failure_queue: ARN of the queue for events whose retries have failed; empty for none.
        alias: Name of the alias for the latest published version; empty to publish no versions.
    """

    role: str = ANY_ROLE
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    failure_queue: str = ""
    alias: str = ""


@dataclass(frozen=True)
class DesiredFunction:
    """The desired state of a function."""

    name: str
    settings: FunctionSettings
    code: Code
    placement: Placement = Placement()

    def configuration(self) -> dict[str, Any]:
        """Return the arguments of `UpdateFunctionConfiguration`, with the keys of `GetFunctionConfiguration`."""
        settings, placement = self.settings, self.placement
        desired: dict[str, Any] = {
            "Role": placement.role,
            "Timeout": settings.timeout_s,
            "MemorySize": settings.memory_mb,
            "EphemeralStorage": {"Size": settings.ephemeral_storage_mb},
            "Environment": {"Variables": settings.environment},
        }
        if not self.code.image:
            desired["Handler"], desired["Runtime"] = settings.handler, settings.python
        if placement.subnets:
            desired["VpcConfig"] = {
                "SubnetIds": sorted(placement.subnets),
                "SecurityGroupIds": sorted(placement.security_groups),
            }
        return desired

    def creation(self) -> dict[str, Any]:
        """Return the arguments of `CreateFunction`, without the name."""
        kind = "Image" if self.code.image else "Zip"
        tags = {"Tags": dict(self.placement.tags)} if self.placement.tags else {}
        return {
            **self.configuration(),
            "PackageType": kind,
            **tags,
            "Code": self.code.arguments,
            "Architectures": [ARCHITECTURE],
        }

    def events(self) -> dict[str, Any]:
        """Return the arguments of `PutFunctionEventInvokeConfig`."""
        queue = self.placement.failure_queue
        destination = {"DestinationConfig": {"OnFailure": {"Destination": queue}}} if queue else {}
        return {"MaximumRetryAttempts": self.settings.retries, **destination}


@dataclass(frozen=True)
class Step:
    """One change of a function.

    Attributes:
        what: What the step changes, in a word or two.
        run: Makes the change and waits until it is complete.
    """

    what: str
    run: Callable[[], object]


def create_or_update(client: "LambdaClient", desired: DesiredFunction) -> list[str]:
    """Bring a function into its desired state; change nothing that is already correct.

    Returns:
        What was changed; empty if the function was already in its desired state.

    Raises:
        HarnessError: Lambda refused a change, or the function does not become ready; the message has the reason.
    """
    done = []
    for step in pending(client, desired):
        try:
            step.run()
        except (ClientError, BotoCoreError) as error:
            if step.what == "created" and isinstance(error, client.exceptions.ResourceConflictException):
                return create_or_update(client, desired)  # another run on the same stack was faster
            raise _step_error(desired, step, error) from error
        done.append(step.what)
    return done


def pending(client: "LambdaClient", desired: DesiredFunction) -> list[Step]:
    """Return the steps that bring a function into its desired state, without running them.

    If the function is being updated, wait until the update is complete.
    """
    name = desired.name
    found = _find(client, name)
    if found is not None and found["Configuration"].get("State") == "Failed":
        # It cannot be repaired by an update: https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
        gone = Step("removed what had failed", lambda: client.delete_function(FunctionName=name))
        return [gone, *_creation(client, desired)]
    if found is None:
        return _creation(client, desired)
    return [*_changes(client, desired, found), *_publication(client, desired)]


def differences(found: Mapping[str, Any], desired: DesiredFunction) -> list[str]:
    """Return the keys of the configuration in which a function differs from its desired state.

    Args:
        found: The answer of `GetFunction` for the function or for a version.
        desired: The desired state.
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
    """Return whether a function has this code; an image is known by its digest in the registry or in the engine."""
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
    answer = _retry_until_role_known(lambda: client.create_function(FunctionName=desired.name, **arguments))
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
    configured = all(_has_events(client, desired, {"Qualifier": qualifier}) for qualifier in (alias, version))
    return [] if configured else [_publishing(client, desired)[-1]]


def _publishing(client: "LambdaClient", desired: DesiredFunction) -> list[Step]:
    """Return the steps that publish a version."""
    alias = desired.placement.alias
    return [
        Step(f"version and alias {alias}", lambda: _publish(client, desired)),
        Step(f"events of {alias}", lambda: _configure_events(client, desired)),
    ]


def _configure_events(client: "LambdaClient", desired: DesiredFunction) -> None:
    """Configure the events of the alias, and of its version, by which a function that runs as it invokes itself.

    Event settings of `$LATEST` apply to neither.
    """
    name, alias = desired.name, desired.placement.alias
    version = client.get_alias(FunctionName=name, Name=alias)["FunctionVersion"]
    for qualifier in (alias, version):
        client.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, **desired.events())


def _publish(client: "LambdaClient", desired: DesiredFunction) -> None:
    name, alias = desired.name, desired.placement.alias
    # If nothing has changed, Lambda publishes no new version, and returns the last one.
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
    answer = _retry_until_role_known(lambda: update(FunctionName=desired.name, **arguments))
    if answer.get("LastUpdateStatus", "Successful") != "Successful":
        # Lambda refuses the next call while this update is in progress.
        _await(client, "function_updated_v2", desired.name)


def _retry_until_role_known(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - the call's own result
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
    # A step is named after what it has changed once it is done.
    doing = f"function {desired.name}" if step.what == "created" else f"function {desired.name}, {step.what}"
    if isinstance(error, WaiterError):
        return HarnessError(
            f"{doing}: it does not become ready", _reason(error), "mend that, and run the command again"
        )
    words = str(error)
    if "UnreservedConcurrentExecution" in words:
        # Only a stack on this machine takes any role.
        local = desired.placement.role == ANY_ROLE
        place = (
            "[gateway] account_concurrency in harness.toml" if local else "the account's concurrency in Service Quotas"
        )
        return HarnessError(
            f"function {desired.name}: {desired.settings.reserved_concurrency} environments cannot be reserved for it",
            words,
            f"raise {place}, or reserve fewer",
        )
    if "MemorySize" in words and desired.settings.memory_mb > NEW_ACCOUNTS_MEMORY_MB:
        return HarnessError(
            f"function {desired.name}: the account does not allow memory_mb = {desired.settings.memory_mb}",
            words,
            f"ask AWS for more, or set it to {NEW_ACCOUNTS_MEMORY_MB} or less in harness.toml",
        )
    return to_harness_error(doing, error)
