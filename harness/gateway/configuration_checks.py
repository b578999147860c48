"""Checks of a function's configuration: what Lambda refuses, and what this emulation does not support.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""

import re
from collections.abc import Mapping, Sequence

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter, validation_failed
from harness.gateway.requests import DeadLetterConfig, SnapStart
from harness.settings import RUNTIMES

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_ENDED_PYTHON = {"python2.7", "python3.6", "python3.7", "python3.8", "python3.9", "python3.10"}
_OTHERS = re.compile(r"(nodejs|java|dotnet|go|ruby|provided)[a-z0-9.]*")

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
_RESERVED = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
}
_NAME_PATTERN = "[a-zA-Z]([a-zA-Z0-9_])+"
_NAME = re.compile(_NAME_PATTERN)
_UNABLE = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided"
)


def check_handler(handler: str) -> None:
    """Refuse a handler that names no function."""
    if "." not in handler or "\0" in handler:
        raise invalid_parameter(f"Handler '{handler}' must be of the form 'module.function'.")


def check_runtime(runtime: str | None) -> None:
    """Refuse runtimes that Lambda does not have or no longer accepts, and those that are not Python."""
    if not runtime or runtime in RUNTIMES:
        return
    if runtime in _ENDED_PYTHON:
        raise invalid_parameter(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    if _OTHERS.fullmatch(runtime):
        raise invalid_parameter(f"Runtime {runtime} is not emulated: functions here run on Python.")
    raise invalid_parameter(
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
        f"[{', '.join(RUNTIMES)}] or be a valid ARN"
    )


def check_layers(layers: Sequence[str] | None) -> None:
    """Refuse layers: none can be published here, so none exists."""
    for layer in layers or ():
        raise invalid_parameter(f"Layer version {layer} does not exist.")


def check_dead_letters(config: DeadLetterConfig | None) -> None:
    """Refuse a dead-letter queue: no event would ever reach it."""
    if config is not None and config.target_arn:
        raise invalid_parameter(
            f"DeadLetterConfig with {config.target_arn} is not emulated: "
            "name the queue as OnFailure destination with PutFunctionEventInvokeConfig."
        )


def check_snap_start(snap_start: SnapStart, package_type: str) -> None:
    """Refuse SnapStart for images: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html#snapstart-runtimes."""
    if snap_start.apply_on != "None" and package_type == "Image":
        raise invalid_parameter("SnapStart is not supported for container images.")


def check_variables(variables: Mapping[str, str]) -> None:
    """Refuse environment variables that Lambda sets itself, malformed names, and more than 4 KB of them."""
    if reserved := [name for name in variables if name in _RESERVED]:
        raise invalid_parameter(
            f"{_UNABLE} contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    # A process cannot start with NUL in its environment.
    if unfit := [name for name, value in variables.items() if "\0" in name + value]:
        raise invalid_parameter(f"{_UNABLE} contain characters that are not allowed: {', '.join(map(repr, unfit))}")
    for name in variables:
        if not _NAME.fullmatch(name):
            raise validation_failed(
                f"Value '{name}' at 'environment.variables' failed to satisfy constraint: Map keys must satisfy "
                f"constraint: [Member must satisfy regular expression pattern: {_NAME_PATTERN}]"
            )
    size = sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
    if size > limits.ENVIRONMENT_VARIABLES_BYTES:
        raise invalid_parameter(f"{_UNABLE} exceeded the 4KB limit. String measured: {size}")
