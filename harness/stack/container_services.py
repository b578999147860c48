"""The services of a stack in containers: what each one runs, how it is probed and what it may use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.types import Mount

from harness.bundle import CODE
from harness.emulation.environment import CACHE_ENDPOINT, EVERY_SERVICE, GATEWAY, REGISTRY
from harness.guard import HEALTH, NAMES_VARIABLE, SECRET_VARIABLE, own_key
from harness.stack import localstack
from harness.stack.container_labels import STACK_LABEL
from harness.stack.faulty_network import network_variables
from harness.stack.plan import StackImages, StackPlan
from harness.stack.state import Endpoints
from harness.system.ports import LOOPBACK
from harness.system.probes import answers_http, answers_memcached

S3_PORT, AWS_PORT, GATEWAY_PORT, MEMCACHED_PORT, DISCOVERY_PORT = 4566, 5000, 9001, 11_211, 11_212
REGISTRY_PORT, NETWORK_PORT = 5000, 9002
# In the network's container, where all nodes of the cache have one address: of the first node, and of the others.
BEHIND_NETWORK_PORT, FRONT_PORTS, BEHIND_PORTS = 11_213, 11_300, 11_400
# LocalStack's folder for start-up scripts: https://docs.localstack.cloud/aws/capabilities/config/initialization-hooks/
START_SCRIPT = "/etc/localstack/init/start.d/guard.py"
GUARD_IN_LOCALSTACK = "/opt/lambda-harness/guard.py"
MEMCACHED_MB, MEMCACHED_CONNECTIONS = 256, 4096
# If memcached dies, the loop restarts it empty at the same address, as ElastiCache replaces a node. A restarted
# container would get a new address and a new published port.
_RESTARTED_MEMCACHED = (
    "while :; do memcached -m {mb} -c {connections} -U 0{more}; "
    'echo "memcached ended with status $?; starting it again" >&2; sleep 0.2; done'
)
# A fault plan may have it end, by the command `shutdown`; no function can send that.
_ENDS_WHEN_TOLD = " -A"


@dataclass(frozen=True)
class ContainerService:
    """One service of the stack.

    Attributes:
        name: Its name in the state, and its host name in the stack's networks.
        image: Its image.
        command: Its command line; empty for the image's default.
        port: The port inside the container; published on a free port of the loopback interface.
        ready: Probes the service once, on the published port; returns whether it responds.
        memory_mb: Its memory limit.
        environment: Its environment variables.
        options: Further options for the engine.
        hidden: Whether functions reach it through the network's process only.
        stands_for: The names of hidden services by which functions reach this one.
        more_ports: Further ports inside the container, published likewise, by the name of what answers there.
    """

    name: str
    image: str
    command: tuple[str, ...]
    port: int
    ready: Callable[[int], bool]
    memory_mb: int
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    hidden: bool = False
    stands_for: tuple[str, ...] = ()
    more_ports: dict[str, int] = field(default_factory=dict)

    @property
    def ports(self) -> dict[str, int]:
        """All of its published ports, by the name of what answers there."""
        return {self.name: self.port, **self.more_ports}


def backing_services(plan: StackPlan, images: StackImages) -> list[ContainerService]:
    """Return all services except the gateway, the slowest first."""
    return [
        *([_s3(plan, images.localstack)] if images.localstack else []),
        *([_registry(plan, images.registry)] if images.registry else []),
        _aws(plan, images),
        *(
            ContainerService(
                name=name,
                image=images.memcached,
                command=("sh", "-c", _memcached(ends_when_told=plan.faults)),
                port=MEMCACHED_PORT,
                ready=answers_memcached,
                memory_mb=2 * MEMCACHED_MB,
                hidden=plan.proxied,
            )
            for name in plan.caches
        ),
        # The network lists the nodes itself: it may replace some.
        *([] if plan.proxied else [_discovery(plan, images)]),
    ]


def _discovery(plan: StackPlan, images: StackImages) -> ContainerService:
    nodes = [text for name in plan.caches for text in ("--node", f"{name}:{MEMCACHED_PORT}")]
    return ContainerService(
        name="discovery",
        image=images.services,
        command=("python3", "-m", "harness.network", "--listen", f"0.0.0.0:{DISCOVERY_PORT}", *nodes),
        port=DISCOVERY_PORT,
        ready=answers_memcached,
        memory_mb=128,
    )


def _memcached(*, ends_when_told: bool) -> str:
    more = _ENDS_WHEN_TOLD if ends_when_told else ""
    return _RESTARTED_MEMCACHED.format(mb=MEMCACHED_MB, connections=MEMCACHED_CONNECTIONS, more=more)


def _s3(plan: StackPlan, image: str) -> ContainerService:
    return ContainerService(
        name="s3",
        image=image,
        command=(),
        port=S3_PORT,
        # LocalStack keeps running if a start-up script fails, so check that the guard refuses a call without the key.
        ready=lambda port: (
            answers_http(port, "/_localstack/health", own_key(plan.secret))
            and not answers_http(port, "/_localstack/health")
        ),
        memory_mb=4096,
        environment={
            "GATEWAY_LISTEN": f"0.0.0.0:{S3_PORT}",
            **localstack.SETTINGS,
            **_guarded(plan.secret, "s3"),
        },
        options=_s3_options(plan.directory),
        hidden=plan.proxied,
    )


def _registry(plan: StackPlan, image: str) -> ContainerService:
    return ContainerService(
        name="registry",
        image=image,
        command=(),
        port=REGISTRY_PORT,
        ready=lambda port: answers_http(port, "/v2/"),
        memory_mb=512,
        options={"mounts": [_own_volume("/var/lib/registry", plan.directory)]},
    )


def _aws(plan: StackPlan, images: StackImages) -> ContainerService:
    return ContainerService(
        name="aws",
        image=images.services,
        command=("python3", "-m", "harness.emulation.moto_server", str(AWS_PORT), "0.0.0.0"),  # noqa: S104 - inside
        port=AWS_PORT,
        ready=lambda port: answers_http(port, HEALTH),
        memory_mb=2048,
        options=_disk_for_objects(plan.directory) if plan.s3 == "moto" else {},
        # Host names work here: the server resolves them on use, when all services are up.
        environment={
            CACHE_ENDPOINT: f"discovery:{DISCOVERY_PORT}",
            GATEWAY: f"http://gateway:{GATEWAY_PORT}",
            **_guarded(plan.secret, "aws"),
            **({EVERY_SERVICE: "1"} if plan.every_service else {}),
            **({REGISTRY: f"http://registry:{REGISTRY_PORT}"} if images.registry else {}),
        },
    )


def network_service(images: StackImages, plan: StackPlan, caches: Sequence[str], s3: str) -> ContainerService:
    """Return the network between functions and Memcached and S3: it injects faults, emulates a network, or both.

    Args:
        images: The stack's images.
        plan: The stack's plan.
        caches: The addresses of the real Memcacheds.
        s3: The URL of the real S3.
    """
    everywhere = "0.0.0.0"  # noqa: S104 - inside
    flags = [
        ("--control", f"{everywhere}:{NETWORK_PORT}"),
        ("--discovery", f"{everywhere}:{DISCOVERY_PORT}"),
        ("--s3", f"{everywhere}:{S3_PORT}"),
        ("--real-s3", s3),
        ("--gateway", f"http://gateway:{GATEWAY_PORT}"),
    ]
    for index, (name, cache) in enumerate(zip(plan.caches, caches, strict=True)):
        front, behind = (FRONT_PORTS + index, BEHIND_PORTS + index) if index else (MEMCACHED_PORT, BEHIND_NETWORK_PORT)
        flags += [("--memcached", f"{everywhere}:{front}"), ("--cache", cache), ("--listed", name)]
        if plan.faults:
            faulty = f"{LOOPBACK}:{behind}" if plan.network else f"{everywhere}:{front}"
            flags.append(("--faulty-memcached", faulty))
    return ContainerService(
        name="network",
        image=images.services,
        command=("python3", "-m", "harness.network.faults", *(part for flag in flags for part in flag)),
        port=NETWORK_PORT,
        ready=lambda port: answers_http(port, HEALTH),
        memory_mb=512,
        environment={**_guarded(plan.secret, "network"), **network_variables(plan.network)},
        stands_for=("discovery", *plan.caches, *(["s3"] if images.localstack else [])),
        more_ports={"discovery": DISCOVERY_PORT},
    )


def gateway_service(
    images: StackImages,
    plan: StackPlan,
    inside: Endpoints,
    network: str,
    labels: dict[str, str],
    registry: str,
) -> ContainerService:
    """Return the Lambda service, which starts the functions' containers through the engine's socket.

    Args:
        images: The stack's images.
        plan: The stack's plan, with the gateway's settings and the secret.
        inside: The addresses of the other services, as seen by functions.
        network: The functions' network.
        labels: The labels of the functions' containers.
        registry: The address from which the engine pulls ECR images; empty in a stack without a registry.
    """
    socket, settings = str(images.socket), plan.gateway
    flags = {
        "--host": "0.0.0.0",  # noqa: S104 - inside
        "--port": GATEWAY_PORT,
        # The host name on the functions' network; the gateway is also on other networks.
        "--endpoint": f"http://gateway:{GATEWAY_PORT}",
        "--directory": "/tmp/gateway",  # noqa: S108 - the container's own
        "--s3-endpoint": inside.s3,
        "--aws-endpoint": inside.aws,
        "--network": network,
        "--cgroups": "/host/cgroup",
        "--account-concurrency": settings.account_concurrency,
        "--retry-time-scale": settings.retry_time_scale,
        "--idle-timeout-s": settings.idle_timeout_s,
        "--routing-seed": settings.routing_seed,
        "--state-delay-s": settings.state_delay_s,
        "--zones": settings.zones,
        # A folder of the engine's machine, which functions get.
        "--debugpy": plan.debugpy,
    }
    if registry:
        flags["--registry"] = registry
    arguments = [str(part) for flag in flags.items() for part in flag]
    arguments += [part for label in labels.items() for part in ("--label", "=".join(label))]
    return ContainerService(
        name="gateway",
        image=images.services,
        command=("python3", "-m", "harness.gateway", *arguments),
        port=GATEWAY_PORT,
        ready=lambda port: answers_http(port, HEALTH),
        memory_mb=1024,
        environment={
            "DOCKER_HOST": "unix:///var/run/docker.sock",
            **_guarded(plan.secret, "gateway"),
            **network_variables(plan.network),
        },
        options={
            "mounts": [
                Mount("/var/run/docker.sock", socket, type="bind"),
                # The kernel reports a function's memory use at once; the engine takes a second.
                Mount("/host/cgroup", "/sys/fs/cgroup", type="bind", read_only=True),
            ],
            # The gateway does not run as root; the socket's group gives it access.
            "group_add": [images.socket.stat().st_gid],
        },
    )


def _guarded(secret: str, name: str) -> dict[str, str]:
    """Return the variables that the guard of a service needs to verify callers."""
    return {SECRET_VARIABLE: secret, NAMES_VARIABLE: name}


def _s3_options(directory: Path) -> dict[str, Any]:
    # The published image stores objects below /tmp, ours in its own folder.
    options = _disk_for_objects(directory, "/var/lib/localstack")
    # Our image contains the guard; the published image runs our script before it opens its port.
    guard = {GUARD_IN_LOCALSTACK: CODE / "harness" / "guard.py", START_SCRIPT: localstack.START_SCRIPT}
    options["mounts"] += [Mount(inside, str(path), type="bind", read_only=True) for inside, path in guard.items()]
    return options


def _disk_for_objects(directory: Path, *folders: str) -> dict[str, Any]:
    """Return options that put S3's objects on volumes, /tmp included, because they may exceed the memory."""
    mounts = [_own_volume(folder, directory) for folder in (*folders, "/tmp")]  # noqa: S108 - the container's own
    return {"mounts": mounts, "tmpfs": {}}


def _own_volume(path: str, directory: Path) -> Mount:
    return Mount(path, None, type="volume", labels={STACK_LABEL: str(directory)})
