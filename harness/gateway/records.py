"""The records of the emulated account: functions with their configurations, packages and aliases."""

from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harness.gateway import limits
from harness.gateway.debug_records import Debugger
from harness.gateway.names import LATEST, function_arn
from harness.gateway.requests import FunctionCode, ImageConfig


class EventInvokeConfig(msgspec.Struct, frozen=True):
    """How failed events of a function are handled.

    Attributes:
        max_retries: Attempts after the first.
        max_age_s: How long an event may wait, seconds.
        on_failure: ARN of the queue for events that finally failed; empty if there is none.
        on_success: ARN of the queue for events that succeeded; empty if there is none.
        modified: When it was set; None for AWS's defaults, which nobody has set.
    """

    max_retries: int = limits.DEFAULT_RETRIES
    max_age_s: int = limits.DEFAULT_EVENT_AGE_S
    on_failure: str = ""
    on_success: str = ""
    modified: datetime | None = None

    def to_api(self, arn: str) -> dict[str, Any]:
        """Return the answer of `GetFunctionEventInvokeConfig`."""
        assert self.modified is not None  # noqa: S101 - AWS does not return defaults
        destinations = {"OnSuccess": self.on_success, "OnFailure": self.on_failure}
        return {
            "FunctionArn": arn,
            "LastModified": self.modified.timestamp(),
            "MaximumRetryAttempts": self.max_retries,
            "MaximumEventAgeInSeconds": self.max_age_s,
            "DestinationConfig": {
                when: {"Destination": destination} if destination else {} for when, destination in destinations.items()
            },
        }


class Image(msgspec.Struct, frozen=True):
    """The image of a function.

    Attributes:
        uri: The URI that the function was created with.
        identity: The engine's digest of the image, which runs even if the name later refers to another image.
        resolved: The image by its digest in the registry it came from, or by the engine's digest if it came from none.
        entry_point: Replaces the image's own if not empty.
        command: Replaces the image's own if not empty.
        working_directory: Replaces the image's own if not empty.
    """

    uri: str
    identity: str
    resolved: str
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""

    @property
    def config(self) -> ImageConfig:
        """Return the settings that replace the image's own."""
        return ImageConfig(list(self.entry_point), list(self.command), self.working_directory)


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """The code of a function: a folder or an image.

    Attributes:
        folder: The unpacked deployment package.
        image: The image.
        sha256: The digest in AWS's form: base64 for a package, hexadecimal for an image.
        size: Size, bytes.
    """

    folder: Path | None = None
    image: Image | None = None
    sha256: str
    size: int


class Packages(Protocol):
    """Imports the code that functions are created from."""

    def __call__(self, name: str, code: FunctionCode, config: ImageConfig, architecture: str) -> Package:
        """Return the package of a function.

        Raises:
            LambdaApiError: The code does not exist, or cannot be used.
        """


class Vpc(msgspec.Struct, frozen=True):
    """The VPC that a function joins.

    Attributes:
        subnets: IDs of its subnets.
        security_groups: IDs of its security groups.
        vpc: The VPC's ID.
    """

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    vpc: str = ""


class Function(msgspec.Struct, frozen=True):
    """A function as currently configured, or as it was when a version was published; each change creates a record.

    Attributes:
        name: The function's name.
        role: ARN of its role.
        runtime: AWS's name of the runtime.
        handler: `module.function` in the deployment package.
        description: Free text.
        timeout_s: Time limit of one invocation.
        memory_mb: Memory size.
        variables: The function's own environment variables.
        package: The function's code.
        modified: When it was last changed.
        revision: Changes with every modification.
        ephemeral_storage_mb: Size of /tmp.
        architecture: AWS's name of the processor architecture.
        recursion_allowed: Whether it may invoke itself, directly or not, any number of times.
        vpc: The VPC that it joins; stored, not enforced.
        version: The version's number, or `$LATEST`.
        variant: What distinguishes environments of a debug session from all others; empty for these.
        debugger: The debugger of its environments, if there is one.
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
    ephemeral_storage_mb: int = limits.DEFAULT_EPHEMERAL_STORAGE_MB
    architecture: str = limits.ARCHITECTURE
    recursion_allowed: bool = False
    vpc: Vpc = Vpc()
    version: str = LATEST
    variant: str = ""
    debugger: Debugger | None = None

    @property
    def key(self) -> str:
        """Return the name that identifies this version's environments in the pool."""
        key = self.name if self.version == LATEST else f"{self.name}:{self.version}"
        return f"{key}~{self.variant}" if self.variant else key

    @property
    def arn(self) -> str:
        """Return the ARN, with the version's number if it is a published version."""
        return function_arn(self.name, "" if self.version == LATEST else self.version)

    @property
    def image(self) -> Image | None:
        """Return the image that the function runs from; None if it runs from a folder."""
        return self.package.image

    @property
    def code(self) -> Path:
        """Return the folder that the function runs from."""
        assert self.package.folder is not None  # noqa: S101 - process mode has no images
        return self.package.folder

    def code_location(self) -> dict[str, str]:
        """Return the location of the code for the answer of `GetFunction`."""
        if self.image is None:
            return {"RepositoryType": "S3", "Location": self.code.as_uri()}
        return {"RepositoryType": "ECR", "ImageUri": self.image.uri, "ResolvedImageUri": self.image.resolved}

    def configuration(self, **states: str) -> dict[str, Any]:
        """Return the answer of `GetFunctionConfiguration`.

        Args:
            states: `State` and related fields, unless the function is ready.
        """
        kind: dict[str, Any] = {"PackageType": "Zip", "Runtime": self.runtime, "Handler": self.handler}
        if self.image is not None:
            config: dict[str, Any] = {"EntryPoint": self.image.entry_point, "Command": self.image.command}
            if self.image.working_directory:
                config["WorkingDirectory"] = self.image.working_directory
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
            "Version": self.version,
            "VpcConfig": {
                "SubnetIds": self.vpc.subnets,
                "SecurityGroupIds": self.vpc.security_groups,
                "VpcId": self.vpc.vpc,
                "Ipv6AllowedForDualStack": False,
            },
            "Environment": {"Variables": self.variables},
            "TracingConfig": {"Mode": "PassThrough"},
            "RevisionId": self.revision,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "Architectures": [self.architecture],
            "EphemeralStorage": {"Size": self.ephemeral_storage_mb},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{self.name}"},
            **states,
        }

    def recursion_config(self) -> dict[str, str]:
        """Return the answer of `GetFunctionRecursionConfig`."""
        return {"RecursiveLoop": "Allow" if self.recursion_allowed else "Terminate"}


class Alias(msgspec.Struct, frozen=True):
    """A name for a version, which can be moved to another version.

    Attributes:
        function: The function's name.
        name: The alias's name.
        version: The version's number, or `$LATEST`.
        description: Free text.
        revision: Changes with every modification.
    """

    function: str
    name: str
    version: str
    description: str
    revision: str

    def to_api(self) -> dict[str, str]:
        """Return the answer of `GetAlias`."""
        return {
            "AliasArn": function_arn(self.function, self.name),
            "Name": self.name,
            "FunctionVersion": self.version,
            "Description": self.description,
            "RevisionId": self.revision,
        }
