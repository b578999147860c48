"""A sandbox in container mode: the function's image with RIE inside, in a container as restricted as Lambda's own.

    gateway --HTTP--> container port 8080: aws-lambda-rie --runtime API--> the image's runtime (the handler's process)

The container gets what Lambda grants and no more: memory, a share of the CPUs, and /tmp.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from docker.types import Mount, Ulimit

from harness.errors import HarnessError
from harness.gateway.cgroup import memory_group
from harness.gateway.debug_records import Debugger
from harness.gateway.debugged_container import DEBUGGER_MB, debug_options, relay_address, start_relay
from harness.gateway.errors import invalid_parameter
from harness.gateway.image_layers import bytes_above_base
from harness.gateway.logs.container_output import Output
from harness.gateway.records import Function, Image, Package
from harness.gateway.requests import FunctionCode, ImageConfig
from harness.gateway.runtime.bootstrap import METADATA
from harness.gateway.sandbox import (
    READY_POLL_S,
    READY_WITHIN_S,
    StackAccess,
    exit_reason_in,
    lambda_variables,
    metadata_variable,
)
from harness.system.engine import architecture_of, engine_architecture, find_image, translated

logger = logging.getLogger(__name__)

RIE_PORT = 8080
# A label of images whose runtime takes the invoked ARN and a trace from the gateway, and the variable that asks for it.
TAKES_CALLS, ASKED = "lambda-harness.takes-calls", "_HARNESS_CALLS"
# Lambda's own user and group, whatever the image says.
USER = "993:990"
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MEMORY_PER_CPU_MB = 1769
MOST_PROCESSES = 1024
LIMITS = {"nofile": 1024, "memlock": 65_536}
# A process is the child of the thread that started it.
_SIGNAL = "kill -{number} $(cat /proc/1/task/*/children)"
# The engine takes some hundred milliseconds for each call; more at once would only wait for one another.
CALLS_AT_ONCE = 8

# https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/")
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Containers:
    """Starts the containers of a stack's functions.

    Attributes:
        client: The engine.
        network: The only network of the containers.
        labels: The labels by which a clean-up finds the containers.
        access: The addresses and the secret of the stack.
        cpus: The engine's number of processors, which limits every container.
        cgroups: Mount point of the control groups of the engine's machine.
        registry: `host:port` of the registry that emulates ECR for the engine; None if there is none.
        debugpy: debugpy's folder on the engine's machine.
        measures_images: Whether starts depend on the sizes of images.
    """

    client: docker.DockerClient
    network: str
    labels: dict[str, str]
    access: StackAccess
    cpus: int
    cgroups: Path
    registry: str | None = None
    debugpy: Path | None = None
    measures_images: bool = False
    calls: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(CALLS_AT_ONCE))

    def package(
        self, name: str, code: FunctionCode, config: ImageConfig, architecture: str, fetched: bytes | None = None
    ) -> Package:
        """Return the image that a function is created from.

        Raises:
            LambdaApiError: The image does not exist, or is for another architecture.
        """
        del name, fetched
        if code.image_uri is None:
            raise invalid_parameter("A stack of containers runs images, not deployment packages: give Code.ImageUri.")
        reference = self._engine_reference(code.image_uri)
        image = find_image(self.client, reference) or self._pull(reference, code.image_uri)
        found = _ARCHITECTURES.get(architecture_of(image), architecture_of(image))
        here = _ARCHITECTURES[engine_architecture(self.client)]
        if found not in (architecture, here) or architecture != here:
            raise invalid_parameter(
                f"The image {code.image_uri} is for {found}, the function is for {architecture}, "
                f"and this machine runs {here}."
            )
        identity = str(image.id)
        resolved = _resolved(code.image_uri, reference, image.attrs.get("RepoDigests") or [], identity)
        overrides = tuple(config.entry_point), tuple(config.command), config.working_directory
        return Package(
            image=Image(
                code.image_uri,
                identity,
                resolved,
                *overrides,
                takes_calls=TAKES_CALLS in image.labels,
                own_bytes=bytes_above_base(self.client, image) if self.measures_images else 0,
            ),
            sha256=resolved.rpartition("sha256:")[2],
            size=image.attrs["Size"],
        )

    def _engine_reference(self, uri: str) -> str:
        """Return the engine's reference of an image: the stack's registry stands in for ECR."""
        ecr = _ECR.match(uri)
        return f"{self.registry}/{uri[ecr.end() :]}" if ecr and self.registry else uri

    def _pull(self, reference: str, uri: str) -> Any:  # noqa: ANN401 - docker-py's image
        try:
            with translated(f"image {reference} cannot be pulled"):
                return self.client.images.pull(reference)
        except HarnessError as error:
            raise invalid_parameter(f"Source image {uri} does not exist. Provide a valid source image.") from error

    async def start(self, function: Function, stream: str) -> "ContainerSandbox":
        """Start a container and wait until RIE listens; the first invocation loads the handler.

        Raises:
            OSError: The container cannot be started, or ended at once; the error contains its last output.
            TimeoutError: RIE did not listen in time.
        """
        container = await self.call(lambda: self._create(function, stream))
        output = Output()
        try:
            address = await self.call(lambda: self._start(container, output))
            sandbox = ContainerSandbox(self, container, output, address, function)
            await _wait_until_listening(sandbox, function.name)
            if function.debugger is not None:
                sandbox.relay = await self._relay(function.debugger, address)
        except BaseException:
            await asyncio.shield(self.call(lambda: _remove(container)))
            raise
        return sandbox

    async def _relay(self, debugger: Debugger, address: str) -> Container:
        """Start a relay to a debugger, and wait until it listens.

        Raises:
            OSError: The port on the loopback interface is taken, or the relay cannot be started.
            TimeoutError: It did not listen in time.
        """
        host = address.partition(":")[0]
        relay = await self.call(lambda: start_relay(self.client, self.network, self.labels, debugger, host))
        deadline = time.monotonic() + READY_WITHIN_S
        while not await _listens(relay_address(relay, self.network)):
            if time.monotonic() > deadline:
                await asyncio.shield(self.call(lambda: _remove(relay)))
                raise TimeoutError(f"the debugger's relay did not listen within {READY_WITHIN_S:.0f} s")
            await asyncio.sleep(READY_POLL_S)
        return relay

    async def call(self, function: Callable[[], Result]) -> Result:
        """Run a call of the engine's blocking client in a thread.

        Raises:
            OSError: The engine refused the call or cannot be reached.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self.calls, function)
        except DockerException as error:
            raise OSError(str(error)) from error

    def _create(self, function: Function, stream: str) -> Container:
        assert function.image is not None  # noqa: S101 - `package` requires an image
        debugger, environment = function.debugger, lambda_variables(function, stream, self.access)
        if function.image.takes_calls:
            environment[ASKED] = "1"
            environment[METADATA] = metadata_variable(environment)
        mounts: list[Mount] = []
        if debugger is not None:
            variables, mounts = debug_options(debugger, self.debugpy, self.client.images.get(function.image.identity))
            environment |= variables
        memory = f"{function.memory_mb + (DEBUGGER_MB if debugger else 0)}m"
        return self.client.containers.create(
            function.image.identity,
            command=list(function.image.command) or None,
            entrypoint=list(function.image.entry_point) or None,
            working_dir=function.image.working_directory or None,
            environment={**environment, "LOG_LEVEL": "error"},
            mounts=mounts,
            labels=self.labels,
            network=self.network,
            user=USER,
            mem_limit=memory,
            memswap_limit=memory,
            nano_cpus=int(1e9 * min(function.memory_mb / MEMORY_PER_CPU_MB, self.cpus)),
            pids_limit=MOST_PROCESSES,
            ulimits=[Ulimit(name=name, soft=most, hard=most) for name, most in LIMITS.items()],
            read_only=True,
            tmpfs={"/tmp": f"size={function.ephemeral_storage_mb}m,mode=1777,exec"},  # noqa: S108 - the container's own
            # Without an IPC namespace to share there is no /dev/shm, as on Lambda.
            ipc_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            # The gateway reads the output itself.
            log_config={"type": "none"},
        )

    def _start(self, container: Container, output: Output) -> str:
        """Start the container after attaching to its output, and return RIE's address."""
        output.read(container.attach(stdout=True, stderr=True, stream=True, logs=False))
        container.start()
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"]
        return f"{address}:{RIE_PORT}"


@dataclass
class ContainerSandbox:
    """A container; see `Sandbox`."""

    containers: Containers
    container: Container
    lines: Output
    address: str
    function: Function
    shares_output: bool = True
    managed: bool = False
    relay: Container | None = None

    @property
    def alive(self) -> bool:
        """Return whether the container still runs."""
        return not self.lines.ended

    @property
    def pids(self) -> tuple[int, ...]:
        """Return nothing: the container's processes have a namespace of their own."""
        return ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the container's address on the functions' network."""
        return (self.address.rpartition(":")[0],)

    def headers(self, arn: str = "", trace: str = "", deadline: float = 0) -> dict[str, str]:
        """Return the header that RIE forwards, for an image that takes it; others see only what RIE knows itself."""
        del deadline
        takes = self.function.image is not None and self.function.image.takes_calls
        return {"X-Amz-Tenant-Id": f"{arn} {trace}"} if arn and takes else {}

    def initialising_headers(self) -> dict[str, str]:
        """Return no headers."""
        return {}

    def read_output(self, take: Callable[[bytes], bool]) -> None:
        """Start to deliver the container's output."""
        self.lines.start(take)

    def resume_output(self) -> None:
        """Continue to deliver output, because there is room again."""
        self.lines.resume()

    def drain_output(self) -> None:
        """Deliver the output that has arrived, and the next even without room, because RIE's END may follow it."""
        self.lines.drain()

    async def max_memory_mb(self) -> int:
        """Return the peak memory of the container, /tmp included; its memory size if memory ran out."""
        return await self.containers.call(self._max_memory_mb)

    def _max_memory_mb(self) -> int:
        group = memory_group(str(self.container.id), self.containers.cgroups)
        if group is not None:
            # If memory ran out, the runtime was killed, and the group no longer shows all that it used.
            return self.function.memory_mb if group.kills() else min(group.peak_mb(), self.function.memory_mb)
        try:
            stats = self.containers.client.api.stats(self.container.id, stream=False, one_shot=True)["memory_stats"]
        except (DockerException, KeyError):
            return 0
        # Use the current usage if the engine does not know the peak.
        return min(int(stats.get("max_usage", stats.get("usage", 0)) / 2**20), self.function.memory_mb)

    async def signal(self, number: Signals) -> None:
        """Send a signal to the runtime, RIE's only child, by a shell in the container."""
        await self.containers.call(lambda: self._signal(number))

    def _signal(self, number: Signals) -> None:
        command = _SIGNAL.format(number=int(number))
        with contextlib.suppress(NotFound):
            # The engine refuses a container that has just ended.
            status, output = self.container.exec_run(["sh", "-c", command], user=USER)
            logger.info("signal %s: %s %s", number.name, status, output.decode(errors="replace").strip())

    def exit_reason(self) -> str:
        """Return how the runtime ended, which RIE prints last, after the function's output."""
        return exit_reason_in(self.lines.last_words)

    def freeze(self) -> None:
        """Do nothing: `docker pause` takes tens of milliseconds, and the gateway cannot write to control groups."""

    thaw = freeze

    async def kill(self) -> None:
        """Kill every process of the container."""
        await self.containers.call(lambda: _kill(self.container))

    async def stop(self) -> None:
        """Remove the container, and the debugger's relay."""
        if (relay := self.relay) is not None:
            await self.containers.call(lambda: _remove(relay))
        await self.containers.call(lambda: _remove(self.container))
        self.lines.drain()


def _resolved(uri: str, reference: str, digests: list[str], identity: str) -> str:
    """Return the image by its digest in the registry that it came from, or otherwise by the engine's own digest.

    Args:
        uri: The URI that the function was created with.
        reference: The engine's reference of the same image.
        digests: The image's names by digest, in all registries that the engine knows of.
        identity: The engine's digest.
    """
    repository = docker.utils.parse_repository_tag(reference)[0]
    for digest in digests:
        if digest.startswith(f"{repository}@"):
            return f"{docker.utils.parse_repository_tag(uri)[0]}@{digest.partition('@')[2]}"
    return identity


async def _wait_until_listening(sandbox: ContainerSandbox, name: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not await _listens(sandbox.address):
        if not sandbox.alive:
            raise OSError(f"the container of {name} ended at once: {sandbox.lines.last_words.strip()[-500:]}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"RIE for {name} did not listen within {READY_WITHIN_S:.0f} s")
        await asyncio.sleep(READY_POLL_S)


async def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


def _kill(container: Container) -> None:
    try:
        container.kill()
    except APIError:
        return  # it has ended


def _remove(container: Container) -> None:
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return  # a clean-up was faster
