r"""ElastiCache's configuration endpoint: answers `config get cluster` with the nodes of the cluster.

    client                       endpoint
    config get cluster\r\n  ->
                            <-   CONFIG cluster 0 <length>\r\n
                                 <version>\n
                                 <host>|<ip>|<port> <host>|<ip>|<port>\n
                                 \r\n
                                 END\r\n

The version rises with every change of the list, by which clients tell the newer of two lists.
`length` counts the version line and the node line with their line feeds; without the last one, clients wait forever.
https://docs.aws.amazon.com/AmazonElastiCache/latest/mem-ug/AutoDiscovery.AddingToYourClientLibrary.html
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import NamedTuple

from harness.network.peer import is_own

logger = logging.getLogger(__name__)

# A longer line ends the connection, as in memcached.
LONGEST_LINE = 2048
LONGEST_ANSWER = 65_536

# The version that the endpoint reports; clients only check that the answer begins with VERSION.
SERVER_VERSION = b"1.6.18"

_QUIT = b"quit"


class Node(NamedTuple):
    """One cache node."""

    host: str
    port: int


class NodeList:
    """The nodes that an endpoint lists.

    Attributes:
        nodes: The nodes.
        version: The list's version, from 1.

    Args:
        nodes: The nodes at the start.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes, self.version = list(nodes), 1

    def change(self, nodes: Sequence[Node]) -> None:
        """List other nodes from now on."""
        self.nodes, self.version = list(nodes), self.version + 1


def configuration(node_list: NodeList) -> bytes:
    """Return the answer to `config get cluster`."""
    listed = " ".join(f"{node.host}|{node.host}|{node.port}" for node in node_list.nodes)
    payload = f"{node_list.version}\n{listed}\n".encode()
    return b"CONFIG cluster 0 %d\r\n%s\r\nEND\r\n" % (len(payload), payload)


def answer_to(command: bytes, node_list: NodeList) -> bytes:
    """Return the answer to a command; any that is not supported gets `ERROR`."""
    if command == b"config get cluster":
        return configuration(node_list)
    return b"VERSION " + SERVER_VERSION + b"\r\n" if command == b"version" else b"ERROR\r\n"


def listed_nodes(endpoint: Node, timeout_s: float) -> list[Node]:
    """Return the nodes that an endpoint lists; none if it does not answer in time, or lists none.

    Args:
        endpoint: The endpoint.
        timeout_s: Limit for connecting and for every part of the answer.
    """
    try:
        with socket.create_connection(endpoint, timeout_s) as connection, connection.makefile("rb") as answer:
            connection.sendall(b"config get cluster\r\n")
            head, _version, nodes = (answer.readline(LONGEST_ANSWER) for _ in range(3))
        if not head.startswith(b"CONFIG"):
            return []
        return [Node(host.decode(), int(port)) for host, _, port in (node.split(b"|") for node in nodes.split())]
    except (OSError, ValueError):
        return []


async def serve(listen: Node, node_list: NodeList) -> asyncio.Server:
    """Listen at `listen` and answer any number of clients with the list as it is by then."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if is_own(writer.get_extra_info("socket")):
                await _answer_lines(reader, writer, node_list)
            else:
                logger.warning("a connection of another user was refused")
        except (ConnectionError, ValueError) as error:
            # asyncio raises ValueError for a line over the limit. Other clients are unaffected.
            logger.info("connection ended: %s", error)
        finally:
            writer.close()

    return await asyncio.start_server(client, listen.host, listen.port, limit=LONGEST_LINE)


def is_http(line: bytes) -> bool:
    """Return whether a line begins an HTTP request, for example from a web page, whose body could contain commands.

    Memcached closes the connection then, and so must anything that stands in for it.
    """
    return b" HTTP/" in line and line.rpartition(b" ")[2].startswith(b"HTTP/")


async def _answer_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, node_list: NodeList) -> None:
    while line := await reader.readline():
        command = b" ".join(line.split())
        if command == _QUIT or is_http(line):
            return
        writer.write(answer_to(command, node_list))
        await writer.drain()
