"""The functions of the emulated account: their configuration, their code, and the calls that change them."""

import base64
import binascii
import hashlib
import io
import re
import shutil
import threading
import uuid
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec

from harness.gateway import limits
from harness.gateway.errors import (
    body_not_json,
    function_exists,
    function_not_found,
    invalid_parameter,
    validation_failed,
)

_NAME = re.compile(
    r"^(arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:|\d{12}:(function:)?|function:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,64})(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?$"
)

TimeoutS = Annotated[int, msgspec.Meta(ge=1, le=900)]
MemoryMB = Annotated[int, msgspec.Meta(ge=128, le=10_240)]
EphemeralStorageMB = Annotated[int, msgspec.Meta(ge=512, le=10_240)]
Architecture = Literal["x86_64", "arm64"]


class Variables(msgspec.Struct, rename="pascal"):
    """`Environment` of the API."""

    variables: dict[str, str] = {}


class Code(msgspec.Struct, rename="pascal"):
    """`Code` of the API: where a deployment package comes from."""

    zip_file: str | None = None
    image_uri: str | None = None
    s3_bucket: str | None = None


class ImageConfig(msgspec.Struct, rename="pascal"):
    """`ImageConfig` of the API: what replaces the image's own entry point, command and working directory."""

    entry_point: list[str] = []
    command: list[str] = []
    working_directory: str = ""


class EphemeralStorage(msgspec.Struct, rename="pascal"):
    """`EphemeralStorage` of the API: the size of /tmp, MB."""

    size: EphemeralStorageMB = limits.DEFAULT_EPHEMERAL_STORAGE_MB


class CreateRequest(msgspec.Struct, rename="pascal"):
    """Body of CreateFunction; keys that the emulation does not act on are let pass."""

    function_name: str
    role: str
    code: Code
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


class ConfigurationRequest(msgspec.Struct, rename="pascal"):
    """Body of UpdateFunctionConfiguration; absent keys stay as they are."""

    role: str | None = None
    runtime: str | None = None
    handler: str | None = None
    description: str | None = None
    timeout: TimeoutS | None = None
    memory_size: MemoryMB | None = None
    environment: Variables | None = None
    ephemeral_storage: EphemeralStorage | None = None


class EventInvokeRequest(msgspec.Struct, rename="pascal"):
    """Body of PutFunctionEventInvokeConfig."""

    maximum_retry_attempts: Annotated[int, msgspec.Meta(ge=0, le=2)] | None = None
    maximum_event_age_in_seconds: Annotated[int, msgspec.Meta(ge=60, le=21_600)] | None = None


class RecursionRequest(msgspec.Struct, rename="pascal"):
    """Body of PutFunctionRecursionConfig."""

    recursive_loop: Literal["Allow", "Terminate"]


class EventInvokeConfig(msgspec.Struct, frozen=True):
    """How failed events of a function are treated."""

    max_retries: int = limits.DEFAULT_RETRIES
    max_age_s: int = limits.DEFAULT_EVENT_AGE_S


class Image(msgspec.Struct, frozen=True):
    """The image of a function.

    Attributes:
        uri: As the function was created with.
        identity: The engine's digest of that very image: what runs, whatever becomes of the name.
        entry_point: Replaces the image's own when not empty.
        command: Replaces the image's own when not empty.
        working_directory: Replaces the image's own when not empty.
    """

    uri: str
    identity: str
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """What a function's code came as: a folder or an image.

    Attributes:
        folder: The unpacked deployment package.
        image: The image.
        sha256: As AWS shows it: base64 of a package's, hexadecimal of an image's.
        size: Bytes.
    """

    folder: Path | None = None
    image: Image | None = None
    sha256: str
    size: int


class Packages(Protocol):
    """Takes in what functions are created from."""

    def __call__(self, name: str, code: Code, config: ImageConfig, architecture: str) -> Package:
        """The package of a function.

        Raises:
            LambdaApiError: There is none, or it cannot be used.
        """


class Function(msgspec.Struct, frozen=True):
    """One function as it is configured now; a change makes a new record.

    Attributes:
        name: Its name.
        role: ARN of its role; kept, not enforced.
        runtime: AWS's name of the runtime.
        handler: `module.function` in the deployment package.
        description: Free text.
        timeout_s: Time limit of one invocation.
        memory_mb: Memory size.
        variables: Its own environment variables.
        package: Its code.
        modified: When it was last changed.
        revision: A new one with every change.
        events: How failed events are treated.
        ephemeral_storage_mb: Size of /tmp.
        architecture: AWS's name of the processor's architecture.
        recursion_allowed: Whether it may be reached through itself any number of times.
    """

    name: str
    role: str
    runtime: str
    handler: str
    description: str
    timeout_s: int
    memory_mb: int
    variables: dict[str, str]
    package: Package
    modified: datetime
    revision: str
    events: EventInvokeConfig = EventInvokeConfig()
    ephemeral_storage_mb: int = limits.DEFAULT_EPHEMERAL_STORAGE_MB
    architecture: str = limits.ARCHITECTURE
    recursion_allowed: bool = False

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return function_arn(self.name)

    @property
    def image(self) -> Image | None:
        """The image it runs from; None when it runs from a folder."""
        return self.package.image

    @property
    def code(self) -> Path:
        """The folder it runs from."""
        assert self.package.folder is not None  # noqa: S101 - process mode makes no others
        return self.package.folder

    def code_location(self) -> dict[str, str]:
        """Where its code lies, as `GetFunction` shows it."""
        if self.image is None:
            return {"RepositoryType": "S3", "Location": self.code.as_uri()}
        return {"RepositoryType": "ECR", "ImageUri": self.image.uri, "ResolvedImageUri": self.image.identity}

    def configuration(self) -> dict[str, Any]:
        """The record as `GetFunctionConfiguration` shows it."""
        kind: dict[str, Any] = {"PackageType": "Zip", "Runtime": self.runtime, "Handler": self.handler}
        if self.image is not None:
            config = {"EntryPoint": self.image.entry_point, "Command": self.image.command}
            kind = {"PackageType": "Image", "ImageConfigResponse": {"ImageConfig": config}}
        return {
            "FunctionName": self.name,
            "FunctionArn": self.arn,
            "Role": self.role,
            **kind,
            "CodeSize": self.package.size,
            "Description": self.description,
            "Timeout": self.timeout_s,
            "MemorySize": self.memory_mb,
            "LastModified": self.modified.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
            "CodeSha256": self.package.sha256,
            "Version": "$LATEST",
            "Environment": {"Variables": self.variables},
            "RevisionId": self.revision,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "Architectures": [self.architecture],
            "EphemeralStorage": {"Size": self.ephemeral_storage_mb},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{self.name}"},
        }

    def recursion_config(self) -> dict[str, str]:
        """The record as `GetFunctionRecursionConfig` shows it."""
        return {"RecursiveLoop": "Allow" if self.recursion_allowed else "Terminate"}

    def event_invoke_config(self) -> dict[str, Any]:
        """The record as `GetFunctionEventInvokeConfig` shows it."""
        return {
            "FunctionArn": f"{self.arn}:$LATEST",
            "LastModified": self.modified.timestamp(),
            "MaximumRetryAttempts": self.events.max_retries,
            "MaximumEventAgeInSeconds": self.events.max_age_s,
        }


class FunctionStore:
    """All functions of the account.

    Args:
        packages: Takes in their code.
    """

    def __init__(self, packages: Packages) -> None:
        self._packages = packages
        self._functions: dict[str, Function] = {}
        # Taking in an image may take long, so the calls that do are made in threads.
        self._changing = threading.Lock()

    def get(self, identifier: str) -> Function:
        """The function that a name, a partial or a whole ARN stands for.

        Raises:
            LambdaApiError: There is none, or the identifier is malformed.
        """
        name = parse_name(identifier)
        if name not in self._functions:
            raise function_not_found(function_arn(name))
        return self._functions[name]

    def all(self) -> list[Function]:
        """All functions by name."""
        return [self._functions[name] for name in sorted(self._functions)]

    def create(self, body: bytes) -> Function:
        """CreateFunction."""
        with self._changing:
            return self._create(_decode(body, CreateRequest))

    def _create(self, request: CreateRequest) -> Function:
        name = parse_name(request.function_name)
        if name in self._functions:
            raise function_exists(name)
        if request.package_type == "Zip":
            _check_handler(request.handler)
        _check_variables(request.environment.variables)
        (architecture,) = request.architectures
        function = Function(
            name=name,
            role=request.role,
            runtime=request.runtime,
            handler=request.handler,
            description=request.description,
            timeout_s=request.timeout,
            memory_mb=request.memory_size,
            variables=request.environment.variables,
            package=self._packages(name, request.code, request.image_config, architecture),
            modified=datetime.now(UTC),
            revision=str(uuid.uuid4()),
            ephemeral_storage_mb=request.ephemeral_storage.size,
            architecture=architecture,
        )
        self._functions[name] = function
        return function

    def update_code(self, identifier: str, body: bytes) -> Function:
        """UpdateFunctionCode."""
        with self._changing:
            function = self.get(identifier)
            image = function.image
            config = ImageConfig(list(image.entry_point), list(image.command)) if image else ImageConfig()
            package = self._packages(function.name, _decode(body, Code), config, function.architecture)
            return self._replace(function, package=package)

    def update_configuration(self, identifier: str, body: bytes) -> Function:
        """UpdateFunctionConfiguration."""
        function = self.get(identifier)
        request = _decode(body, ConfigurationRequest)
        if request.handler is not None:
            _check_handler(request.handler)
        if request.environment is not None:
            _check_variables(request.environment.variables)
        changes = {
            "role": request.role,
            "runtime": request.runtime,
            "handler": request.handler,
            "description": request.description,
            "timeout_s": request.timeout,
            "memory_mb": request.memory_size,
            "variables": None if request.environment is None else request.environment.variables,
            "ephemeral_storage_mb": None if request.ephemeral_storage is None else request.ephemeral_storage.size,
        }
        return self._replace(function, **{key: value for key, value in changes.items() if value is not None})

    def put_event_invoke_config(self, identifier: str, body: bytes) -> Function:
        """PutFunctionEventInvokeConfig: what the request leaves out goes back to AWS's default."""
        request = _decode(body, EventInvokeRequest)
        default = EventInvokeConfig()
        retries, age = request.maximum_retry_attempts, request.maximum_event_age_in_seconds
        events = EventInvokeConfig(
            default.max_retries if retries is None else retries, default.max_age_s if age is None else age
        )
        # No new revision: environments are the same as before.
        function = msgspec.structs.replace(self.get(identifier), events=events)
        self._functions[function.name] = function
        return function

    def put_recursion_config(self, identifier: str, body: bytes) -> Function:
        """PutFunctionRecursionConfig."""
        allowed = _decode(body, RecursionRequest).recursive_loop == "Allow"
        # No new revision: environments are the same as before.
        function = msgspec.structs.replace(self.get(identifier), recursion_allowed=allowed)
        self._functions[function.name] = function
        return function

    def delete(self, identifier: str) -> Function:
        """DeleteFunction."""
        function = self.get(identifier)
        del self._functions[function.name]
        return function

    def _replace(self, function: Function, **changes: Any) -> Function:  # noqa: ANN401 - the record checks its fields
        changed = msgspec.structs.replace(function, modified=datetime.now(UTC), revision=str(uuid.uuid4()), **changes)
        self._functions[function.name] = changed
        return changed


def folder_packages(root: Path) -> Packages:
    """Takes deployment packages, and unpacks each into a folder below `root`."""

    def unpack(name: str, code: Code, config: ImageConfig, architecture: str) -> Package:
        del config
        if code.image_uri or code.s3_bucket or code.zip_file is None:
            raise invalid_parameter("Process mode takes deployment packages as Code.ZipFile only.")
        if architecture != limits.ARCHITECTURE:
            raise invalid_parameter(f"This machine runs functions of {limits.ARCHITECTURE} only, not {architecture}.")
        try:
            package = base64.b64decode(code.zip_file, validate=True)
            archive = zipfile.ZipFile(io.BytesIO(package))
        except (binascii.Error, zipfile.BadZipFile) as error:
            raise invalid_parameter(
                "Could not unzip uploaded file. Please check your file, then try to upload again."
            ) from error
        digest = hashlib.sha256(package)
        folder = root / name / digest.hexdigest()[:16]
        if not folder.exists():
            _extract(archive, folder)
        return Package(folder=folder, sha256=base64.b64encode(digest.digest()).decode(), size=len(package))

    return unpack


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpacks into a folder that appears whole or not at all."""
    partial = folder.with_suffix(f".{uuid.uuid4().hex}")
    try:
        archive.extractall(partial)
        partial.rename(folder)
    except (zipfile.BadZipFile, zlib.error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise invalid_parameter(f"Could not unzip uploaded file: {error}") from error
    except FileExistsError:
        shutil.rmtree(partial)  # another call with the same package was quicker


def parse_name(identifier: str) -> str:
    """The bare name within a function's name, partial ARN or ARN, with or without a qualifier."""
    match = _NAME.match(identifier)
    if match is None:
        raise validation_failed(
            f"Value '{identifier}' at 'functionName' failed to satisfy constraint: Member must satisfy regular "
            f"expression pattern: {_NAME.pattern}"
        )
    if match["qualifier"] not in (None, "$LATEST"):
        raise function_not_found(f"{function_arn(match['name'])}:{match['qualifier']}")
    return match["name"]


def function_arn(name: str) -> str:
    """ARN of a function of the emulated account."""
    return f"arn:aws:lambda:{limits.REGION}:{limits.ACCOUNT_ID}:function:{name}"


Request = TypeVar("Request")


def _decode(body: bytes, kind: type[Request]) -> Request:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise validation_failed(str(error)) from error
    except msgspec.DecodeError as error:
        raise body_not_json(str(error)) from error


def _check_handler(handler: str) -> None:
    if "." not in handler:
        raise invalid_parameter(f"Handler '{handler}' must be of the form 'module.function'.")


def _check_variables(variables: dict[str, str]) -> None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in variables.items())
    if size > limits.ENVIRONMENT_VARIABLES_BYTES:
        raise invalid_parameter(
            "Lambda was unable to configure your environment variables because the environment variables you have "
            f"provided exceeded the 4KB limit. String measured: {size}"
        )
