"""A stack of containers on two networks of its own.

functions   internal, without an address on this machine: functions reach only the services,
            as in an AWS VPC without a NAT gateway
published   the services only, for their published ports on this machine's loopback interface

Where a network is emulated or faults are injected, Memcached and S3 are in `published` alone: functions reach them
through the container `network`, which has their names.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import docker
import msgspec
from docker.models.containers import Container

from harness.errors import HarnessError
from harness.guard import own_key
from harness.stack.children import StopRequestedError
from harness.stack.container_labels import NAME_LABEL, PROJECT_LABEL, STACK_LABEL, remove_stack
from harness.stack.container_services import (
    AWS_PORT,
    DISCOVERY_PORT,
    GATEWAY_PORT,
    MEMCACHED_PORT,
    REGISTRY_PORT,
    S3_PORT,
    ContainerService,
    backing_services,
    gateway_service,
    network_service,
)
from harness.stack.parts import Started
from harness.stack.plan import StackImages, StackPlan, endpoints
from harness.stack.reply import READY_TIMEOUT_S, TELL_EVERY_S, WAITING
from harness.stack.state import Endpoints
from harness.system.engine import connect, translated
from harness.system.ports import LOOPBACK, TAKEN_REMEDY
from harness.system.probes import FIRST_DELAY_S, next_delay
from harness.system.signals import SignalInbox

logger = logging.getLogger(__name__)

_LAST_LINES = 3


class ContainerStack:
    """Implement `Parts` with containers."""

    def __init__(self, plan: StackPlan, images: StackImages) -> None:
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
        if self._plan.proxied:
            network = self._network(containers)
            containers[network.name] = self._start(network)
            services.append(network)
        inside = self._inside(containers)
        registry = (
            f"{LOOPBACK}:{_published_port(containers['registry'], REGISTRY_PORT)}" if "registry" in containers else ""
        )
        gateway = gateway_service(self._images, self._plan, inside, self._functions, self._labels, registry)
        containers[gateway.name] = self._start(gateway)
        services.append(gateway)
        ports = {
            name: _published_port(containers[service.name], port)
            for service in services
            for name, port in service.ports.items()
        }
        seconds: dict[str, float] = {}
        waiting = {service.name: service for service in services}
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
        fixed = {name: self._plan.fixed_ports.get(name, 0) for name in service.ports}
        with translated(f"{service.name} cannot be started"):
            container = self._client.containers.create(
                service.image,
                command=list(service.command) or None,
                environment=service.environment,
                labels={**self._labels, NAME_LABEL: service.name},
                network=self._published,
                ports={f"{port}/tcp": (LOOPBACK, fixed[name] or None) for name, port in service.ports.items()},
                mem_limit=f"{service.memory_mb}m",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                **{"tmpfs": {"/tmp": "size=256m,mode=1777"}, **service.options},  # noqa: S108 - the container's own
            )
            if not service.hidden:
                functions = self._client.networks.get(self._functions)
                functions.connect(container, aliases=[service.name, *service.stands_for])
            try:
                container.start()
            except docker.errors.APIError as error:
                raise _start_error(service, fixed, error) from error
            container.reload()
        return container

    def _network(self, containers: dict[str, Container]) -> ContainerService:
        behind = {name: _address(container, self._published) for name, container in containers.items()}
        s3 = f"http://{behind['s3']}:{S3_PORT}" if "s3" in behind else f"http://{behind['aws']}:{AWS_PORT}"
        caches = [f"{behind[name]}:{MEMCACHED_PORT}" for name in self._plan.caches]
        return network_service(self._images, self._plan, caches, s3)

    def _inside(self, containers: dict[str, Container]) -> Endpoints:
        """Return the backing services' addresses on the functions' network, without the gateway, which starts later."""
        # The network's container has the ports of the services that it stands for.
        cache, discovery, s3 = ("network",) * 3 if self._plan.proxied else ("memcached", "discovery", "s3")
        address = {
            name: _address(containers[name], self._functions)
            for name in {"aws", discovery, cache, s3} & containers.keys()
        }
        aws = f"http://{address['aws']}:{AWS_PORT}"
        return Endpoints(
            access_key=own_key(self._plan.secret),
            s3=f"http://{address[s3]}:{S3_PORT}" if s3 in address else aws,
            aws=aws,
            lambda_="",
            memcached=f"{address[cache]}:{MEMCACHED_PORT}",
            discovery=f"{address[discovery]}:{DISCOVERY_PORT}",
        )

    def _with_gateway(self, inside: Endpoints, gateway: Container) -> Endpoints:
        lambda_ = f"http://{_address(gateway, self._functions)}:{GATEWAY_PORT}"
        return msgspec.structs.replace(inside, lambda_=lambda_)

    def _check_alive(self, container: Container, name: str) -> None:
        with translated(f"{name} is gone"):
            container.reload()
        if container.status not in ("created", "running"):
            raise HarnessError(f"{name} ended while it was starting ({container.status})", _last_lines(container))


def _address(container: Container, network: str) -> str:
    return str(container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"])


def _published_port(container: Container, port: int) -> int:
    return int(container.ports[f"{port}/tcp"][0]["HostPort"])


def _start_error(service: ContainerService, fixed: dict[str, int], error: docker.errors.APIError) -> HarnessError:
    cause = str(error.explanation or error)
    if "port is already allocated" in cause or "address already in use" in cause:
        # The engine's text ends in the port that it could not bind.
        name = next((name for name, port in fixed.items() if port and str(port) in cause), service.name)
        return HarnessError(
            f"port {fixed[name]}, set for {name}, is taken",
            f"{LOOPBACK}:{fixed[name]}; [stack.ports] in harness.toml",
            TAKEN_REMEDY,
        )
    return HarnessError(f"{service.name} cannot be started", cause[-300:])


def _last_lines(container: Container) -> str:
    lines: list[str] = container.logs(tail=20).decode(errors="replace").splitlines()
    return " | ".join([line.strip() for line in lines if line.strip()][-_LAST_LINES:])[-400:] or "it printed nothing"
