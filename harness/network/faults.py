"""The process of the network: `python -m harness.network.faults ... -- MEMCACHED COMMAND`, started by the stack.

It takes the place of the cache's nodes, of the endpoint that lists them, and of S3. The real Memcacheds are its
children, or in containers of their own if no command is given. With `--faulty-memcached` it accepts the fault plans
of runs:

    PUT /runs/<run_id>     {"n_workers": ..., "plan": {...}}
    GET /runs/<run_id>     the outcome of the plan: a list of `harness.faults.injections.Event`
    DELETE /runs/<run_id>  end the plan, because the run is over; the death of the plan's owner does the same

With a network in HARNESS_NETWORK it emulates that:

    GET /network           what it has added: `harness.network.report.NetworkReport`

    function -> latency, bandwidth -> faults -> Memcached       where only one of the two is wanted, the other is no hop
"""

import argparse
import asyncio
import gc
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harness.errors import HarnessError
from harness.faults.board import Board
from harness.faults.injections import Event, Injections
from harness.faults.plan import check_nodes
from harness.gateway.faults import FaultPlanRequest
from harness.gateway.server import config
from harness.guard import SECRET_VARIABLE, GuardedAsgi, guard_from_environment, own_key
from harness.network.__main__ import node
from harness.network.cache_nodes import CacheNode, CacheNodes
from harness.network.cache_process import CacheProcess, command_on
from harness.network.discovery import Node, serve
from harness.network.emulated import NetworkEmulation, network_from_environment
from harness.network.gateway_link import GatewayLink
from harness.network.lines import ClientLines, Ranks
from harness.network.memcached_proxy import MemcachedProxy
from harness.network.places import Places
from harness.network.precise_loop import precise_loop
from harness.network.remote_cache import RemoteCache
from harness.network.s3_proxy import S3Proxy
from harness.presets.emulated_network import EmulatedNetwork
from harness.system.cache_names import PORT, cache_names

logger = logging.getLogger(__name__)

ORPHANS_EVERY_S = 0.5


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m harness.network.faults", description=__doc__)
    for name, meaning in {
        "--control": "Address that accepts fault plans.",
        "--discovery": "Address of the endpoint that lists the cache's nodes.",
        "--s3": "Address of S3 for clients.",
    }.items():
        parser.add_argument(name, type=node, required=True, metavar="HOST:PORT", help=meaning)
    for name, meaning in {
        "--memcached": "Address of a node for clients; repeatable, as those below, in the order of the nodes.",
        "--cache": "Address of its real Memcached.",
        "--faulty-memcached": "Address of its proxy that injects faults; without an emulated network --memcached.",
    }.items():
        parser.add_argument(name, type=node, action="append", default=[], metavar="HOST:PORT", help=meaning)
    parser.add_argument("--listed", action="append", default=[], help="Host by which clients know it.")
    parser.add_argument("--real-s3", required=True, metavar="URL", help="URL of the real S3.")
    parser.add_argument("--gateway", required=True, metavar="URL", help="URL of the Lambda service.")
    parser.add_argument("--directory", type=Path, help="Folder of the stack, in which deaths are recorded.")
    where = f"Command of a real Memcached on the port {PORT}; none where they run elsewhere."
    parser.add_argument("command", nargs="*", help=where)
    arguments = parser.parse_args()
    network = network_from_environment()
    # Only emulated latency needs timers that are precise.
    with asyncio.Runner(loop_factory=precise_loop if network is not None else None) as runner:
        runner.run(_serve(arguments, network))


async def _serve(arguments: argparse.Namespace, network: EmulatedNetwork | None) -> None:
    guard, key = guard_from_environment("s3"), own_key(os.environ[SECRET_VARIABLE])
    board, gateway = Board(), GatewayLink(arguments.gateway, key)
    emulation = NetworkEmulation(network, gateway) if network is not None else None
    s3 = urlsplit(arguments.real_s3)
    networks = emulation.networks if emulation else None
    places = networks.places if networks else Places(gateway)
    s3_node, ranks = Node(s3.hostname or "", s3.port or 80), Ranks(places, gateway)
    listeners = [S3Proxy(arguments.s3, s3_node, board, guard, networks, places, ranks).listener]
    caches, lines = _caches(arguments), ClientLines(board, ranks, by_run=True)
    proxies = [
        MemcachedProxy(faulty, cache, board, gateway, places, lines)
        for faulty, cache in zip(arguments.faulty_memcached, caches, strict=False)  # without faults there is none
    ]
    listeners += [proxy.listener for proxy in proxies]
    await asyncio.gather(*(cache.start() for cache in caches))
    keepers = [asyncio.create_task(cache.keep_alive()) for cache in caches]
    for listener in listeners:
        await listener.open()
    nodes = CacheNodes(await _open_nodes(arguments, caches, proxies, emulation))
    plans = FaultPlans(board, gateway, nodes)
    keepers.append(asyncio.create_task(plans.lift_orphans()))
    discovery = await serve(arguments.discovery, nodes.listed)
    host, port = arguments.control
    # Functions may not call these routes.
    routes = create_app(plans if proxies else None, emulation)
    app = GuardedAsgi(routes, guard_from_environment("s3", control=("/",)))
    await uvicorn.Server(config(app, host=host, port=port)).serve()
    discovery.close()
    if emulation is not None:
        emulation.close()
    for listener in listeners:
        listener.close()
    for keeper in keepers:
        keeper.cancel()
    for cache in caches:
        await cache.kill()
    await gateway.close()


def _caches(arguments: argparse.Namespace) -> Sequence[CacheProcess | RemoteCache]:
    """Return the real Memcacheds, not yet started."""
    if not arguments.command:
        return [RemoteCache(address) for address in arguments.cache]
    return [
        CacheProcess(address, command_on(address.port, arguments.command), arguments.directory, name)
        for name, address in zip(cache_names(len(arguments.cache)), arguments.cache, strict=True)
    ]


async def _open_nodes(
    arguments: argparse.Namespace,
    caches: Sequence[CacheProcess | RemoteCache],
    proxies: Sequence[MemcachedProxy],
    emulation: NetworkEmulation | None,
) -> list[CacheNode]:
    """Accept clients of every node; where no network is emulated, the proxies that inject faults do already."""
    hosts = arguments.listed or [address.host for address in arguments.memcached]
    nodes = [
        CacheNode(number, host, cache, proxy.listener, proxy)
        for number, (host, cache, proxy) in enumerate(zip(hosts, caches, proxies, strict=False), 1)
    ]
    if emulation is None:
        return nodes
    await emulation.measure(caches[0].node)
    shaped = []
    for number, (listen, host, cache) in enumerate(zip(arguments.memcached, hosts, caches, strict=True), 1):
        proxy = proxies[number - 1] if proxies else None
        front = await emulation.open(listen, proxy.listener.address if proxy else cache.node, cache.node)
        shaped.append(CacheNode(number, host, cache, front, proxy))
    # Collections of what never goes away would cost more than they find.
    gc.freeze()
    return shaped


class FaultPlans:
    """The plans of runs, in all places where faults are injected.

    Args:
        board: The plans.
        gateway: Injects the faults of the Lambda service.
        nodes: The nodes of the cache.
    """

    def __init__(self, board: Board, gateway: GatewayLink, nodes: CacheNodes) -> None:
        self.board, self.gateway, self.nodes = board, gateway, nodes

    async def lift_orphans(self) -> None:
        """End the plans of runs whose owner died before it could do so; run until cancelled."""
        while True:
            await asyncio.sleep(ORPHANS_EVERY_S)
            try:
                for run_id in self.board.orphans():
                    logger.warning("ending the fault plan of run %s: its owner has died", run_id)
                    await self.lift(run_id)
            except Exception:
                # Go on: the plans of other runs must still be ended.
                logger.exception("could not end the fault plan of a run whose owner has died")

    async def lift(self, run_id: str) -> None:
        """End the plan of a run."""
        self.board.lift(run_id)
        try:
            await self.nodes.lift(run_id)
        finally:
            await self.gateway.lift(run_id)


def create_app(plans: FaultPlans | None, emulation: NetworkEmulation | None = None) -> Starlette:
    """Return the application with the control routes.

    Args:
        plans: Takes fault plans; None if none are accepted.
        emulation: The emulated network, if there is one.
    """
    routes = _plan_routes(plans) if plans is not None else []
    return Starlette(routes=routes + ([_network_route(emulation)] if emulation is not None else []))


def _plan_routes(plans: FaultPlans) -> list[Route]:
    board, gateway = plans.board, plans.gateway

    async def put(request: Request) -> Response:
        run_id, body = request.path_params["run_id"], await request.body()
        try:
            plan_request = msgspec.json.decode(body, type=FaultPlanRequest)
            plan_request.check()
            check_nodes(plan_request.plan, plans.nodes.count)
            await gateway.post(run_id, body)
        except (ValueError, RecursionError, HarnessError, httpx.HTTPError) as error:
            return Response(f"the fault plan was rejected: {error}", status_code=400)
        board.post(run_id, Injections(plan_request.plan, plan_request.n_workers))
        if plan_request.owner is not None:
            board.owners[run_id] = plan_request.owner
        return Response(status_code=204)

    async def get(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        injections = board.find(run_id)
        if injections is None:
            return Response(f"no fault plan for run {run_id}", status_code=404)
        events = list(injections.events)
        # Only the Lambda service knows about the faults it injects by itself; its list is in the plan's order, too.
        for number, record in enumerate(await gateway.events(run_id)):
            event = msgspec.convert(record, Event)
            if event.times:
                events[number] = event
        return Response(msgspec.json.encode(events), media_type="application/json")

    async def delete(request: Request) -> Response:
        await plans.lift(request.path_params["run_id"])
        return Response(status_code=204)

    verbs = {"PUT": put, "GET": get, "DELETE": delete}
    return [Route("/runs/{run_id}", verbs[verb], methods=[verb]) for verb in verbs]


def _network_route(emulation: NetworkEmulation) -> Route:
    async def get(_request: Request) -> Response:
        return Response(msgspec.json.encode(emulation.report()), media_type="application/json")

    return Route("/network", get)


if __name__ == "__main__":
    main()
