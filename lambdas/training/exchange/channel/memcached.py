"""The Memcached channel: ElastiCache on AWS, any memcached elsewhere.

A round trip is one request to each node that it concerns, and their replies: the stores, then one `get`.
With as many keys as large values, each key is requested behind a value, so that values are sent while others arrive.
A node may be replaced under another address: when one fails, the configuration endpoint is asked again.
https://github.com/memcached/memcached/blob/master/doc/protocol.txt
"""

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import cast

from training.errors import ChannelError, ChannelSilent, ValueTooLarge
from training.exchange.channel.base import ReceiveBuffer, Value, parts_of, size_of
from training.exchange.channel.connection import JOIN_BYTES, ClosedError, Connection, NoAnswerError
from training.exchange.channel.discovery import FULL, Endpoint, NodeListing, is_full, no_connections_left

logger = logging.getLogger(__name__)

# Longer than any run: a chain of functions may take hours. What a finished run leaves expires.
TTL_S = 6 * 3600
# Memcached counts key, item header and suffix against its item size.
ITEM_OVERHEAD_BYTES = 512
# A node that does not answer within this time counts as cut off; the recovery layer connects again.
TIMEOUT_S = 3.0
# While a node fails, the endpoint is asked again this often.
ASK_AGAIN_S = 0.25
# A rank asks between two heartbeats of its lease, which must not stand still for as long as that of a dead rank.
REFRESH_WITHIN_S = 0.5
LONGEST_KEY_BYTES = 250
_REFUSED = b"SERVER_ERROR"
_TOO_LARGE = b"too large"
_OUT_OF_MEMORY = b"out of memory"


# What one node has to do in a round trip: values to store, keys to read.
NodeRequest = tuple[Connection, Mapping[str, Value], Sequence[str]]


class MemcachedChannel:
    """Frames in Memcached; keys are spread over the cluster's nodes by rendezvous hashing.

    Args:
        host: The configuration endpoint, or a plain Memcached node.
        port: Its port.
        timeout_s: Limit for connecting and for every answer.

    Raises:
        ChannelError: The endpoint or a node is not reachable.
    """

    def __init__(self, host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._endpoint, self._timeout_s = Endpoint(host, port), timeout_s
        self._nodes: list[Connection] = []
        self._memory_mb: dict[str, int] = {}
        # Deletes wait for the next request: nobody waits for them.
        self._deletes: dict[str, list[bytes]] = {}
        self._ask_from = 0.0
        with closing(self._endpoint):  # most channels never ask again
            self._follow(self._endpoint.ask(timeout_s))
        self.max_value_bytes = min(map(self._item_limit, self._nodes)) - ITEM_OVERHEAD_BYTES

    def round_trip(
        self, values: Mapping[str, Value], keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
    ) -> dict[str, Value]:
        """Store values, then read keys; see `Channel.round_trip`."""
        node_requests = self._node_requests(values, keys)
        found: dict[str, Value] = {}
        refusals: list[ChannelError] = []
        try:
            # All requests are made before one is sent, and sent before the first reply is waited for.
            requests = [self._request(node, stores, reads) for node, stores, reads in node_requests]
            for (node, _, _), request in zip(node_requests, requests, strict=True):
                node.send(request)
            for node, stores, reads in node_requests:
                for key, value, asked in _in_turns(stores, reads):
                    if key and (reply := node.line()) != b"STORED":
                        refusals.append(self._refusal(node, key, size_of(value), reply))
                    if asked:
                        _read_values(node, buffers or {}, found)
        except (OSError, ValueError) as error:
            raise self._failure(node, error, [unsure for unsure, _, _ in node_requests]) from error
        if refusals:
            raise min(refusals, key=lambda refusal: not isinstance(refusal, ValueTooLarge))
        return found

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Store values; see `Channel.put_many`."""
        self.round_trip(values, ())

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values that are there; see `Channel.get_many`."""
        return cast("dict[str, bytes]", self.round_trip({}, keys))  # without a buffer a value is bytes

    def add(self, key: str, value: bytes) -> bool:
        """Store a value unless its key is there; see `Channel.add`."""
        node = self._node_of(key)
        with self._translated(node):
            node.send([*self._request(node), *_store("add", key, value)])
            return self._read_outcome(node, key, value, {b"STORED": True, b"NOT_STORED": False})

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Store a value in place of a known one; see `Channel.replace_if`."""
        node = self._node_of(key)
        with self._translated(node):
            node.send([*self._request(node), b"gets %b\r\n" % _checked(key)])
            line = node.line()
            if line == b"END":
                return False
            _, _, _, length, mark = line.split()
            found = node.value(int(length), None)
            _expect(node.line(), b"END")
            if found != old:
                return False
            node.send(_store("cas", key, new, b" " + mark))
            outcomes = {b"STORED": True, b"EXISTS": False, b"NOT_FOUND": False}
            return self._read_outcome(node, key, new, outcomes)

    def delete_many(self, keys: Sequence[str]) -> None:
        """Remove keys with the next request; see `Channel.delete_many`."""
        for key in keys:
            # Nothing depends on the reply: what is not deleted expires.
            self._deletes[self._node_of(key).name].append(b"delete %b noreply\r\n" % _checked(key))

    def refresh(self) -> None:
        """Ask the endpoint which nodes there are; see `Channel.refresh`.

        Nodes that stay keep their connections. A list that is not newer than the one in use is left.
        """
        if not self._listing.version:
            return
        try:
            listing = self._endpoint.ask(min(self._timeout_s, REFRESH_WITHIN_S))
        except ChannelError as error:
            logger.debug("the list of nodes stays: %s", error)
            return
        if listing.version > self._listing.version:
            logger.info("the cache's nodes: %s", listing)
            self._follow(listing)

    def diagnosis(self) -> str:
        """Return which node has evicted values, and what to set; see `Channel.diagnosis`."""
        for node in self._nodes:
            try:
                with self._translated(node):
                    evictions = int(_stats(node, b"stats\r\n").get(b"evictions", b"0"))
            except ChannelError:
                continue
            if evictions:
                return f"Memcached at {node.name} has evicted {evictions} values: {self._memory_remedy(node)}"
        return ""

    def close(self) -> None:
        """Send what is left to delete, and close the connections."""
        self._endpoint.close()
        for node in self._nodes:
            if self._deletes[node.name]:
                try:
                    # A reply shows that the node has read all before it: a connection closed early drops the rest.
                    node.send([*self._request(node), b"version\r\n"])
                    node.line()
                except OSError:
                    pass  # it expires
            node.close()

    def _follow(self, listing: NodeListing) -> None:
        """Use these nodes from now on."""
        self._listing = listing
        gone = {node.name: node for node in self._nodes}
        nodes = [Connection(*node, self._timeout_s) for node in listing.nodes]
        self._nodes = [gone.pop(node.name, node) for node in nodes]
        for node in gone.values():
            node.close()
        self._deletes = {node.name: self._deletes.get(node.name, []) for node in self._nodes}

    @contextmanager
    def _translated(self, node: Connection) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError) as error:
            raise self._failure(node, error, [node]) from error

    def _failure(self, node: Connection, error: Exception, unsure: list[Connection]) -> ChannelError:
        """Return a node's failure as ours; the node may have been replaced, so that the next request goes elsewhere."""
        failure = _as_channel_error(node, error, unsure)
        if time.monotonic() >= self._ask_from:
            self.refresh()
            self._ask_from = time.monotonic() + ASK_AGAIN_S
        return failure

    def _request(
        self, node: Connection, stores: Mapping[str, Value] | None = None, reads: Sequence[str] = ()
    ) -> list[bytes | memoryview]:
        """Return what to send: the deletes that wait, the stores, one `get`."""
        parts: list[bytes | memoryview] = []
        if deletes := self._deletes[node.name]:
            self._deletes[node.name] = []
            parts += deletes
        for key, value, asked in _in_turns(stores or {}, reads):
            if key:
                parts += _store("set", key, value)
            if asked:
                parts.append(f"get {' '.join(asked)}\r\n".encode())
        return parts

    def _node_requests(self, values: Mapping[str, Value], keys: Sequence[str]) -> list[NodeRequest]:
        if len(self._nodes) == 1:
            return [(self._nodes[0], values, keys)] if values or keys else []
        stores: dict[Connection, dict[str, Value]] = {node: {} for node in self._nodes}
        reads: dict[Connection, list[str]] = {node: [] for node in self._nodes}
        for key, value in values.items():
            stores[self._node_of(key)][key] = value
        for key in keys:
            reads[self._node_of(key)].append(key)
        return [(node, stores[node], reads[node]) for node in self._nodes if stores[node] or reads[node]]

    def _node_of(self, key: str) -> Connection:
        """Return the node with the largest hash of itself and the key: when one goes, only its own keys move.

        Thaler, Ravishankar 1998, Using Name-Based Mappings to Increase Hit Rates.
        """
        if len(self._nodes) == 1:
            return self._nodes[0]
        return max(self._nodes, key=lambda node: hashlib.blake2b(f"{node.name} {key}".encode(), digest_size=8).digest())

    def _item_limit(self, node: Connection) -> int:
        with self._translated(node):
            settings = _stats(node, b"stats settings\r\n")
            self._memory_mb[node.name] = int(settings.get(b"maxbytes", b"0")) >> 20
            return int(settings[b"item_size_max"])

    def _refusal(self, node: Connection, key: str, size: int, reply: bytes) -> ChannelError:
        """Return the refusal of a store as an error that says what to set.

        Raises:
            ConnectionError: The reply is no refusal, so the state of the stream is unknown.
        """
        if not reply.startswith(_REFUSED):
            raise ConnectionError(f"storing {key} was answered with {reply[:80]!r}")
        kind = ValueTooLarge if _TOO_LARGE in reply else ChannelError
        cause = reply.removeprefix(_REFUSED).decode(errors="replace").strip()
        remedy = f"; {self._memory_remedy(node)}" if _OUT_OF_MEMORY in reply else ""
        return kind(f"Memcached at {node.name}: storing {key} ({size} bytes): {cause}{remedy}")

    def _memory_remedy(self, node: Connection) -> str:
        memory_mb = self._memory_mb.get(node.name)
        has = f"its memory is {memory_mb} MB" if memory_mb else "its memory is too small"
        return f"{has}; start memcached with more (-m 256), or take a larger node type on AWS"

    def _read_outcome(self, node: Connection, key: str, value: bytes, outcomes: Mapping[bytes, bool]) -> bool:
        reply = node.line()
        if reply not in outcomes:
            raise self._refusal(node, key, len(value), reply)
        return outcomes[reply]


def _stats(node: Connection, command: bytes) -> dict[bytes, bytes]:
    node.send([command])
    figures: dict[bytes, bytes] = {}
    while (line := node.line()) != b"END":
        _, name, value = line.split(b" ", 2)
        figures[name] = value
    return figures


def _in_turns(stores: Mapping[str, Value], reads: Sequence[str]) -> Iterator[tuple[str, Value, Sequence[str]]]:
    """Yield the parts of a request in order: a value to store under a key (empty for none), then keys to read."""
    if len(stores) == len(reads) > 1 and sum(map(size_of, stores.values())) > JOIN_BYTES:
        # Each key one value later than its own, as the rank that stores it may be a little behind.
        behind = [(), *((read,) for read in reads[:-1])]
        yield from ((key, value, asked) for (key, value), asked in zip(stores.items(), behind, strict=True))
        yield "", b"", reads[-1:]
        return
    for key, value in stores.items():
        yield key, value, ()
    if reads:
        yield "", b"", reads


def _as_channel_error(node: Connection, error: Exception, unsure: list[Connection]) -> ChannelError:
    """Return a node's failure as ours; connections that may still owe a reply are closed."""
    for connection in unsure:
        connection.close()
    host, _, port = node.name.rpartition(":")
    # A node whose connections have run out closes a new one at once; one that answers wrongly is not full.
    closed = isinstance(error, ClosedError | ConnectionResetError | ConnectionAbortedError | BrokenPipeError)
    if FULL.decode() in str(error) or (closed and is_full(host, int(port))):
        return ChannelError(no_connections_left(node.name))
    kind = ChannelSilent if isinstance(error, NoAnswerError) else ChannelError
    return kind(f"Memcached at {node.name}: {str(error) or type(error).__name__}")


def _checked(key: str) -> bytes:
    encoded = key.encode()
    if len(encoded) > LONGEST_KEY_BYTES:
        raise ChannelError(f"key {key[:60]}... has {len(encoded)} bytes; Memcached takes {LONGEST_KEY_BYTES}")
    return encoded


def _store(command: str, key: str, value: Value, mark: bytes = b"") -> list[bytes | memoryview]:
    head = b"%b %b 0 %d %d%b\r\n" % (command.encode(), _checked(key), TTL_S, size_of(value), mark)
    return [head, *parts_of(value), b"\r\n"]


def _read_values(node: Connection, buffers: Mapping[str, ReceiveBuffer], found: dict[str, Value]) -> None:
    while (line := node.line()) != b"END":
        # VALUE <key> <flags> <bytes>
        words = line.split()
        if len(words) != 4 or words[0] != b"VALUE":
            raise ConnectionError(f"`get` was answered with {line[:80]!r}")
        key = words[1].decode()
        found[key] = node.value(int(words[3]), buffers.get(key))


def _expect(line: bytes, expected: bytes) -> None:
    if line != expected:
        raise ConnectionError(f"Memcached answered {line[:80]!r} where {expected!r} belongs")
