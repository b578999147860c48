"""The records of the emulated account: functions with their configurations, packages and aliases."""

import time
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from harness.gateway import limits
from harness.gateway.debug_records import Debugger
from harness.gateway.logs.config import Logging
from harness.gateway.names import LATEST, function_arn, layer_arn
from harness.gateway.requests import FunctionCode, ImageConfig


class EventInvokeConfig(msgspec.Struct, frozen=True):
    """How failed events of a function are handled; None where nobody has set a value, so that AWS's default counts.

    Attributes:
        retries: Attempts after the first.
        age_s: How long an event may wait, seconds.
        on_failure: ARN of the destination for events that finally failed.
        on_success: ARN of the destination for events that succeeded.
        modified: When it was set.
    """

    retries: int | None = None
    age_s: int | None = None
    on_failure: str | None = None
    on_success: str | None = None
    modified: datetime | None = None

    @property
    def max_retries(self) -> int:
        """Return the attempts after the first."""
        return limits.DEFAULT_RETRIES if self.retries is None else self.retries

    @property
    def max_age_s(self) -> int:
        """Return how long an event may wait, seconds."""
        return limits.DEFAULT_EVENT_AGE_S if self.age_s is None else self.age_s


class Image(msgspec.Struct, frozen=True):
    """The image of a function.

    Attributes:
        uri: The URI that the function was created with.
        identity: The engine's digest of the image, which runs even if the name later refers to another image.
        resolved: The image by its digest in the registry it came from, or by the engine's digest if it came from none.
        entry_point: Replaces the image's own if not empty.
        command: Replaces the image's own if not empty.
        working_directory: Replaces the image's own if not empty.
        takes_calls: Whether its runtime takes the invoked ARN and a trace from the gateway.
        own_bytes: Its size without its base; 0 if it was not measured.
    """

    uri: str
    identity: str
    resolved: str
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    takes_calls: bool = False
    own_bytes: int = 0

    @property
    def config(self) -> ImageConfig:
        """Return the settings that replace the image's own."""
        return ImageConfig(list(self.entry_point), list(self.command), self.working_directory)


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """The code of a function: a folder or an image.

    Attributes:
        folder: The unpacked deployment package.
        archive: The deployment package as it was sent.
        image: The image.
        sha256: The digest in AWS's form: base64 for a package, hexadecimal for an image.
        size: Size, bytes.
    """

    folder: Path | None = None
    archive: Path | None = None
    image: Image | None = None
    sha256: str
    size: int


class LayerVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a layer.

    Attributes:
        name: The layer's name.
        number: The version's number.
        folder: Its content, unpacked.
        archive: The archive, as it was published.
        sha256: The archive's digest, base64.
        size: The archive's size, bytes.
        unzipped_bytes: The content's size, bytes.
        created: When it was published.
        description: Free text.
        license_info: Its licence; None if none was given.
        runtimes: The runtimes that it is made for; None if none were given.
        architectures: The processors that it is made for; None if none were given.
    """

    name: str
    number: int
    folder: Path
    archive: Path
    sha256: str
    size: int
    unzipped_bytes: int
    created: datetime
    description: str = ""
    license_info: str | None = None
    runtimes: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None

    @property
    def arn(self) -> str:
        """Return the ARN."""
        return layer_arn(self.name, self.number)


class Packages(Protocol):
    """Imports the code that functions are created from."""

    def __call__(
        self, name: str, code: FunctionCode, config: ImageConfig, architecture: str, fetched: bytes | None = None
    ) -> Package:
        """Return the package of a function.

        Args:
            name: The function's name.
            code: Where the code is.
            config: Settings that replace the image's own.
            architecture: AWS's name of the processor architecture.
            fetched: The deployment package, if the code is an object in S3.

        Raises:
            LambdaApiError: The code does not exist, or cannot be used.
        """


class Vpc(msgspec.Struct, frozen=True):
    """The VPC that a function joins.

    Attributes:
        subnets: IDs of its subnets.
        security_groups: IDs of its security groups.
        vpc: The VPC's ID.
        ipv6: Whether outbound IPv6 traffic is allowed in dual-stack subnets.
        zones: IDs of the zones of its subnets, in alphabetical order.
    """

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    vpc: str = ""
    ipv6: bool = False
    zones: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """A change of a function that takes time: its creation, an update, or the publication of a version.

    Attributes:
        creates: Whether the function, or the version, is new: its state is `Pending`, not its update `InProgress`.
        until: When it ends, by the monotonic clock.
        revision: The function's revision until then; AWS gives it another one when the change has ended.
    """

    creates: bool
    until: float
    revision: str


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
        environment: The function's own environment variables; None if they were never given.
        package: The function's code.
        modified: When it was last changed.
        revision: Changes with every modification that ends its environments.
        ephemeral_storage_mb: Size of /tmp.
        architecture: AWS's name of the processor architecture.
        recursion_allowed: Whether it may invoke itself, directly or not, any number of times.
        vpc: The VPC that it joins, stored and not enforced; None if none was ever given.
        layer_versions: Its layers; where several have a file, that of the last one counts.
        logging: The format, the levels and the group of its log.
        dead_letter: ARN of its dead-letter queue or topic; empty if there is none.
        tracing: AWS's mode of tracing: `PassThrough` leaves the sampling of traces to the caller, `Active` does not.
        kms_key: ARN of the key that encrypts its environment variables on AWS; empty for AWS's own.
        snap_start: What SnapStart applies to: `PublishedVersions` or `None`.
        version: The version's number, or `$LATEST`.
        provisioned: Whether this is the record of an environment of provisioned concurrency.
        variant: What distinguishes environments of a debug session from all others; empty for these.
        debugger: The debugger of its environments, if there is one.
        change: The change that is still under way by the clock, if `--state-delay-s` gives changes a duration.
        revision_id: AWS's `RevisionId`, where a modification has changed it that leaves the environments valid.
    """

    name: str
    role: str
    runtime: str
    handler: str
    description: str
    timeout_s: int
    memory_mb: int
    environment: dict[str, str] | None
    package: Package
    modified: datetime
    revision: str
    ephemeral_storage_mb: int = limits.DEFAULT_EPHEMERAL_STORAGE_MB
    architecture: str = limits.ARCHITECTURE
    recursion_allowed: bool = False
    vpc: Vpc | None = None
    layer_versions: tuple[LayerVersion, ...] = ()
    logging: Logging = Logging()
    dead_letter: str = ""
    tracing: str = limits.DEFAULT_TRACING
    kms_key: str = ""
    snap_start: str = "None"
    version: str = LATEST
    provisioned: bool = False
    variant: str = ""
    debugger: Debugger | None = None
    change: Change | None = None
    revision_id: str = ""

    @property
    def shown_revision(self) -> str:
        """Return AWS's `RevisionId`."""
        change = self.under_change
        return change.revision if change is not None else self.revision_id or self.revision

    @property
    def variables(self) -> dict[str, str]:
        """Return the function's own environment variables."""
        return self.environment or {}

    @property
    def layers(self) -> tuple[Path, ...]:
        """Return the folders of its layers, which it finds merged at /opt; a later one overrides earlier ones."""
        return tuple(layer.folder for layer in self.layer_versions)

    @property
    def under_change(self) -> Change | None:
        """Return the change that is still under way; None if there is none."""
        return self.change if self.change is not None and time.monotonic() < self.change.until else None

    @property
    def key(self) -> str:
        """Return the name that identifies this version's environments in the pool."""
        key = self.name if self.version == LATEST else f"{self.name}:{self.version}"
        return f"{key}~{self.variant}" if self.variant else key

    @property
    def initialization(self) -> str:
        """Return AWS's name of how its environments are initialised."""
        return "provisioned-concurrency" if self.provisioned else "on-demand"

    @property
    def arn(self) -> str:
        """Return the ARN, with the version's number if it is a published version."""
        return function_arn(self.name, "" if self.version == LATEST else self.version)

    @property
    def log_group(self) -> str:
        """Return the name of the log group."""
        return self.logging.group_of(self.name)

    @property
    def image(self) -> Image | None:
        """Return the image that the function runs from; None if it runs from a folder."""
        return self.package.image

    @property
    def code(self) -> Path:
        """Return the folder that the function runs from."""
        assert self.package.folder is not None  # noqa: S101 - process mode has no images
        return self.package.folder


class Alias(msgspec.Struct, frozen=True):
    """A name for a version, which can be moved to another version.

    Attributes:
        function: The function's name.
        name: The alias's name.
        version: The version's number, or `$LATEST`.
        description: Free text.
        revision: AWS's `RevisionId`, which changes with every modification.
        weights: Share of the invocations that another version takes, by the version's number.
    """

    function: str
    name: str
    version: str
    description: str
    revision: str
    weights: dict[str, float] = {}

    @property
    def shown_revision(self) -> str:
        """Return AWS's `RevisionId`."""
        return self.revision

    @property
    def versions(self) -> list[str]:
        """Return the versions that it invokes."""
        return [self.version, *self.weights]
