"""Request bodies of the control plane, as the API reference describes them.

https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
Keys that the emulation does not support are ignored.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

from harness.gateway import limits
from harness.gateway.errors import body_not_json, validation_failed
from harness.guard import ROLE

TimeoutS = Annotated[int, msgspec.Meta(ge=1, le=900)]
MemoryMB = Annotated[int, msgspec.Meta(ge=128, le=10_240)]
EphemeralStorageMB = Annotated[int, msgspec.Meta(ge=512, le=10_240)]
RoleArn = Annotated[str, msgspec.Meta(pattern=f"^{ROLE}$")]
Architecture = Literal["x86_64", "arm64"]


class Variables(msgspec.Struct, rename="pascal"):
    """`Environment` of the API."""

    variables: dict[str, str] = {}


class FunctionCode(msgspec.Struct, rename="pascal"):
    """`Code` of the API: the source of a deployment package or an image."""

    zip_file: str | None = None
    image_uri: str | None = None
    s3_bucket: str | None = None


class UpdateCodeRequest(FunctionCode, rename="pascal"):
    """Body of UpdateFunctionCode."""

    publish: bool = False
    dry_run: bool = False
    revision_id: str | None = None


class ImageConfig(msgspec.Struct, rename="pascal"):
    """`ImageConfig` of the API: replaces the image's own entry point, command and working directory."""

    entry_point: list[str] = []
    command: list[str] = []
    working_directory: str = ""


class EphemeralStorage(msgspec.Struct, rename="pascal"):
    """`EphemeralStorage` of the API: the size of /tmp, MB."""

    size: EphemeralStorageMB = limits.DEFAULT_EPHEMERAL_STORAGE_MB


class VpcConfig(msgspec.Struct, rename="pascal"):
    """`VpcConfig` of the API; both lists are empty if there is no VPC."""

    subnet_ids: list[str] = []
    security_group_ids: list[str] = []


class SnapStart(msgspec.Struct, rename="pascal"):
    """`SnapStart` of the API."""

    apply_on: Literal["PublishedVersions", "None"] = "None"


class DeadLetterConfig(msgspec.Struct, rename="pascal"):
    """`DeadLetterConfig` of the API: a queue or topic for events that finally failed."""

    target_arn: str = ""


class CreateRequest(msgspec.Struct, rename="pascal"):
    """Body of CreateFunction."""

    function_name: str
    role: RoleArn
    code: FunctionCode
    runtime: str = ""
    handler: str = ""
    description: str = ""
    timeout: TimeoutS = limits.DEFAULT_TIMEOUT_S
    memory_size: MemoryMB = limits.DEFAULT_MEMORY_MB
    environment: Variables = msgspec.field(default_factory=Variables)
    package_type: Literal["Zip", "Image"] = "Zip"
    image_config: ImageConfig = msgspec.field(default_factory=ImageConfig)
    ephemeral_storage: EphemeralStorage = msgspec.field(default_factory=EphemeralStorage)
    architectures: tuple[Architecture] = (limits.ARCHITECTURE,)
    vpc_config: VpcConfig = msgspec.field(default_factory=VpcConfig)
    snap_start: SnapStart = msgspec.field(default_factory=SnapStart)
    layers: list[str] = []
    dead_letter_config: DeadLetterConfig | None = None
    tags: dict[str, str] = {}
    publish: bool = False


class ConfigurationRequest(msgspec.Struct, rename="pascal"):
    """Body of UpdateFunctionConfiguration; absent keys stay unchanged."""

    role: RoleArn | None = None
    runtime: str | None = None
    handler: str | None = None
    description: str | None = None
    timeout: TimeoutS | None = None
    memory_size: MemoryMB | None = None
    environment: Variables | None = None
    ephemeral_storage: EphemeralStorage | None = None
    image_config: ImageConfig | None = None
    vpc_config: VpcConfig | None = None
    snap_start: SnapStart | None = None
    layers: list[str] | None = None
    dead_letter_config: DeadLetterConfig | None = None
    revision_id: str | None = None


class Destination(msgspec.Struct, rename="pascal", omit_defaults=True):
    """One destination of a `DestinationConfig`: the ARN of a queue."""

    destination: str | None = None


class DestinationConfig(msgspec.Struct, rename="pascal"):
    """`DestinationConfig` of the API: the queues that receive a record of an event's end."""

    on_success: Destination = msgspec.field(default_factory=Destination)
    on_failure: Destination = msgspec.field(default_factory=Destination)


class EventInvokeRequest(msgspec.Struct, rename="pascal"):
    """Body of PutFunctionEventInvokeConfig and UpdateFunctionEventInvokeConfig."""

    maximum_retry_attempts: Annotated[int, msgspec.Meta(ge=0, le=2)] | None = None
    maximum_event_age_in_seconds: Annotated[int, msgspec.Meta(ge=60, le=21_600)] | None = None
    destination_config: DestinationConfig | None = None


class RecursionRequest(msgspec.Struct, rename="pascal"):
    """Body of PutFunctionRecursionConfig."""

    recursive_loop: Literal["Allow", "Terminate"]


class PublishRequest(msgspec.Struct, rename="pascal"):
    """Body of PublishVersion."""

    description: str | None = None
    code_sha256: str | None = msgspec.field(default=None, name="CodeSha256")
    revision_id: str | None = None


class CreateAliasRequest(msgspec.Struct, rename="pascal"):
    """Body of CreateAlias."""

    name: str
    function_version: str
    description: str = ""
    routing_config: dict[str, dict[str, float]] = {}


class UpdateAliasRequest(msgspec.Struct, rename="pascal"):
    """Body of UpdateAlias; absent keys stay unchanged."""

    function_version: str | None = None
    description: str | None = None
    routing_config: dict[str, dict[str, float]] = {}
    revision_id: str | None = None


class ConcurrencyRequest(msgspec.Struct, rename="pascal"):
    """Body of PutFunctionConcurrency."""

    reserved_concurrent_executions: Annotated[int, msgspec.Meta(ge=0)]


class TagsRequest(msgspec.Struct, rename="pascal"):
    """Body of TagResource."""

    tags: dict[str, str]


class AccountRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The account's limits that a rehearsal sets; absent keys stay unchanged.

    Attributes:
        concurrency: Concurrent invocations of all functions.
        memory_mb: The largest memory size of a function.
    """

    concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None
    memory_mb: MemoryMB | None = None


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
