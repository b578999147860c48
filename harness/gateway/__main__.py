"""The gateway's process: `python -m harness.gateway --port P --directory DIR ...`, started by the stack.

With `--rie` and `--cache`, functions run as processes of this machine; with `--network`, as containers in that network.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click
from starlette.applications import Starlette

from harness.gateway import cgroup
from harness.gateway.account import AccountLimits
from harness.gateway.app import create_app
from harness.gateway.credentials import environment_name
from harness.gateway.debugging import Debugging
from harness.gateway.downloads import Downloads
from harness.gateway.environment import Environment, SandboxStarter
from harness.gateway.events.destinations import Destinations
from harness.gateway.experiments import Experiments
from harness.gateway.faults import InvocationFaults
from harness.gateway.feed import Feed, FeedingLog
from harness.gateway.functions import FunctionStore
from harness.gateway.invocations import Invoker
from harness.gateway.isolation.view import Namespaces, Views, permitted
from harness.gateway.layer_store import LayerStore
from harness.gateway.logs.metrics import Metrics
from harness.gateway.logs.service import LogService
from harness.gateway.mappings.queues import Queues
from harness.gateway.mappings.store import Mappings
from harness.gateway.network import VpcNetwork
from harness.gateway.packages import CodeFolders
from harness.gateway.parents import Parents
from harness.gateway.permissions import Permissions
from harness.gateway.pool import Pool
from harness.gateway.provisioned import Provisioned
from harness.gateway.records import Function, Packages
from harness.gateway.rie_process import Processes
from harness.gateway.runtimes import Runtimes
from harness.gateway.s3_objects import S3Objects
from harness.gateway.sandbox import StackAccess
from harness.gateway.scratch import make_scratch, remove_scratch
from harness.gateway.server import serve
from harness.gateway.services import Services
from harness.gateway.starts import EmulatedStarts, start_environment, starts_from_environment
from harness.gateway.zone_losses import ZoneLosses
from harness.gateway.zones import Zones
from harness.guard import SECRET_VARIABLE, guard_from_environment, own_key
from harness.system.process_labels import own_stack_label

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """How functions run: as processes of this machine, or in containers.

    Attributes:
        packages: Imports the code that functions are created from.
        start: Starts a sandbox for an environment.
        ready: Makes the environment of a runtime.
        parents: Pre-imported parents from which environments are forked, if any.
        stack: The label of the stack's processes; None in container mode.
    """

    packages: Packages
    start: SandboxStarter
    ready: Callable[[str], object] = lambda _runtime: None
    parents: Parents | None = None
    stack: int | None = None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, required=True, help="Port to listen on.")
@click.option("--endpoint", help="Value of AWS_ENDPOINT_URL_LAMBDA in functions.  [default: this host and port]")
@click.option(
    "--directory", type=click.Path(path_type=Path), required=True, help="Folder for code and temporary files."
)
@click.option("--s3-endpoint", required=True, help="Value of AWS_ENDPOINT_URL_S3 in functions.")
@click.option("--aws-endpoint", required=True, help="Value of AWS_ENDPOINT_URL in functions; receives the logs.")
@click.option("--functions-use", default="", help="Address of all services in functions, of a proxy before them.")
@click.option("--rie", type=click.Path(path_type=Path, exists=True), help="The RIE binary, for process mode.")
@click.option(
    "--cache", type=click.Path(path_type=Path), help="The user's cache, which holds the runtimes, for process mode."
)
@click.option("--network", help="Docker network of the functions' containers, for container mode.")
@click.option("--registry", metavar="HOST:PORT", help="Registry that serves ECR's images, for container mode.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the containers; repeatable.")
@click.option(
    "--cgroups",
    type=click.Path(path_type=Path),
    default=cgroup.MOUNT,
    show_default=True,
    help="Mount point of the control groups of the engine's machine.",
)
@click.option("--account-concurrency", type=int, default=1000, show_default=True, help="Most concurrent invocations.")
@click.option("--retry-time-scale", type=float, default=1.0, show_default=True, help="Factor on AWS's retry delays.")
@click.option("--idle-timeout-s", type=float, default=600.0, show_default=True, help="Life of idle environments.")
@click.option(
    "--state-delay-s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="How long new functions are Pending, and updates InProgress.",
)
@click.option("--routing-seed", type=int, help="Seed of the choices between an alias's versions.  [default: random]")
@click.option("--zones", type=click.IntRange(1, 5), default=1, show_default=True, help="Zones that functions run in.")
@click.option("--debugpy", type=click.Path(path_type=Path), help="debugpy's folder on the functions' machine, if any.")
@click.option("--fork/--no-fork", default=True, show_default=True, help="Fork environments from pre-imported parents.")
@click.option(
    "--isolate/--no-isolate",
    default=True,
    show_default=True,
    help="Show environments AWS's paths and a /tmp of their own.",
)
def main(  # noqa: PLR0913 - one for each flag
    *,
    host: str,
    port: int,
    endpoint: str | None,
    directory: Path,
    s3_endpoint: str,
    aws_endpoint: str,
    functions_use: str,
    rie: Path | None,
    cache: Path | None,
    network: str | None,
    registry: str | None,
    labels: tuple[str, ...],
    cgroups: Path,
    account_concurrency: int,
    retry_time_scale: float,
    idle_timeout_s: float,
    state_delay_s: float,
    routing_seed: int | None,
    zones: int,
    debugpy: Path | None,
    fork: bool,
    isolate: bool,
) -> None:
    """Serve the Lambda API until a signal stops the process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    own = with_ip_address(endpoint or f"http://{host}:{port}")
    # Functions create files with Lambda's umask, within folders that only the stack's owner may enter.
    os.umask(0o022)
    guard = guard_from_environment("lambda")
    access, starts = _access(own, s3_endpoint, aws_endpoint, functions_use), starts_from_environment()
    code, key = CodeFolders(directory / "functions", cache), own_key(access.secret)
    if network is not None:
        sandboxes = _containers(network, labels, access, cgroups, registry, debugpy, measures_images=starts is not None)
    elif rie is not None and cache is not None:
        views = _views(directory / "views", isolate, (cache, *filter(None, [debugpy])))
        sandboxes = _processes(rie, Runtimes(cache), code, access, views, debugpy, fork=fork)
    else:
        raise click.UsageError("give --rie and --cache for process mode, or --network for container mode")
    # A stage compares what its services hold: logs and metrics, which come when they come, would differ by chance.
    feed, metrics = Feed(), Metrics(aws_endpoint, key, sends=not functions_use)
    logs = LogService(aws_endpoint, key, sends=not functions_use)
    faults = InvocationFaults(experiments=Experiments(routing_seed))
    account = AccountLimits(account_concurrency, state_delay_s=state_delay_s)
    functions = FunctionStore(sandboxes.packages, account, sandboxes.ready, routing_seed)
    in_zones = Zones(zones)
    start = _starter(sandboxes, in_zones, starts, feed, logs, metrics)
    pool = Pool(start, code, account, idle_timeout_s=idle_timeout_s, preparations=sandboxes.parents)
    permissions, log, debugging = Permissions(aws_endpoint, key), _log_of_gateway(logs, feed), Debugging(pool)
    destinations = Destinations(aws_endpoint, s3_endpoint, key, permissions, feed.write_line, metrics.fail_delivery)
    faults.losses = ZoneLosses(in_zones, pool)
    invoker = Invoker(functions, pool, faults, retry_time_scale, destinations, log, debugging, metrics)
    invoker.attempts.on_change = feed.change_attempt
    guard.know(name for url in (endpoint, own) if url and (name := urlsplit(url).hostname))
    services = Services(
        functions, pool, invoker, faults, account, VpcNetwork(aws_endpoint, key), permissions, destinations, logs,
        metrics, debugging, feed, S3Objects(s3_endpoint, key), Downloads(directory, access.secret),
        LayerStore(directory / "layers"), Provisioned(functions, pool, account, state_delay_s),
        Mappings(functions, invoker, Queues(with_ip_address(aws_endpoint), key)),
    )  # fmt: skip
    app = create_app(services, _lifespan(services, logs, code, sandboxes), guard, access.secret)
    serve(app, host=host, port=port)


def _log_of_gateway(logs: LogService, feed: Feed) -> Callable[[Function, str], None]:
    def write(function: Function, message: str) -> None:
        logs.write(function.log_group, message)
        feed.write_lines(function.name, message + "\n")

    return write


def _access(own: str, s3_endpoint: str, aws_endpoint: str, proxy: str) -> StackAccess:
    """Return the addresses and the secret of the stack; the secret is no longer in the environment afterwards.

    Args:
        own: Where Lambda is.
        s3_endpoint: Where S3 is.
        aws_endpoint: Where the other services are.
        proxy: Where functions find all of them instead; empty if they find them where they are.
    """
    own, s3_endpoint, aws_endpoint = (proxy or one for one in (own, s3_endpoint, aws_endpoint))
    # Child processes receive their own credentials, not the secret from which others could be derived.
    secret = os.environ.pop(SECRET_VARIABLE, "")
    addresses = {
        "AWS_ENDPOINT_URL": with_ip_address(aws_endpoint),
        "AWS_ENDPOINT_URL_S3": with_ip_address(s3_endpoint),
        "AWS_ENDPOINT_URL_LAMBDA": own,
    }
    return StackAccess(addresses, secret)


def _starter(
    sandboxes: Sandboxes, zones: Zones, starts: EmulatedStarts | None, feed: Feed, logs: LogService, metrics: Metrics
) -> Callable[[Function], Awaitable[Environment]]:
    async def start(function: Function) -> Environment:
        def log(stream: str) -> FeedingLog:
            name = environment_name(stream)
            return FeedingLog(feed, function.name, name, logs.stream(function.log_group, stream))

        begin = partial(start_environment, function, sandboxes.start, log=log)
        environment = await (begin() if starts is None else starts.run(function, begin))
        environment.on_lines = partial(metrics.read_lines, function.name)
        try:
            # Now and not before its start, in which its zone may be lost.
            environment.zone = await zones.next_for(function.name, function.vpc.zones if function.vpc else ())
        except BaseException:
            await asyncio.shield(environment.stop())
            raise
        return environment

    return start


def _lifespan(
    services: Services, logs: LogService, code: CodeFolders, sandboxes: Sandboxes
) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        logs.start()
        services.metrics.start()
        removal = asyncio.create_task(remove_unneeded(code, services.functions, services.layers))
        yield
        removal.cancel()
        await services.provisioned.stop()
        await services.mappings.clear()
        await services.invoker.cancel_all()
        await services.pool.stop()
        await logs.stop()
        await services.metrics.stop()
        if sandboxes.stack is not None:
            remove_scratch(sandboxes.stack)

    return lifespan


async def remove_unneeded(code: CodeFolders, functions: FunctionStore, layers: LayerStore) -> None:
    """Remove the code of deleted functions, replaced code and deleted layers, as soon as no environment runs it."""
    while True:
        await code.unneeded.wait()
        code.unneeded.clear()
        try:
            await asyncio.to_thread(functions.remove_unneeded_code, code, layers)
        except Exception:
            # The next removal may succeed, and also removes what is left now.
            logger.exception("could not remove code that no function needs")


def _views(folder: Path, isolate: bool, kept: tuple[Path, ...]) -> Views:  # noqa: FBT001 - a flag of the command
    namespaces, why = permitted() if isolate else (Namespaces.NONE, "")
    if namespaces is Namespaces.NONE and why:
        logger.warning("functions see this machine's paths and share its /tmp, because it has no namespaces: %s", why)
    return Views(folder, namespaces, kept)


def _processes(
    rie: Path,
    runtimes: Runtimes,
    code: CodeFolders,
    access: StackAccess,
    views: Views,
    debugpy: Path | None,
    *,
    fork: bool,
) -> Sandboxes:
    stack = own_stack_label()
    scratch = make_scratch(stack)
    parents = Parents(scratch, access, stack, runtimes, views, code) if fork else None
    processes = Processes(rie, scratch, access, stack, parents, runtimes, views, debugpy)
    return Sandboxes(code.package, processes.start, runtimes.ready, parents, stack)


def _containers(
    network: str,
    labels: tuple[str, ...],
    access: StackAccess,
    cgroups: Path,
    registry: str | None,
    debugpy: Path | None,
    *,
    measures_images: bool,
) -> Sandboxes:
    # docker-py takes 0.1 s to import, and process mode does not need it.
    from harness.gateway.rie_container import Containers  # noqa: PLC0415
    from harness.system.engine import connect  # noqa: PLC0415

    parsed = dict(label.partition("=")[::2] for label in labels)
    engine, cpus = connect(), os.cpu_count() or 1
    containers = Containers(engine, network, parsed, access, cpus, cgroups, registry, debugpy, measures_images)
    return Sandboxes(containers.package, containers.start)


def with_ip_address(url: str) -> str:
    """Return the URL with its host as an IP address, because boto3 would prefix a host name with the bucket's name."""
    parts = urlsplit(url)
    address = socket.gethostbyname(parts.hostname or "")
    return parts._replace(netloc=f"{address}:{parts.port}").geturl()


if __name__ == "__main__":
    main()
