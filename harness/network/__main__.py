"""The configuration endpoint: `python -m harness.network --listen 127.0.0.1:11212 --node 127.0.0.1:11211`."""

import argparse
import asyncio
import signal

from harness.network.discovery import Node, NodeList, serve


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m harness.network", description=__doc__)
    parser.add_argument(
        "--listen", type=node, required=True, metavar="HOST:PORT", help="Address that clients connect to."
    )
    parser.add_argument(
        "--node",
        type=node,
        required=True,
        action="append",
        metavar="HOST:PORT",
        help="Address of a memcached node; repeatable.",
    )
    arguments = parser.parse_args()
    asyncio.run(_serve_until_stopped(arguments.listen, arguments.node))


def node(text: str) -> Node:
    """Return the node that `host:port` describes."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return Node(host, int(port))


async def _serve_until_stopped(listen: Node, nodes: list[Node]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await serve(listen, NodeList(nodes)):
        await stop.wait()


if __name__ == "__main__":
    main()
