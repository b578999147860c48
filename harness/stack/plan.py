"""What a stack will consist of: decided by the command that wants it, carried out by the supervisor.

What can be missing (memcached, LocalStack, the emulator, images) is looked for here, before anything is started.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.guard import new_secret, own_key
from harness.settings import GatewaySettings, PortSettings, Settings
from harness.stack.discovery import discovery_service
from harness.stack.faulty_network import faults_service
from harness.stack.lambda_gateway import gateway_service
from harness.stack.localstack import find_localstack, localstack_service
from harness.stack.memcached import find_memcached, memcached_service
from harness.stack.moto import moto_service
from harness.stack.service import Service
from harness.stack.state import Endpoints, Mode, S3Kind
from harness.system.clone import PROJECT
from harness.system.ports import LOOPBACK
from harness.system.rie import rie_path


class Programs(msgspec.Struct, frozen=True):
    """What runs in process mode.

    Attributes:
        memcached: The memcached program.
        localstack: The Python of LocalStack's environment; None when moto plays S3.
        rie: The Lambda Runtime Interface Emulator.
    """

    memcached: Path
    localstack: Path | None
    rie: Path


class Images(msgspec.Struct, frozen=True):
    """What runs in container mode; images by name or ID.

    Attributes:
        memcached: Memcached.
        localstack: LocalStack; None when moto plays S3.
        services: Gateway, moto and configuration endpoint.
        registry: A container registry; None in a stack without one.
        socket: The engine's socket, which the gateway starts functions through.
    """

    memcached: str
    localstack: str | None
    services: str
    socket: Path
    registry: str | None = None


class StackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A stack to be started.

    Attributes:
        s3: What plays S3.
        root: The project's folder.
        directory: The stack's own folder.
        state_file: Where its state goes.
        owner: The pid of the process with which a private stack ends; None for the shared one.
        fixed_ports: The ports that were set, by name.
        gateway: How the Lambda service behaves.
        faults: Whether the proxies that bring about faults stand before Memcached and S3.
        programs: What runs in process mode; None in container mode.
        images: What runs in container mode; None in process mode.
        secret: What the stack's access keys are derived from.
    """

    s3: S3Kind
    root: Path
    directory: Path
    state_file: Path
    owner: int | None
    fixed_ports: dict[str, int]
    gateway: GatewaySettings
    programs: Programs | None = None
    images: Images | None = None
    faults: bool = False
    secret: str

    @property
    def mode(self) -> Mode:
        """How the stack runs."""
        return "process" if self.images is None else "container"

    @property
    def port_names(self) -> list[str]:
        """The ports this stack needs; with moto as S3, S3 and the rest of AWS are one server."""
        s3 = ["s3"] if self.s3 == "localstack" else []
        faults = ["faults", "real_memcached", "faulty_s3"] if self.faults else []
        return ["memcached", *s3, "aws", "discovery", "gateway", *faults]


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
    registry: bool = False,
) -> StackPlan:
    """Finds everything the stack needs; in container mode images that are missing are pulled or built.

    Args:
        settings: The project's settings.
        s3: What plays S3.
        directory: The stack's own folder.
        state_file: Where its state goes.
        owner: The pid of the process with which a private stack ends; None for the shared one.
        mode: How it runs.
        log: Told what takes long.
        faults: Whether the proxies that bring about faults stand before Memcached and S3.
        registry: Whether a container registry is part of it, which takes containers.

    Raises:
        HarnessError: Something is not installed; the message says how to install it.
    """
    if faults and mode == "container":
        raise HarnessError("faults are brought about in process mode only", "--mode container", "leave --mode out")
    if registry and mode == "process":
        raise HarnessError("a registry is part of a stack in containers only", "--mode process", "use --mode container")
    return StackPlan(
        s3=s3,
        root=settings.root,
        directory=directory,
        state_file=state_file,
        owner=owner,
        fixed_ports=_fixed_ports(settings.stack.ports, s3),
        gateway=settings.gateway,
        faults=faults,
        secret=new_secret(),
        programs=_programs(settings, s3) if mode == "process" else None,
        images=_images(settings, s3, log, registry=registry) if mode == "container" else None,
    )


def _programs(settings: Settings, s3: S3Kind) -> Programs:
    return Programs(find_memcached(), find_localstack() if s3 == "localstack" else None, rie_path(settings))


def _images(settings: Settings, s3: S3Kind, log: Log, *, registry: bool) -> Images:
    # The engine's client takes a tenth of a second to import, and process mode does without it.
    from harness.images.services import service_images  # noqa: PLC0415
    from harness.system.engine import connect, engine_socket  # noqa: PLC0415

    client = connect()
    socket = engine_socket()
    # They are made of this harness, whichever project uses it.
    found = service_images(client, msgspec.structs.replace(settings, root=PROJECT), log=log)
    return Images(
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
    return fixed


def endpoints(plan: StackPlan, ports: dict[str, int]) -> Endpoints:
    """Where the services of the plan listen on this machine."""
    aws = f"http://{LOOPBACK}:{ports['aws']}"
    return Endpoints(
        s3=f"http://{LOOPBACK}:{ports['s3']}" if plan.s3 == "localstack" else aws,
        aws=aws,
        lambda_=f"http://{LOOPBACK}:{ports['gateway']}",
        memcached=f"{LOOPBACK}:{ports['memcached']}",
        discovery=f"{LOOPBACK}:{ports['discovery']}",
        faults=f"http://{LOOPBACK}:{ports['faults']}" if plan.faults else None,
        registry=f"{LOOPBACK}:{ports['registry']}" if "registry" in ports else None,
        access_key=own_key(plan.secret),
    )


def services(plan: StackPlan, programs: Programs, ports: dict[str, int]) -> list[Service]:
    """The children to start, the slowest first; none waits for another."""
    where = endpoints(plan, ports)
    directory = plan.directory / "gateway"
    localstack = (
        [localstack_service(programs.localstack, ports["s3"], plan.directory, plan.secret)]
        if programs.localstack
        else []
    )
    # Functions alone meet the faults of S3: the harness prepares and watches a run from outside.
    s3 = f"http://{LOOPBACK}:{ports['faulty_s3']}" if plan.faults else where.s3
    return [
        *localstack,
        moto_service(ports["aws"], where.discovery, plan.secret),
        gateway_service(ports["gateway"], directory, s3, where.aws, programs.rie, plan.gateway, plan.secret),
        discovery_service(ports["discovery"], ports["memcached"]),
        faults_service(programs.memcached, ports, where, plan.directory, plan.secret)
        if plan.faults
        else memcached_service(programs.memcached, ports["memcached"]),
    ]
