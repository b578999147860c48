"""The tables of harness.toml: each is a record, and each docstring describes its keys."""

import sys
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MemoryMB = Annotated[int, msgspec.Meta(ge=128, le=10_240)]
EphemeralStorageMB = Annotated[int, msgspec.Meta(ge=512, le=10_240)]
TimeoutS = Annotated[int, msgspec.Meta(ge=1, le=900)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
Runtime = Literal["python3.8", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
# The runtime of a project that names none: the Python of the harness itself, which this machine certainly has.
OWN_RUNTIME: Runtime = next(
    (runtime for runtime in RUNTIMES if runtime == f"python3.{sys.version_info.minor}"), RUNTIMES[-1]
)
# https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_CreateCacheCluster.html
MOST_CACHE_NODES = 40
FUNCTION_NAME = r"^[a-zA-Z0-9-_]{1,64}$"
FunctionName = Annotated[str, msgspec.Meta(pattern=FUNCTION_NAME)]
# A worker's name and this one make the name of a function, of an image and of roles.
MODEL_NAME = r"^[a-zA-Z][a-zA-Z0-9_]{0,39}$"
ModelName = Annotated[str, msgspec.Meta(pattern=MODEL_NAME)]


class PortSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fixed ports on the loopback interface; 0 picks a free port.

    Attributes:
        memcached: Port of Memcached; of several nodes, the first.
        s3: Port of S3.
        aws: Port of the other AWS services.
        gateway: Port of the Lambda service.
        discovery: Port of Memcached's configuration endpoint.
    """

    memcached: Port = 0
    s3: Port = 0
    aws: Port = 0
    gateway: Port = 0
    discovery: Port = 0


class StackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The services of a run.

    Attributes:
        mode: Whether the services run as local processes or as containers.
        s3: The service that emulates S3.
        cache_nodes: The number of the cache's nodes, each a Memcached of 256 MB; keys are spread over them.
        ports: Fixed ports, if any.
    """

    mode: Literal["process", "container"] = "process"
    s3: Literal["localstack", "moto"] = "localstack"
    cache_nodes: Annotated[int, msgspec.Meta(ge=1, le=MOST_CACHE_NODES)] = 1
    ports: PortSettings = PortSettings()


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Lambda service.

    Attributes:
        account_concurrency: Invocations that may run at once; further callers get 429.
        retry_time_scale: Factor on the 1 and 2 minutes that AWS waits before it retries a failed event.
        idle_timeout_s: Seconds after which an idle environment is stopped.
        state_delay_s: Seconds for which a new function is `Pending` and an update `InProgress`; on AWS, a few.
        fork: Whether environments in process mode are forked from a parent that has already imported their libraries.
        routing_seed: Seed of the choices between an alias's two versions, and of the invocations that FIS strikes.
        isolate: Whether process mode has AWS's paths (/var/task, /opt) and a /tmp for each, where the kernel permits.
        zones: The number of zones that functions run in; their environments take turns, and the cache is in the first.
    """

    account_concurrency: Annotated[int, msgspec.Meta(ge=1)] = 1000
    retry_time_scale: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    idle_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    state_delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    fork: bool = True
    routing_seed: int = 0
    isolate: bool = True
    zones: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1


class HistorySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The runs that the project keeps, in `.harness/runs`; the oldest go first.

    Attributes:
        keep: Whether a run's summary, records, log and model are kept when it ends.
        most_runs: How many runs are kept.
        most_mb: Total size of the kept runs, MB; what does not fit of a single run, such as a large model, is left out.
        max_age_days: Days after which a kept run is removed.
    """

    keep: bool = True
    most_runs: Annotated[int, msgspec.Meta(ge=1)] = 200
    most_mb: Annotated[int, msgspec.Meta(ge=1)] = 2048
    max_age_days: Annotated[float, msgspec.Meta(gt=0)] = 90.0


class FunctionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One Lambda function of the project.

    Attributes:
        source: Folder whose files become the root of the deployment package (`/var/task`).
        handler: `module.function` within that root.
        include: Further folders or files, each packaged under its own name (a library beside the handler).
        exclude: What is left out of the package, as in .gitignore; `!` puts back what is left out by default.
        memory_mb: Memory size, MB.
        timeout_s: Time limit of one invocation, seconds.
        retries: How often a failed event is retried (`MaximumRetryAttempts`).
        environment: The function's own environment variables.
        runtime: AWS's name of its Python; the default is the `runtime` at the top of the file.
        requirements: Requirements files or a pyproject.toml from which its libraries are built; the default is a
            requirements.txt or pyproject.toml in `source`, and `[]` is none.
        layers: Folders that the function finds below /opt on AWS; modules lie in their `python` folder.
        image: The image that it runs from in container mode and on AWS; in process mode it runs from `source`.
        ephemeral_storage_mb: Size of /tmp, MB.
        recursive: Whether the function may invoke itself, directly or not, more than 16 times (`RecursiveLoop=Allow`).
        reserved_concurrency: Environments reserved for this function; 0 if it shares the account's.
    """

    source: Path
    handler: Annotated[str, msgspec.Meta(pattern=r"^[\w./-]+\.\w+$")]
    include: tuple[Path, ...] = ()
    exclude: tuple[str, ...] = ()
    memory_mb: MemoryMB = 128
    timeout_s: TimeoutS = 3
    retries: Annotated[int, msgspec.Meta(ge=0, le=2)] = 2
    environment: dict[str, str] = {}
    runtime: Runtime | None = None
    requirements: str | tuple[str, ...] | None = None
    layers: tuple[Path, ...] = ()
    image: str = ""
    ephemeral_storage_mb: EphemeralStorageMB = 512
    recursive: bool = False
    reserved_concurrency: Annotated[int, msgspec.Meta(ge=0)] = 0

    @property
    def python(self) -> Runtime:
        """Return its runtime: the one that its table or the project names, or the harness's own."""
        return self.runtime or OWN_RUNTIME


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of the user's own, for `--model NAME`.

    Attributes:
        path: The Python file that defines it, or the folder of its package.
        name: Its class, its function that makes it, or its object within that file.
        requirements: Requirements files of what it imports beside NumPy and PyTorch; the default is the block
            `# /// script` at the top of the file, or the requirements.txt in the folder.
        memory_mb: Memory size of its workers, MB; the default is that of the worker that it extends.
        timeout_s: Time limit of its workers, seconds; the default is that of the worker that it extends.
    """

    path: Path
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_]\w*$")]
    requirements: str | tuple[str, ...] | None = None
    memory_mb: MemoryMB | None = None
    timeout_s: TimeoutS | None = None


class SettingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables of harness.toml.

    Attributes:
        runtime: AWS's name of the Python of functions that name none; the default is the Python of the harness.
        stack: The services of a run.
        gateway: The Lambda service.
        history: The runs that the project keeps.
        functions: The project's functions, one table for each; the table's name is the function's.
        models: Models of the user's own, one table for each; `--model` takes the table's name.
    """

    runtime: Runtime | None = None
    stack: StackSettings = StackSettings()
    gateway: GatewaySettings = GatewaySettings()
    history: HistorySettings = HistorySettings()
    functions: dict[FunctionName, FunctionSettings] = {}
    models: dict[ModelName, ModelSettings] = {}
