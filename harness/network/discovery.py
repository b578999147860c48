r"""ElastiCache's configuration endpoint: answers `config get cluster` with the nodes of the cluster.

    client                       endpoint
    config get cluster\r\n  ->
                            <-   CONFIG cluster 0 <length>\r\n
                                 <version>\n
                                 <host>|<ip>|<port> <host>|<ip>|<port>\n
                                 \r\n
                                 END\r\n

`length` counts the lines of version and nodes with their line feeds; without the last, clients wait for ever.
https://docs.aws.amazon.com/AmazonElastiCache/latest/mem-ug/AutoDiscovery.AddingToYourClientLibrary.html
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from harness.network.peer import is_own

logger = logging.getLogger(__name__)

# As memcached does, a line longer than this ends the connection.
LONGEST_LINE = 2048

# What the endpoint says it is; clients only look at the first word.
SERVER_VERSION = b"1.6.18"

# The list of nodes never changes while the endpoint lives, so its version does not either.
CONFIGURATION_VERSION = 1

_QUIT = b"quit"


class Node(NamedTuple):
    """One cache node."""

    host: str
    port: int


def configuration(nodes: Sequence[Node]) -> bytes:
    """The answer to `config get cluster`."""
    listed = " ".join(f"{node.host}|{node.host}|{node.port}" for node in nodes)
    payload = f"{CONFIGURATION_VERSION}\n{listed}\n".encode()
    return b"CONFIG cluster 0 %d\r\n%s\r\nEND\r\n" % (len(payload), payload)


def answers(nodes: Sequence[Node]) -> dict[bytes, bytes]:
    """Every command that is understood, with its answer; anything else gets `ERROR`."""
    return {
        b"config get cluster": configuration(nodes),
        b"version": b"VERSION " + SERVER_VERSION + b"\r\n",
    }


async def serve(listen: Node, nodes: Sequence[Node]) -> asyncio.Server:
    """Listens at `listen` and answers any number of clients."""
    known = answers(nodes)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if is_own(writer.get_extra_info("socket")):
                await _answer_lines(reader, writer, known)
            else:
                logger.warning("a connection of another user was refused")
        except (ConnectionError, ValueError) as error:
            # ValueError is asyncio's word for a line over the limit. Neither concerns any other client.
            logger.info("connection ended: %s", error)
        finally:
            writer.close()

    return await asyncio.start_server(client, listen.host, listen.port, limit=LONGEST_LINE)


def is_http(line: bytes) -> bool:
    """Return whether a line begins an HTTP request, as of a web page: its body could hold commands.

    Memcached closes the connection then, and so does whatever stands in for it.
    """
    return b" HTTP/" in line and line.rpartition(b" ")[2].startswith(b"HTTP/")


async def _answer_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, known: dict[bytes, bytes]) -> None:
    while line := await reader.readline():
        command = b" ".join(line.split())
        if command == _QUIT or is_http(line):
            return
        writer.write(known.get(command, b"ERROR\r\n"))
        await writer.drain()
