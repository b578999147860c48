"""What the emulated account holds: functions as they are configured, their packages, their aliases."""

from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from harness.gateway import limits
from harness.gateway.names import LATEST, function_arn
from harness.gateway.requests import FunctionCode, ImageConfig


class EventInvokeConfig(msgspec.Struct, frozen=True):
    """How failed events of a function are treated.

    Attributes:
        max_retries: Tries after the first.
        max_age_s: How long an event may wait, seconds.
        on_failure: ARN of the queue for those that failed for good; empty for none.
        on_success: ARN of the queue for those that did not; empty for none.
        modified: When it was set; None for AWS's defaults, which nobody set.
    """

    max_retries: int = limits.DEFAULT_RETRIES
    max_age_s: int = limits.DEFAULT_EVENT_AGE_S
    on_failure: str = ""
    on_success: str = ""
    modified: datetime | None = None

    def to_api(self, arn: str) -> dict[str, Any]:
        """As `GetFunctionEventInvokeConfig` shows it."""
        assert self.modified is not None  # noqa: S101 - defaults are not shown
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
        uri: As the function was created with.
        identity: The engine's digest of that very image: what runs, whatever becomes of the name.
        resolved: The same by its digest in the registry it came from; by the engine's where it came from none.
        entry_point: Replaces the image's own when not empty.
        command: Replaces the image's own when not empty.
        working_directory: Replaces the image's own when not empty.
    """

    uri: str
    identity: str
    resolved: str
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""

    @property
    def config(self) -> ImageConfig:
        """What replaces the image's own."""
        return ImageConfig(list(self.entry_point), list(self.command), self.working_directory)


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

    def __call__(self, name: str, code: FunctionCode, config: ImageConfig, architecture: str) -> Package:
        """The package of a function.

        Raises:
            LambdaApiError: There is none, or it cannot be used.
        """


class Vpc(msgspec.Struct, frozen=True):
    """Where a function joins a VPC.

    Attributes:
        subnets: IDs.
        security_groups: IDs.
        vpc: The VPC's ID.
    """

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    vpc: str = ""


class Function(msgspec.Struct, frozen=True):
    """One function as it is configured now, or as it was when a version was published; a change makes a new record.

    Attributes:
        name: Its name.
        role: ARN of its role.
        runtime: AWS's name of the runtime.
        handler: `module.function` in the deployment package.
        description: Free text.
        timeout_s: Time limit of one invocation.
        memory_mb: Memory size.
        variables: Its own environment variables.
        package: Its code.
        modified: When it was last changed.
        revision: A new one with every change.
        ephemeral_storage_mb: Size of /tmp.
        architecture: AWS's name of the processor's architecture.
        recursion_allowed: Whether it may be reached through itself any number of times.
        vpc: The VPC that it joins; kept, not enforced.
        version: The version's number, or `$LATEST`.
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

    @property
    def key(self) -> str:
        """By what its environments are told from those of its other versions."""
        return self.name if self.version == LATEST else f"{self.name}:{self.version}"

    @property
    def arn(self) -> str:
        """Its ARN, with the version's number if it is a published one."""
        return function_arn(self.name, "" if self.version == LATEST else self.version)

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
        return {"RepositoryType": "ECR", "ImageUri": self.image.uri, "ResolvedImageUri": self.image.resolved}

    def configuration(self, **states: str) -> dict[str, Any]:
        """The record as `GetFunctionConfiguration` shows it.

        Args:
            states: `State` and what goes with it, where they are not those of a function that is ready.
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
        """The record as `GetFunctionRecursionConfig` shows it."""
        return {"RecursiveLoop": "Allow" if self.recursion_allowed else "Terminate"}


class Alias(msgspec.Struct, frozen=True):
    """A name for a version, which may come to mean another one.

    Attributes:
        function: The function's name.
        name: The alias's.
        version: The version's number, or `$LATEST`.
        description: Free text.
        revision: A new one with every change.
    """

    function: str
    name: str
    version: str
    description: str
    revision: str

    def to_api(self) -> dict[str, str]:
        """As `GetAlias` shows it."""
        return {
            "AliasArn": function_arn(self.function, self.name),
            "Name": self.name,
            "FunctionVersion": self.version,
            "Description": self.description,
            "RevisionId": self.revision,
        }
