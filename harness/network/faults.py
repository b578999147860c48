"""The faulty network's process: `python -m harness.network.faults ... -- MEMCACHED COMMAND`, started by the stack.

It stands where Memcached and S3 would, keeps the real Memcached as its child, and takes the plans of runs:

    PUT /runs/<run_id>     {"n_workers": ..., "plan": {...}}
    GET /runs/<run_id>     what became of the plan: a list of `harness.faults.strikes.Event`
    DELETE /runs/<run_id>  the run is over, and its plan no longer in force; the death of its owner does the same
"""

import argparse
import asyncio
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
from harness.faults.strikes import Event, Strikes
from harness.gateway.faults import Posting
from harness.gateway.server import config
from harness.guard import SECRET_VARIABLE, GuardedAsgi, guard_from_environment, own_key
from harness.network.__main__ import node
from harness.network.cache_process import CacheProcess
from harness.network.discovery import Node
from harness.network.gateway_link import GatewayLink
from harness.network.memcached_proxy import MemcachedProxy
from harness.network.s3_proxy import S3Proxy

logger = logging.getLogger(__name__)

ORPHANS_EVERY_S = 0.5


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m harness.network.faults", description=__doc__)
    for name, meaning in {
        "--control": "where plans are taken",
        "--memcached": "where clients find Memcached",
        "--cache": "where the real Memcached listens",
        "--s3": "where clients find S3",
    }.items():
        parser.add_argument(name, type=node, required=True, metavar="HOST:PORT", help=meaning)
    parser.add_argument("--real-s3", required=True, metavar="URL", help="the real S3")
    parser.add_argument("--gateway", required=True, metavar="URL", help="the Lambda service")
    parser.add_argument("--directory", type=Path, help="the stack's folder, in which deaths are noted")
    parser.add_argument("command", nargs="+", help="the real Memcached's command")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> None:
    guard, key = guard_from_environment("s3"), own_key(os.environ[SECRET_VARIABLE])
    board, gateway = Board(), GatewayLink(arguments.gateway, key)
    cache = CacheProcess(arguments.cache, arguments.command, arguments.directory)
    s3 = urlsplit(arguments.real_s3)
    doors = [
        MemcachedProxy(arguments.memcached, cache, board, gateway).door,
        S3Proxy(arguments.s3, Node(s3.hostname or "", s3.port or 80), board, guard).door,
    ]
    await cache.start()
    keepers = [asyncio.create_task(cache.keep_alive()), asyncio.create_task(lift_orphans(board, gateway))]
    for door in doors:
        await door.open()
    host, port = arguments.control
    # No function has any business here.
    app = GuardedAsgi(create_app(board, gateway), guard_from_environment("s3", control=("/",)))
    await uvicorn.Server(config(app, host=host, port=port)).serve()
    for door in doors:
        door.close()
    for keeper in keepers:
        keeper.cancel()
    await cache.kill()
    await gateway.close()


async def lift_orphans(board: Board, gateway: GatewayLink) -> None:
    """Lift the plans of runs whose owner was killed before it could; runs until it is cancelled."""
    while True:
        await asyncio.sleep(ORPHANS_EVERY_S)
        try:
            for run_id in board.orphans():
                logger.warning("the plan of run %s is lifted: its owner has died", run_id)
                await _lift(board, gateway, run_id)
        except Exception:
            # The plans of other runs are to be lifted all the same, and later ones.
            logger.exception("the plan of a run whose owner has died was not lifted")


async def _lift(board: Board, gateway: GatewayLink, run_id: str) -> None:
    board.lift(run_id)
    await gateway.lift(run_id)


def create_app(board: Board, gateway: GatewayLink) -> Starlette:
    """The control routes."""

    async def put(request: Request) -> Response:
        run_id, body = request.path_params["run_id"], await request.body()
        try:
            posting = msgspec.json.decode(body, type=Posting)
            posting.check()
            await gateway.post(run_id, body)
        except (ValueError, RecursionError, HarnessError, httpx.HTTPError) as error:
            return Response(f"the plan was not taken: {error}", status_code=400)
        board.post(run_id, Strikes(posting.plan, posting.n_workers))
        if posting.owner is not None:
            board.owners[run_id] = posting.owner
        return Response(status_code=204)

    async def get(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        strikes = board.find(run_id)
        if strikes is None:
            return Response(f"no plan of run {run_id}", status_code=404)
        events = list(strikes.events)
        # What the Lambda service brings about by itself, it alone knows; its list has the plan's order too.
        for number, record in enumerate(await gateway.events(run_id)):
            event = msgspec.convert(record, Event)
            if event.times:
                events[number] = event
        return Response(msgspec.json.encode(events), media_type="application/json")

    async def delete(request: Request) -> Response:
        await _lift(board, gateway, request.path_params["run_id"])
        return Response(status_code=204)

    run = "/runs/{run_id}"
    verbs = {"PUT": put, "GET": get, "DELETE": delete}
    return Starlette(routes=[Route(run, verbs[v], methods=[v]) for v in verbs])


if __name__ == "__main__":
    main()
