"""A stack of containers on two networks of its own.

    functions   internal, without an address on this machine: functions reach only the services,
                as in an AWS VPC without a NAT gateway
    published   the services only, for their published ports on this machine's loopback interface

Everything that belongs to a stack, including the functions' containers that the gateway starts, carries a label
with the stack's folder, by which clean-up finds it.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import msgspec
from docker.models.containers import Container
from docker.types import Mount

from harness.emulation.environment import CACHE_ENDPOINT, REGISTRY
from harness.errors import HarnessError
from harness.guard import HEALTH, NAMES_VARIABLE, SECRET_VARIABLE, own_key
from harness.stack import localstack
from harness.stack.children import StopRequestedError
from harness.stack.folders import owner_of
from harness.stack.parts import Started
from harness.stack.plan import Images, StackPlan, endpoints
from harness.stack.reply import READY_TIMEOUT_S, TELL_EVERY_S, WAITING
from harness.stack.state import Endpoints, StackState
from harness.system.clone import PROJECT
from harness.system.engine import EngineUnavailable, connect, translated
from harness.system.ports import LOOPBACK
from harness.system.probes import FIRST_DELAY_S, answers_http, answers_memcached, next_delay, wait_until
from harness.system.process_life import is_alive
from harness.system.signals import SignalInbox

logger = logging.getLogger(__name__)

PROJECT_LABEL = "lambda-harness.project"
STACK_LABEL = "lambda-harness.stack"
NAME_LABEL = "lambda-harness.service"

S3_PORT, AWS_PORT, GATEWAY_PORT, MEMCACHED_PORT, DISCOVERY_PORT = 4566, 5000, 9001, 11_211, 11_212
REGISTRY_PORT = 5000
# LocalStack's folder for start-up scripts: https://docs.localstack.cloud/aws/capabilities/config/initialization-hooks/
START_SCRIPT = "/etc/localstack/init/start.d/guard.py"
GUARD_IN_LOCALSTACK = "/opt/lambda-harness/guard.py"
MEMCACHED_MB, MEMCACHED_CONNECTIONS = 256, 4096
# If memcached dies, the loop restarts it empty at the same address, as ElastiCache replaces a node. A restarted
# container would get a new address and a new published port.
_RESTARTED_MEMCACHED = (
    f"while :; do memcached -m {MEMCACHED_MB} -c {MEMCACHED_CONNECTIONS} -U 0; "
    'echo "memcached ended with status $?; starting it again" >&2; sleep 0.2; done'
)
REMOVED_WITHIN_S = 30.0
_LAST_LINES = 3


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
    """

    name: str
    image: str
    command: tuple[str, ...]
    port: int
    ready: Callable[[int], bool]
    memory_mb: int
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


class ContainerStack:
    """Implement `Parts` with containers."""

    def __init__(self, plan: StackPlan, images: Images) -> None:
        self._plan, self._images = plan, images
        self._client = connect()
        self._labels = {PROJECT_LABEL: str(plan.root), STACK_LABEL: str(plan.directory)}
        mark = plan.directory.name.removeprefix("s-").replace("_", "-")
        self._functions, self._published = f"lambda-harness-{mark}-functions", f"lambda-harness-{mark}-published"

    def start(self, inbox: SignalInbox) -> Started:
        """Start all services; the gateway comes last, because its command line holds the others' addresses."""
        started = told = time.monotonic()
        self._make_networks()
        services = backing_services(self._plan, self._images)
        with ThreadPoolExecutor(len(services)) as pool:
            containers = dict(zip([s.name for s in services], pool.map(self._start, services), strict=True))
        inside = self._inside(containers)
        registry = f"{LOOPBACK}:{_published_port(containers['registry'])}" if "registry" in containers else ""
        gateway = gateway_service(self._images, self._plan, inside, self._functions, self._labels, registry)
        containers[gateway.name] = self._start(gateway)
        ports = {name: _published_port(container) for name, container in containers.items()}
        seconds: dict[str, float] = {}
        waiting = {service.name: service for service in [*services, gateway]}
        delay_s = FIRST_DELAY_S
        while waiting:
            for name, service in list(waiting.items()):
                if service.ready(ports[name]):
                    seconds[name] = round(time.monotonic() - started, 3)
                    del waiting[name]
                else:
                    self._check_alive(containers[name], name)
            if inbox.stop_requested:
                raise StopRequestedError
            if waiting and time.monotonic() - told >= TELL_EVERY_S:
                told = time.monotonic()
                logger.info("%s%s to answer, after %.0f s", WAITING, ", ".join(waiting), told - started)
            if waiting and time.monotonic() - started > READY_TIMEOUT_S:
                names = ", ".join(waiting)
                quote = _last_lines(containers[next(iter(waiting))])
                raise HarnessError(f"{names}: no answer within {READY_TIMEOUT_S:g} s", quote)
            if waiting:
                inbox.wait(delay_s)
                delay_s = next_delay(delay_s)
        inside = self._with_gateway(inside, containers["gateway"])
        ids = {name: str(container.id) for name, container in containers.items()}
        where = endpoints(self._plan, ports)
        return Started(where, inside, seconds, containers=ids, network=self._functions)

    def processes(self) -> dict[str, int]:
        """Return an empty dictionary: the parts are containers."""
        return {}

    def tidy(self) -> float | None:
        """Do nothing: the engine manages the containers."""
        return None

    def stop(self) -> None:
        """Remove everything that carries this stack's label."""
        remove_stack(self._client, self._plan.directory)

    def _make_networks(self) -> None:
        with translated("the stack's networks cannot be created"):
            self._client.networks.create(
                self._functions,
                internal=True,
                # Without an address on this machine, functions cannot reach even servers on all interfaces.
                options={"com.docker.network.bridge.inhibit_ipv4": "true"},
                labels=self._labels,
            )
            self._client.networks.create(self._published, labels=self._labels)

    def _start(self, service: ContainerService) -> Container:
        fixed = self._plan.fixed_ports.get(service.name, 0)
        with translated(f"{service.name} cannot be started"):
            container = self._client.containers.create(
                service.image,
                command=list(service.command) or None,
                environment=service.environment,
                labels={**self._labels, NAME_LABEL: service.name},
                network=self._published,
                ports={f"{service.port}/tcp": (LOOPBACK, fixed or None)},
                mem_limit=f"{service.memory_mb}m",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                **{"tmpfs": {"/tmp": "size=256m,mode=1777"}, **service.options},  # noqa: S108 - the container's own
            )
            self._client.networks.get(self._functions).connect(container, aliases=[service.name])
            try:
                container.start()
            except docker.errors.APIError as error:
                raise _start_error(service, fixed, error) from error
            container.reload()
        return container

    def _inside(self, containers: dict[str, Container]) -> Endpoints:
        """Return the backing services' addresses on the functions' network, without the gateway, which starts later."""
        address = {name: self._address(container) for name, container in containers.items()}
        aws = f"http://{address['aws']}:{AWS_PORT}"
        return Endpoints(
            access_key=own_key(self._plan.secret),
            s3=f"http://{address['s3']}:{S3_PORT}" if "s3" in address else aws,
            aws=aws,
            lambda_="",
            memcached=f"{address['memcached']}:{MEMCACHED_PORT}",
            discovery=f"{address['discovery']}:{DISCOVERY_PORT}",
        )

    def _with_gateway(self, inside: Endpoints, gateway: Container) -> Endpoints:
        lambda_ = f"http://{self._address(gateway)}:{GATEWAY_PORT}"
        return msgspec.structs.replace(inside, lambda_=lambda_)

    def _address(self, container: Container) -> str:
        return str(container.attrs["NetworkSettings"]["Networks"][self._functions]["IPAddress"])

    def _check_alive(self, container: Container, name: str) -> None:
        with translated(f"{name} is gone"):
            container.reload()
        if container.status not in ("created", "running"):
            raise HarnessError(f"{name} ended while it was starting ({container.status})", _last_lines(container))


def backing_services(plan: StackPlan, images: Images) -> list[ContainerService]:
    """Return all services except the gateway, the slowest first."""
    s3 = ContainerService(
        name="s3",
        image=images.localstack or "",
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
    )
    registry = ContainerService(
        name="registry",
        image=images.registry or "",
        command=(),
        port=REGISTRY_PORT,
        ready=lambda port: answers_http(port, "/v2/"),
        memory_mb=512,
        options={"mounts": [_own_volume("/var/lib/registry", plan.directory)]},
    )
    return [
        *([s3] if images.localstack else []),
        *([registry] if images.registry else []),
        ContainerService(
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
                **_guarded(plan.secret, "aws"),
                **({REGISTRY: f"http://registry:{REGISTRY_PORT}"} if images.registry else {}),
            },
        ),
        ContainerService(
            name="memcached",
            image=images.memcached,
            command=("sh", "-c", _RESTARTED_MEMCACHED),
            port=MEMCACHED_PORT,
            ready=answers_memcached,
            memory_mb=2 * MEMCACHED_MB,
        ),
        ContainerService(
            name="discovery",
            image=images.services,
            command=(
                *("python3", "-m", "harness.network", "--listen", f"0.0.0.0:{DISCOVERY_PORT}"),
                *("--node", f"memcached:{MEMCACHED_PORT}"),
            ),
            port=DISCOVERY_PORT,
            ready=answers_memcached,
            memory_mb=128,
        ),
    ]


def _guarded(secret: str, name: str) -> dict[str, str]:
    """Return the variables that the guard of a service needs to verify callers."""
    return {SECRET_VARIABLE: secret, NAMES_VARIABLE: name}


def _s3_options(directory: Path) -> dict[str, Any]:
    # The published image stores objects below /tmp, ours in its own folder.
    options = _disk_for_objects(directory, "/var/lib/localstack")
    # Our image contains the guard; the published image runs our script before it opens its port.
    guard = {GUARD_IN_LOCALSTACK: PROJECT / "harness" / "guard.py", START_SCRIPT: localstack.START_SCRIPT}
    options["mounts"] += [Mount(inside, str(path), type="bind", read_only=True) for inside, path in guard.items()]
    return options


def _disk_for_objects(directory: Path, *folders: str) -> dict[str, Any]:
    """Return options that put S3's objects on volumes, /tmp included, because they may exceed the memory."""
    mounts = [_own_volume(folder, directory) for folder in (*folders, "/tmp")]  # noqa: S108 - the container's own
    return {"mounts": mounts, "tmpfs": {}}


def _own_volume(path: str, directory: Path) -> Mount:
    return Mount(path, None, type="volume", labels={STACK_LABEL: str(directory)})


def gateway_service(
    images: Images,
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
        environment={"DOCKER_HOST": "unix:///var/run/docker.sock", **_guarded(plan.secret, "gateway")},
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


def remove_stack(client: docker.DockerClient, directory: Path) -> None:
    """Remove the containers, networks and volumes of the stack in that folder.

    Raises:
        HarnessError: Some of them could not be removed.
    """
    _remove(client, f"{STACK_LABEL}={directory}")


def remove_stacks_of_the_dead(root: Path) -> None:
    """Remove the leftovers of this project's stacks whose owner was killed; do nothing without an engine."""
    try:
        client = connect()
    except EngineUnavailable:
        return
    with translated("the stacks' containers cannot be listed"):
        ours = {"all": True, "filters": {"label": f"{PROJECT_LABEL}={root}"}}
        found = [*client.containers.list(ignore_removed=True, **ours), *client.networks.list(filters=ours["filters"])]
    folders = {Path(_labels_of(thing)[STACK_LABEL]) for thing in found}
    for folder in folders:
        owner = owner_of(folder)
        if owner is None or not is_alive(owner):
            logger.info("removing the containers of a killed stack, %s", folder)
            remove_stack(client, folder)


def dead_containers(state: StackState) -> list[str]:
    """Return the names of the stack's containers that have ended."""
    client = connect()
    with translated("the stack's containers cannot be listed"):
        label = f"{STACK_LABEL}={state.directory}"
        running = {container.id for container in client.containers.list(filters={"label": label})}
    return [name for name, id_ in state.containers.items() if id_ not in running]


def _remove(client: docker.DockerClient, label: str) -> None:
    filters = {"label": label}

    def none_is_left() -> bool:
        # The gateway may start another container before it is removed, so one pass may not find all.
        containers = client.containers.list(all=True, filters=filters, ignore_removed=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(_remove_container, containers))
        return not containers

    with translated("the stack's containers cannot be removed"):
        if not wait_until(none_is_left, REMOVED_WITHIN_S):
            raise HarnessError(f"containers with the label {label} are still there after {REMOVED_WITHIN_S:g} s")
        for network in client.networks.list(filters=filters):
            with _ignoring_absence():
                network.remove()
        for volume in client.volumes.list(filters=filters):
            with _ignoring_absence():
                volume.remove(force=True)


def _remove_container(container: Container) -> None:
    with _ignoring_absence():
        container.remove(force=True, v=True)


@contextmanager
def _ignoring_absence() -> Iterator[None]:
    """Ignore that a resource is already gone, because another process may clean up at the same time."""
    try:
        yield
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if "already in progress" not in str(error):
            raise


def _labels_of(thing: Any) -> dict[str, str]:  # noqa: ANN401 - docker-py's containers and networks
    labels: dict[str, str] = thing.attrs.get("Labels") or thing.labels
    return labels


def _published_port(container: Container) -> int:
    ((binding, *_),) = (bindings for bindings in container.ports.values() if bindings)
    return int(binding["HostPort"])


def _start_error(service: ContainerService, fixed: int, error: docker.errors.APIError) -> HarnessError:
    cause = str(error.explanation or error)
    if "port is already allocated" in cause or "address already in use" in cause:
        return HarnessError(
            f"port {fixed}, set for {service.name}, is taken",
            f"{LOOPBACK}:{fixed}; [stack.ports] in harness.toml",
            f"stop what listens there, or set {service.name} to another port, or to 0 for a free one",
        )
    return HarnessError(f"{service.name} cannot be started", cause[-300:])


def _last_lines(container: Container) -> str:
    lines: Iterable[str] = container.logs(tail=20).decode(errors="replace").splitlines()
    return " | ".join([line.strip() for line in lines if line.strip()][-_LAST_LINES:])[-400:] or "it printed nothing"
