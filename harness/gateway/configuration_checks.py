"""Checks of a function's configuration: what Lambda refuses, and what this emulation does not support.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""

from collections.abc import Collection, Mapping

import msgspec

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter
from harness.gateway.requests import ImageConfig
from harness.settings import RUNTIMES

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html - in the order of AWS's own message.
_AWS_RUNTIMES = (
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, "
    "python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, "
    "java11, dotnet6, nodejs18.x, provided.al2, java8.al2"
)
_ENDED_RUNTIMES = (
    "python2.7, python3.6, python3.7, nodejs, nodejs4.3, nodejs4.3-edge, nodejs6.10, nodejs8.10, nodejs10.x, "
    "nodejs12.x, nodejs14.x, java8, dotnetcore1.0, dotnetcore2.0, dotnetcore2.1, dotnetcore3.1, ruby2.5, ruby2.7, "
    "go1.x, provided"
)
# https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html#snapstart-runtimes
_WITH_SNAP_START = {"python3.12", "python3.13", "python3.14"}
_SNAP_START_STORAGE_MB = 512
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
_MOST_TAGS = 50

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
_UNABLE = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided"
)


def check_runtime_is_given(package_type: str, runtime: str, handler: str) -> None:
    """Refuse a deployment package without runtime or handler."""
    if package_type == "Zip" and not (runtime and handler):
        raise invalid_parameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )


def check_package_type(
    package_type: str, runtime: str | None, handler: str | None, image_config: ImageConfig | None
) -> None:
    """Refuse a runtime or a handler for an image, and settings of an image for a deployment package."""
    if package_type == "Image" and (runtime or handler):
        raise invalid_parameter(
            "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."
        )
    if package_type == "Zip" and image_config not in (None, ImageConfig()):
        raise invalid_parameter("Please don't provide ImageConfig when the intended function PackageType is Zip.")


def check_handler(handler: str) -> None:
    """Refuse a handler that names no function."""
    if "." not in handler or "\0" in handler:
        raise invalid_parameter(f"Handler '{handler}' must be of the form 'module.function'.")


def check_runtime(runtime: str | None) -> None:
    """Refuse runtimes that Lambda does not have or no longer accepts."""
    if not runtime or runtime in _AWS_RUNTIMES.split(", "):
        return
    if runtime in _ENDED_RUNTIMES.split(", "):
        raise invalid_parameter(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    raise invalid_parameter(
        f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
        f"[{_AWS_RUNTIMES}] or be a valid ARN"
    )


def check_emulated(runtime: str | None) -> None:
    """Refuse Lambda's runtimes that no function could run on here."""
    if runtime and runtime not in RUNTIMES:
        raise invalid_parameter(f"Runtime {runtime} is not emulated: functions here run on {', '.join(RUNTIMES)}.")


def check_snap_start(apply_on: str, package_type: str, runtime: str, ephemeral_storage_mb: int) -> None:
    """Refuse SnapStart where Lambda does not have it.

    https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html#snapstart-runtimes
    """
    if apply_on == "None":
        return
    if package_type == "Image":
        raise invalid_parameter("SnapStart is not supported for container images.")
    if runtime not in _WITH_SNAP_START:
        raise invalid_parameter(f"{runtime} is not supported for SnapStart enabled functions.")
    if ephemeral_storage_mb > _SNAP_START_STORAGE_MB:
        raise invalid_parameter(
            f"Functions with SnapStart have at most {_SNAP_START_STORAGE_MB} MB of ephemeral storage, "
            f"not {ephemeral_storage_mb}."
        )


def check_layers(arns: Collection[str], package_type: str, *, creates: bool = False) -> None:
    """Refuse layers of an image: https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html."""
    if arns and package_type == "Image":
        raise invalid_parameter(
            "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."
            if creates
            else "Lambda layers are not supported for functions created with container images."
        )


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
    # AWS measures the variables as JSON.
    measured = msgspec.json.encode(variables).decode()
    if len(measured.encode()) > limits.ENVIRONMENT_VARIABLES_BYTES:
        raise invalid_parameter(f"{_UNABLE} exceeded the 4KB limit. String measured: {measured}")


def check_tags(tags: Mapping[str, str]) -> None:
    """Check the number and the names of a resource's tags.

    Raises:
        LambdaApiError: There are more than 50, or one has a name that is AWS's own.
    """
    if len(tags) > _MOST_TAGS:
        raise invalid_parameter("Number of tags exceeds resource tag limit.")
    reserved = next((name for name in tags if name.lower().startswith("aws:")), None)
    if reserved is not None:
        raise invalid_parameter(f"The tag key {reserved!r} is invalid: keys that begin with aws: are reserved for AWS.")
