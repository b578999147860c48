"""The process of the network: `python -m harness.network.faults ... -- MEMCACHED COMMAND`, started by the stack.

It takes the place of Memcached and S3. The real Memcached is its child, or in a container of its own if no command is
given. With `--faulty-memcached` it accepts the fault plans of runs:

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
from harness.gateway.faults import FaultPlanRequest
from harness.gateway.server import config
from harness.guard import SECRET_VARIABLE, GuardedAsgi, guard_from_environment, own_key
from harness.network.__main__ import node
from harness.network.cache_process import CacheProcess
from harness.network.discovery import Node
from harness.network.emulated import NetworkEmulation, network_from_environment
from harness.network.gateway_link import GatewayLink
from harness.network.lines import Ranks
from harness.network.memcached_proxy import MemcachedProxy
from harness.network.places import Places
from harness.network.precise_loop import precise_loop
from harness.network.remote_cache import RemoteCache
from harness.network.s3_proxy import S3Proxy
from harness.presets.emulated_network import EmulatedNetwork

logger = logging.getLogger(__name__)

ORPHANS_EVERY_S = 0.5


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m harness.network.faults", description=__doc__)
    for name, meaning in {
        "--control": "Address that accepts fault plans.",
        "--memcached": "Address of Memcached for clients.",
        "--cache": "Address of the real Memcached.",
        "--s3": "Address of S3 for clients.",
    }.items():
        parser.add_argument(name, type=node, required=True, metavar="HOST:PORT", help=meaning)
    parser.add_argument(
        "--faulty-memcached",
        type=node,
        metavar="HOST:PORT",
        help="Address of the proxy that injects faults; without an emulated network that of --memcached.",
    )
    parser.add_argument("--real-s3", required=True, metavar="URL", help="URL of the real S3.")
    parser.add_argument("--gateway", required=True, metavar="URL", help="URL of the Lambda service.")
    parser.add_argument("--directory", type=Path, help="Folder of the stack, in which deaths are recorded.")
    parser.add_argument("command", nargs="*", help="Command of the real Memcached; none where it runs elsewhere.")
    arguments = parser.parse_args()
    network = network_from_environment()
    # Only emulated latency needs timers that are precise.
    with asyncio.Runner(loop_factory=precise_loop if network is not None else None) as runner:
        runner.run(_serve(arguments, network))


async def _serve(arguments: argparse.Namespace, network: EmulatedNetwork | None) -> None:
    guard, key = guard_from_environment("s3"), own_key(os.environ[SECRET_VARIABLE])
    board, gateway = Board(), GatewayLink(arguments.gateway, key)
    cache: CacheProcess | RemoteCache = RemoteCache(arguments.cache)
    if arguments.command:
        cache = CacheProcess(arguments.cache, arguments.command, arguments.directory)
    emulation = NetworkEmulation(network, gateway) if network is not None else None
    s3 = urlsplit(arguments.real_s3)
    networks = emulation.networks if emulation else None
    places = networks.places if networks else Places(gateway)
    s3_node, ranks = Node(s3.hostname or "", s3.port or 80), Ranks(places, gateway)
    listeners = [S3Proxy(arguments.s3, s3_node, board, guard, networks, places, ranks).listener]
    faulty = arguments.faulty_memcached
    if faulty is not None:
        listeners.append(MemcachedProxy(faulty, cache, board, gateway, places).listener)
    await cache.start()
    keepers = [asyncio.create_task(cache.keep_alive()), asyncio.create_task(lift_orphans(board, gateway))]
    for listener in listeners:
        await listener.open()
    if emulation is not None:
        await emulation.open(arguments.memcached, faulty or cache.node, cache.node)
        # Collections of what never goes away would cost more than they find.
        gc.freeze()
    host, port = arguments.control
    # Functions may not call these routes.
    routes = create_app(board, gateway, emulation, faults=faulty is not None)
    app = GuardedAsgi(routes, guard_from_environment("s3", control=("/",)))
    await uvicorn.Server(config(app, host=host, port=port)).serve()
    if emulation is not None:
        emulation.close()
    for listener in listeners:
        listener.close()
    for keeper in keepers:
        keeper.cancel()
    await cache.kill()
    await gateway.close()


async def lift_orphans(board: Board, gateway: GatewayLink) -> None:
    """End the plans of runs whose owner died before it could do so; run until cancelled."""
    while True:
        await asyncio.sleep(ORPHANS_EVERY_S)
        try:
            for run_id in board.orphans():
                logger.warning("ending the fault plan of run %s: its owner has died", run_id)
                await _lift(board, gateway, run_id)
        except Exception:
            # Go on: the plans of other runs must still be ended.
            logger.exception("could not end the fault plan of a run whose owner has died")


async def _lift(board: Board, gateway: GatewayLink, run_id: str) -> None:
    board.lift(run_id)
    await gateway.lift(run_id)


def create_app(
    board: Board, gateway: GatewayLink, emulation: NetworkEmulation | None = None, *, faults: bool = True
) -> Starlette:
    """Return the application with the control routes.

    Args:
        board: The plans of all runs.
        gateway: Injects the faults of the Lambda service.
        emulation: The emulated network, if there is one.
        faults: Whether fault plans are accepted.
    """

    async def put(request: Request) -> Response:
        run_id, body = request.path_params["run_id"], await request.body()
        try:
            plan_request = msgspec.json.decode(body, type=FaultPlanRequest)
            plan_request.check()
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
        await _lift(board, gateway, request.path_params["run_id"])
        return Response(status_code=204)

    verbs = {"PUT": put, "GET": get, "DELETE": delete} if faults else {}
    routes = [Route("/runs/{run_id}", verbs[verb], methods=[verb]) for verb in verbs]
    return Starlette(routes=routes + ([_network_route(emulation)] if emulation is not None else []))


def _network_route(emulation: NetworkEmulation) -> Route:
    async def get(_request: Request) -> Response:
        return Response(msgspec.json.encode(emulation.report()), media_type="application/json")

    return Route("/network", get)


if __name__ == "__main__":
    main()
