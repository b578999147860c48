"""Parts of requests that more than one module reads, and the bodies of the harness's own requests.

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
"""

from typing import Annotated, TypeVar

import msgspec

from harness.gateway import limits
from harness.gateway.errors import body_not_json, validation_failed

MemoryMB = Annotated[int, msgspec.Meta(ge=128, le=10_240)]


class FunctionCode(msgspec.Struct, rename="pascal"):
    """`Code` of the API: the source of a deployment package or an image."""

    zip_file: str | None = None
    image_uri: str | None = None
    s3_bucket: str | None = msgspec.field(default=None, name="S3Bucket")
    s3_key: str | None = msgspec.field(default=None, name="S3Key")
    s3_object_version: str | None = msgspec.field(default=None, name="S3ObjectVersion")


class ImageConfig(msgspec.Struct, rename="pascal"):
    """`ImageConfig` of the API: replaces the image's own entry point, command and working directory."""

    entry_point: list[str] = []
    command: list[str] = []
    working_directory: str = ""


class VpcConfig(msgspec.Struct, rename="pascal"):
    """`VpcConfig` of the API; both lists are empty if there is no VPC."""

    subnet_ids: list[str] = []
    security_group_ids: list[str] = []
    ipv6_allowed_for_dual_stack: bool = msgspec.field(default=False, name="Ipv6AllowedForDualStack")


class Variables(msgspec.Struct, rename="pascal"):
    """`Environment` of the API."""

    variables: dict[str, str] = {}


class EphemeralStorage(msgspec.Struct, rename="pascal"):
    """`EphemeralStorage` of the API: the size of /tmp, MB."""

    size: int = limits.DEFAULT_EPHEMERAL_STORAGE_MB


class SnapStart(msgspec.Struct, rename="pascal"):
    """`SnapStart` of the API."""

    apply_on: str = "None"


class DeadLetterConfig(msgspec.Struct, rename="pascal"):
    """`DeadLetterConfig` of the API: where events go that failed for good."""

    target_arn: str | None = None


class TracingConfig(msgspec.Struct, rename="pascal"):
    """`TracingConfig` of the API."""

    mode: str = limits.DEFAULT_TRACING


class AccountRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The account's limits that a rehearsal sets; absent keys stay unchanged.

    Attributes:
        concurrency: Concurrent invocations of all functions.
        memory_mb: The largest memory size of a function.
        state_delay_s: How long changes of functions last from now on, seconds.
    """

    concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None
    memory_mb: MemoryMB | None = None
    state_delay_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] | None = None


Request = TypeVar("Request")


def decode(body: bytes, kind: type[Request]) -> Request:
    """Return a request's body after checking it; a missing body is the empty object.

    Raises:
        LambdaApiError: The body is not JSON, or does not match the operation.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise validation_failed(str(error)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise body_not_json(str(error)) from error
