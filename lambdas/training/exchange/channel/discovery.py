r"""ElastiCache auto discovery: from the configuration endpoint to the cluster's nodes.

The client sends `config get cluster`; the endpoint answers with a version line and one line of nodes:

    CONFIG cluster 0 <length>\r\n
    <version>\n
    <host>|<ip>|<port> <host>|<ip>|<port>\n\r\n
    END\r\n

A plain Memcached answers `ERROR`: then the endpoint itself is the only node.
The version rises with every change of the list. Ranks may hold different lists for a moment: they ask again.
https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/AutoDiscovery.AddingToYourClientLibrary.html
"""

import socket
from contextlib import closing
from typing import NamedTuple

from training.errors import ChannelError, ChannelSilent

Node = tuple[str, int]


class NodeListing(NamedTuple):
    """The nodes of a cluster at some time.

    Attributes:
        version: The larger of two versions is the newer list; 0 for a plain Memcached, whose list never changes.
        nodes: Host and port of each node, sorted.
    """

    version: int
    nodes: tuple[Node, ...]


_REQUEST = b"config get cluster\r\n"
_ENDS = (b"END\r\n", b"ERROR\r\n")
_MAX_REPLY_BYTES = 1 << 20
FULL = b"ERROR Too many open connections"
# A node that has room says nothing unasked.
_GREETING_WITHIN_S = 0.2


class Endpoint:
    """A configuration endpoint that is asked again and again.

    It is asked over one connection: a name that is looked up for each question is slow, and too many look-ups are
    refused. https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html#vpc-dns-limits

    Args:
        host: Host of the configuration endpoint, or of a plain Memcached.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._connection: socket.socket | None = None

    def ask(self, timeout_s: float) -> NodeListing:
        """Return the nodes of the cluster behind the endpoint.

        Args:
            timeout_s: Limit for connecting and for every answer.

        Raises:
            ChannelSilent: The endpoint accepts the connection and does not answer.
            ChannelError: Nothing answers there, or the answer is not a cluster's configuration.
        """
        host, port = self._address
        try:
            reply = self._reply(timeout_s)
        except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
            connected = self._connection is not None
            self.close()
            if connected and isinstance(error, TimeoutError):
                raise ChannelSilent(f"Memcached at {host}:{port}: no answer within {timeout_s:g} s") from error
            if isinstance(error, ConnectionError) and is_full(host, port):
                raise ChannelError(no_connections_left(f"{host}:{port}")) from error
            raise ChannelError(f"Memcached at {host}:{port} is not reachable: {error}") from error
        if reply.endswith(b"ERROR\r\n"):
            return NodeListing(0, (self._address,))
        return _parse(reply, f"{host}:{port}")

    def close(self) -> None:
        """Close the connection; the next question opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _reply(self, timeout_s: float) -> bytes:
        if self._connection is not None:
            try:
                return _asked(self._connection, timeout_s)
            except ConnectionError:
                self.close()  # it ended meanwhile, which says nothing about the endpoint
        self._connection = socket.create_connection(self._address, timeout=timeout_s)
        return _asked(self._connection, timeout_s)


def discover(host: str, port: int, timeout_s: float) -> NodeListing:
    """Ask an endpoint once; see `Endpoint.ask`."""
    with closing(Endpoint(host, port)) as endpoint:
        return endpoint.ask(timeout_s)


def is_full(host: str, port: int) -> bool:
    """Return whether a node has no connection left: to a new one it says so unasked, and closes it.

    Whoever has sent a request by then may be told of a reset only. To be called when a connection has failed.
    """
    try:
        with socket.create_connection((host, port), timeout=_GREETING_WITHIN_S) as connection:
            return connection.recv(len(FULL)) == FULL
    except OSError:
        return False


def no_connections_left(node: str) -> str:
    """Return the words for a node that has no connection left."""
    return (
        f"Memcached at {node} takes no more connections: as many as it allows are open; "
        "raise its limit (-c, max_simultaneous_connections) or use fewer workers"
    )


def _asked(connection: socket.socket, timeout_s: float) -> bytes:
    connection.settimeout(timeout_s)
    connection.sendall(_REQUEST)
    reply = b""
    while not reply.endswith(_ENDS):
        chunk = connection.recv(65_536)
        if not chunk or len(reply) > _MAX_REPLY_BYTES:
            raise ConnectionError(f"the answer to `config get cluster` broke off after {len(reply)} bytes")
        reply += chunk
    return reply


def _parse(reply: bytes, endpoint: str) -> NodeListing:
    try:
        header, body = reply.split(b"\r\n", 1)
        keyword, _, _, length = header.split()
        version_line, nodes_line = body[: int(length)].decode("ascii").split("\n")[:2]
        version = int(version_line)
        nodes = [(name or address, int(port)) for name, address, port in (n.split("|") for n in nodes_line.split())]
    except (ValueError, IndexError) as error:
        raise ChannelError(f"{endpoint} answered `config get cluster` with {reply[:80]!r}") from error
    if keyword != b"CONFIG" or not nodes or version < 1:
        raise ChannelError(f"{endpoint} names no nodes: {reply[:80]!r}")
    return NodeListing(version, tuple(sorted(nodes)))
