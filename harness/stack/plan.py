"""The plan of a stack: made by the command that needs the stack, carried out by the supervisor.

Dependencies that may be missing (memcached, LocalStack, the emulator, images) are checked here, before any start.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.guard import new_secret, own_key
from harness.presets.emulated_network import EmulatedNetwork
from harness.runtimes.environments import ensure_environment
from harness.settings import GatewaySettings, PortSettings, Settings
from harness.stack.discovery import discovery_service
from harness.stack.faulty_network import network_service, network_variables, ports_between
from harness.stack.lambda_gateway import gateway_service
from harness.stack.localstack import ensure_localstack, localstack_service
from harness.stack.memcached import memcached_service
from harness.stack.moto import moto_service
from harness.stack.packages import ensure_memcached
from harness.stack.service import Service
from harness.stack.state import Endpoints, Mode, S3Kind
from harness.system.cache_names import cache_names
from harness.system.debugpy import debugpy_folder
from harness.system.ports import LOOPBACK
from harness.system.rie import ensure_rie


class Programs(msgspec.Struct, frozen=True):
    """The programs that a stack runs in process mode.

    Attributes:
        memcached: The memcached program.
        localstack: The Python of LocalStack's environment; None if moto provides S3.
        rie: The Lambda Runtime Interface Emulator.
        cache: The user's cache folder, with the environments of the runtimes.
    """

    memcached: Path
    localstack: Path | None
    rie: Path
    cache: Path


class StackImages(msgspec.Struct, frozen=True):
    """The images that a stack runs in container mode, by name or ID.

    Attributes:
        memcached: Memcached.
        localstack: LocalStack; None if moto provides S3.
        services: Gateway, moto and configuration endpoint.
        registry: A container registry; None in a stack without one.
        socket: The Docker engine's socket, through which the gateway starts functions.
    """

    memcached: str
    localstack: str | None
    services: str
    socket: Path
    registry: str | None = None


class StackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A stack to start.

    Attributes:
        s3: The S3 implementation.
        root: The project's folder.
        directory: The stack's own folder.
        state_file: The file to which the stack's state is written.
        owner: The PID of the process with which a private stack ends; None for the shared stack.
        fixed_ports: The ports set by the user, by name.
        gateway: Settings of the Lambda service.
        faults: Whether fault-injecting proxies are placed in front of Memcached and S3.
        network: The network that these proxies emulate; None for this machine's own.
        every_service: Whether moto has all of its services, for tests, instead of those that runs need.
        staged_behind: The URL of a proxy through which functions use all services of a stage (`harness.explore`), whose
            state can then be brought back; empty for other stacks.
        cache_nodes: The number of the cache's nodes.
        programs: The programs to run in process mode; None in container mode.
        images: The images to run in container mode; None in process mode.
        secret: The secret from which the stack's access keys are derived.
        debugpy: debugpy's folder, which may not have been made yet.
    """

    s3: S3Kind
    root: Path
    directory: Path
    state_file: Path
    owner: int | None
    fixed_ports: dict[str, int]
    gateway: GatewaySettings
    programs: Programs | None = None
    images: StackImages | None = None
    faults: bool = False
    network: EmulatedNetwork | None = None
    every_service: bool = False
    staged_behind: str = ""
    cache_nodes: int = 1
    secret: str
    debugpy: Path

    @property
    def mode(self) -> Mode:
        """The mode in which the stack runs."""
        return "process" if self.images is None else "container"

    @property
    def proxied(self) -> bool:
        """Whether proxies are in front of Memcached and S3."""
        return self.faults or self.network is not None

    @property
    def caches(self) -> list[str]:
        """The names of the cache's nodes."""
        return cache_names(self.cache_nodes)

    @property
    def port_names(self) -> list[str]:
        """The names of the ports this stack needs; if moto provides S3, one server serves S3 and the rest of AWS."""
        s3 = ["s3"] if self.s3 == "localstack" else []
        between = ports_between(self.caches, faults=self.faults, network=self.network)
        return [*self.caches, *s3, "aws", "discovery", "gateway", *between]


Log = Callable[[str], None]


def make_plan(  # noqa: PLR0913 - one for each choice
    settings: Settings,
    s3: S3Kind,
    directory: Path,
    *,
    state_file: Path,
    owner: int | None,
    mode: Mode = "process",
    log: Log = lambda _line: None,
    faults: bool = False,
    network: EmulatedNetwork | None = None,
    registry: bool = False,
    every_service: bool = False,
    staged_behind: str = "",
) -> StackPlan:
    """Find everything the stack needs; in container mode, pull or build missing images.

    Args:
        settings: The project's settings.
        s3: The S3 implementation.
        directory: The stack's own folder.
        state_file: The file to which the stack's state is written.
        owner: The PID of the process with which a private stack ends; None for the shared stack.
        mode: The mode in which the stack runs.
        log: Called with progress messages.
        faults: Whether to place fault-injecting proxies in front of Memcached and S3.
        network: The network that proxies in the same places emulate.
        registry: Whether to include a container registry; requires container mode.
        every_service: Whether moto has all of its services, instead of those that runs need.
        staged_behind: The URL of the proxy of a stage; see `StackPlan`.

    Raises:
        HarnessError: A dependency is missing and could not be installed; the message says how to install it.
    """
    if registry and mode == "process":
        raise HarnessError("only a container stack can have a registry", "--mode process", "use --mode container")
    return StackPlan(
        s3=s3,
        root=settings.root,
        directory=directory,
        state_file=state_file,
        owner=owner,
        fixed_ports=_fixed_ports(settings.stack.ports, s3),
        gateway=settings.gateway,
        faults=faults,
        network=network,
        every_service=every_service,
        staged_behind=staged_behind,
        # A stage runs a Memcached of its own.
        cache_nodes=1 if staged_behind else settings.stack.cache_nodes,
        secret=new_secret(),
        programs=_programs(settings, s3, log) if mode == "process" else None,
        debugpy=debugpy_folder(settings),
        images=_images(settings, s3, log, registry=registry) if mode == "container" else None,
    )


def _programs(settings: Settings, s3: S3Kind, log: Log) -> Programs:
    """Find the programs; what is missing is installed, because a first command is to work anywhere."""
    memcached, rie = ensure_memcached(settings, log), ensure_rie(settings, log)
    localstack = ensure_localstack(settings, log) if s3 == "localstack" else None
    # Runtimes that single functions name are made when these are created.
    ensure_environment(settings.cache_dir, settings.runtime, log=log)
    return Programs(memcached, localstack, rie, settings.cache_dir)


def _images(settings: Settings, s3: S3Kind, log: Log, *, registry: bool) -> StackImages:
    # Importing the engine's client takes a tenth of a second, and process mode does not need it.
    from harness.images.services import service_images  # noqa: PLC0415
    from harness.system.engine import connect, engine_socket  # noqa: PLC0415

    client = connect()
    socket = engine_socket()
    # The images are built from this clone, whichever project uses it.
    found = service_images(client, msgspec.structs.replace(settings, root=BUNDLE), log=log)
    return StackImages(
        memcached=found.memcached,
        localstack=found.localstack if s3 == "localstack" else None,
        services=found.services,
        socket=socket,
        registry=found.registry if registry else None,
    )


def _fixed_ports(ports: PortSettings, s3: S3Kind) -> dict[str, int]:
    fixed: dict[str, int] = msgspec.structs.asdict(ports)
    if s3 == "moto":
        if ports.s3 and ports.aws and ports.s3 != ports.aws:
            raise HarnessError(
                f"moto as S3 is one server, and cannot have both port {ports.s3} (s3) and port {ports.aws} (aws)",
                "[stack.ports] in harness.toml",
                "set one of them only, or use LocalStack",
            )
        fixed["aws"] = ports.aws or ports.s3
    elif ports.s3 and ports.s3 == ports.aws:
        raise HarnessError(
            f"LocalStack and moto are two servers, and cannot share port {ports.s3} (s3 and aws)",
            "[stack.ports] in harness.toml",
            'set one of them only, or use one server: s3 = "moto"',
        )
    return fixed


def endpoints(plan: StackPlan, ports: dict[str, int]) -> Endpoints:
    """Return the addresses at which the planned services listen on this machine."""
    aws = f"http://{LOOPBACK}:{ports['aws']}"
    return Endpoints(
        s3=f"http://{LOOPBACK}:{ports['s3']}" if plan.s3 == "localstack" else aws,
        aws=aws,
        lambda_=f"http://{LOOPBACK}:{ports['gateway']}",
        memcached=f"{LOOPBACK}:{ports['memcached']}",
        discovery=f"{LOOPBACK}:{ports['discovery']}",
        cache_nodes=tuple(f"{LOOPBACK}:{ports.get(f'real_{name}', ports[name])}" for name in plan.caches),
        faults=f"http://{LOOPBACK}:{ports['network']}" if plan.faults else None,
        network=f"http://{LOOPBACK}:{ports['network']}" if plan.network else None,
        registry=f"{LOOPBACK}:{ports['registry']}" if "registry" in ports else None,
        access_key=own_key(plan.secret),
    )


def services(plan: StackPlan, programs: Programs, ports: dict[str, int]) -> list[Service]:
    """Return the services to start, the slowest first; none depends on another to start."""
    where = endpoints(plan, ports)
    directory = plan.directory / "gateway"
    localstack = (
        [localstack_service(programs.localstack, ports["s3"], plan.directory, plan.secret)]
        if programs.localstack
        else []
    )
    # Only functions use the proxy of S3: the harness prepares and observes a run through the real one.
    s3 = f"http://{LOOPBACK}:{ports['proxied_s3']}" if plan.proxied else where.s3
    return [
        *localstack,
        moto_service(
            ports["aws"],
            where.discovery,
            where.lambda_,
            plan.secret,
            every_service=plan.every_service,
            snapshots=plan.directory if plan.staged_behind else None,
        ),
        gateway_service(
            ports["gateway"],
            directory,
            s3,
            where.aws,
            rie=programs.rie,
            cache=programs.cache,
            settings=plan.gateway,
            secret=plan.secret,
            debugpy=plan.debugpy,
            variables=network_variables(plan.network),
            functions_use=plan.staged_behind,
        ),
        *_cache(plan, programs, ports, where),
    ]


def _cache(plan: StackPlan, programs: Programs, ports: dict[str, int], where: Endpoints) -> list[Service]:
    """Return the cache's nodes and the endpoint that lists them, perhaps behind proxies.

    A stage runs its Memcached itself, to replace it at each reset.
    """
    memcached, caches = programs.memcached, plan.caches
    if plan.proxied:
        faults, network = plan.faults, plan.network
        return [
            network_service(
                memcached, caches, ports, where, plan.directory, plan.secret, faults=faults, network=network
            )
        ]
    nodes = [] if plan.staged_behind else [memcached_service(memcached, ports[name], name) for name in caches]
    return [discovery_service(ports["discovery"], [ports[name] for name in caches]), *nodes]
