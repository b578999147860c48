"""Functions in the form of AWS's answers.

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.gateway.names import LATEST, function_arn
from harness.gateway.records import Change, Function
from harness.gateway.runtime_versions import runtime_version_arn

CREATING = {
    "State": "Pending",
    "StateReason": "The function is being created.",
    "StateReasonCode": "Creating",
}
UPDATING = {
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": "The function is being created.",
    "LastUpdateStatusReasonCode": "Creating",
}
READY = {"State": "Active", "LastUpdateStatus": "Successful"}


def configuration(
    function: Function, *, states: bool = True, qualified: bool = False, change: Change | None = None
) -> dict[str, Any]:
    """Return a function's configuration.

    Args:
        function: The function, or a version of it.
        states: Whether to show the states and the version of the runtime; lists do not.
        qualified: Whether the ARN of `$LATEST` shows this qualifier; that of a version always does.
        change: The change that the answer reports as under way; None for the one that is.
    """
    change = change or function.under_change
    version = LATEST if qualified and function.version == LATEST else function.version
    answer = {
        "FunctionName": function.name,
        "FunctionArn": function_arn(function.name, "" if version == LATEST and not qualified else version),
        "Role": function.role,
        **_kind(function),
        **(_runtime_version(function) if states else {}),
        "CodeSize": function.package.size,
        "Description": function.description,
        "Timeout": function.timeout_s,
        "MemorySize": function.memory_mb,
        "LastModified": function.modified.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
        "CodeSha256": function.package.sha256,
        "Version": function.version,
        "TracingConfig": {"Mode": function.tracing},
        "RevisionId": function.shown_revision if change is None else change.revision,
        "Architectures": [function.architecture],
        "EphemeralStorage": {"Size": function.ephemeral_storage_mb},
        "SnapStart": _snap_start(function, change),
        "LoggingConfig": function.logging.to_api(function.name),
    }
    if function.vpc is not None:
        answer["VpcConfig"] = {
            "SubnetIds": function.vpc.subnets,
            "SecurityGroupIds": function.vpc.security_groups,
            "VpcId": function.vpc.vpc,
            "Ipv6AllowedForDualStack": function.vpc.ipv6,
        }
    if function.layer_versions:
        answer["Layers"] = [{"Arn": layer.arn, "CodeSize": layer.size} for layer in function.layer_versions]
    if function.dead_letter:
        answer["DeadLetterConfig"] = {"TargetArn": function.dead_letter}
    if function.environment is not None:
        answer["Environment"] = {"Variables": function.environment}
    if function.kms_key:
        answer["KMSKeyArn"] = function.kms_key
    return answer | _states(change) if states else answer


def _states(change: Change | None) -> dict[str, str]:
    if change is None:
        return READY
    return CREATING if change.creates else {"State": "Active", **UPDATING}


def _snap_start(function: Function, change: Change | None) -> dict[str, str]:
    """Return what AWS shows; here, an environment of a version starts as any other."""
    optimized = function.snap_start != "None" and function.version != LATEST and change is None
    return {"ApplyOn": function.snap_start, "OptimizationStatus": "On" if optimized else "Off"}


def _kind(function: Function) -> dict[str, Any]:
    if function.image is None:
        return {
            "PackageType": "Zip",
            "Runtime": function.runtime,
            "Handler": function.handler,
        }
    config: dict[str, Any] = {}
    if function.image.entry_point:
        config["EntryPoint"] = function.image.entry_point
    if function.image.command:
        config["Command"] = function.image.command
    if function.image.working_directory:
        config["WorkingDirectory"] = function.image.working_directory
    return {"PackageType": "Image", **({"ImageConfigResponse": {"ImageConfig": config}} if config else {})}


def _runtime_version(function: Function) -> dict[str, Any]:
    if function.image is not None:
        return {}
    return {"RuntimeVersionConfig": {"RuntimeVersionArn": runtime_version_arn(function.runtime)}}


def code_location(function: Function, link: Callable[[Path], str]) -> dict[str, str]:
    """Return the location of a function's code.

    Args:
        function: The function.
        link: Returns the address by which callers download a file.
    """
    if function.image is None:
        assert function.package.archive is not None  # noqa: S101 - process mode keeps each package
        return {"RepositoryType": "S3", "Location": link(function.package.archive)}
    return {
        "RepositoryType": "ECR",
        "ImageUri": function.image.uri,
        "ResolvedImageUri": function.image.resolved,
    }
