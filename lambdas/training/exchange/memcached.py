"""The Memcached channel: ElastiCache on AWS, any memcached elsewhere.

A trip is one request to each node that it concerns, and their replies: the stores, then one `get`.
https://github.com/memcached/memcached/blob/master/doc/protocol.txt
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from training.errors import ChannelError, ValueTooLarge
from training.exchange.channel import Landing, Value, parts_of, size_of
from training.exchange.connection import Connection
from training.exchange.discovery import discover

# Longer than any run: a chain of functions may take hours, and what a finished run leaves goes by itself.
TTL_S = 6 * 3600
# Memcached counts key, item header and suffix against its item size.
ITEM_OVERHEAD_BYTES = 512
# A node that does not answer within this time is taken for cut off; the recovery layer connects anew.
TIMEOUT_S = 3.0
LONGEST_KEY_BYTES = 250
_REFUSED = b"SERVER_ERROR"
_TOO_LARGE = b"too large"


@dataclass
class _Errand:
    """What one node has to do in a trip."""

    stores: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)


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
        self._nodes = [Connection(*node, timeout_s) for node in discover(host, port, timeout_s)]
        # Deletes wait for the next request: nobody waits for them.
        self._deletes: dict[str, list[bytes]] = {node.name: [] for node in self._nodes}
        self.max_value_bytes = min(map(self._item_limit, self._nodes)) - ITEM_OVERHEAD_BYTES

    def trip(
        self, values: Mapping[str, Value], keys: Sequence[str], landings: Mapping[str, Landing] | None = None
    ) -> dict[str, Value]:
        """Stores values, then reads keys; see `Channel.trip`."""
        errands = self._errands(values, keys)
        found: dict[str, Value] = {}
        refusals: list[ChannelError] = []
        try:
            # All requests are out before the first reply is waited for.
            for node, errand in errands:
                self._send(node, [*_store_all(errand.stores, values), *_get(errand.reads)])
            for node, errand in errands:
                for key in errand.stores:
                    if refusal := _read_stored(node, key, size_of(values[key])):
                        refusals.append(refusal)
                if errand.reads:
                    _read_values(node, landings or {}, found)
        except (OSError, ValueError) as error:
            raise _failure(node, error, [unsure for unsure, _ in errands]) from error
        if refusals:
            raise min(refusals, key=lambda refusal: not isinstance(refusal, ValueTooLarge))
        return found

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Stores values; see `Channel.put_many`."""
        self.trip(values, ())

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values that are there; see `Channel.get_many`."""
        found: dict[str, bytes] = self.trip({}, keys)  # type: ignore[assignment] - without a landing a value is bytes
        return found

    def add(self, key: str, value: bytes) -> bool:
        """Stores a value unless its key is there; see `Channel.add`."""
        node = self._node_of(key)
        with _translated(node):
            self._send(node, _store("add", key, value))
            return _read_outcome(node, key, value, {b"STORED": True, b"NOT_STORED": False})

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Stores a value in place of a known one; see `Channel.replace_if`."""
        node = self._node_of(key)
        with _translated(node):
            self._send(node, [b"gets %b\r\n" % _checked(key)])
            line = node.line()
            if line == b"END":
                return False
            _, _, _, length, mark = line.split()
            found = node.value(int(length), None)
            _expect(node.line(), b"END")
            if found != old:
                return False
            self._send(node, _store("cas", key, new, b" " + mark))
            outcomes = {b"STORED": True, b"EXISTS": False, b"NOT_FOUND": False}
            return _read_outcome(node, key, new, outcomes)

    def delete_many(self, keys: Sequence[str]) -> None:
        """Removes keys with the next request; see `Channel.delete_many`."""
        for key in keys:
            # Nothing depends on the reply: what is not deleted expires.
            self._deletes[self._node_of(key).name].append(b"delete %b noreply\r\n" % _checked(key))

    def close(self) -> None:
        """Sends what is left to delete, and closes the connections."""
        for node in self._nodes:
            if self._deletes[node.name]:
                try:
                    # A reply shows that the node has taken all before it: one that is closed on early drops the rest.
                    self._send(node, [b"version\r\n"])
                    node.line()
                except OSError:
                    pass  # it expires
            node.close()

    def _send(self, node: Connection, parts: list[bytes | memoryview]) -> None:
        deletes, self._deletes[node.name] = self._deletes[node.name], []
        node.send([*deletes, *parts])

    def _errands(self, values: Iterable[str], keys: Sequence[str]) -> list[tuple[Connection, _Errand]]:
        if len(self._nodes) == 1:
            errand = _Errand(list(values), list(keys))
            return [(self._nodes[0], errand)] if errand.stores or errand.reads else []
        errands: dict[str, tuple[Connection, _Errand]] = {}
        for key in values:
            node = self._node_of(key)
            errands.setdefault(node.name, (node, _Errand()))[1].stores.append(key)
        for key in keys:
            node = self._node_of(key)
            errands.setdefault(node.name, (node, _Errand()))[1].reads.append(key)
        return list(errands.values())

    def _node_of(self, key: str) -> Connection:
        """The node with the largest hash of itself and the key: when one goes, only its own keys move.

        Thaler, Ravishankar 1998, Using Name-Based Mappings to Increase Hit Rates.
        """
        if len(self._nodes) == 1:
            return self._nodes[0]
        return max(self._nodes, key=lambda node: hashlib.blake2b(f"{node.name} {key}".encode(), digest_size=8).digest())

    def _item_limit(self, node: Connection) -> int:
        with _translated(node):
            node.send([b"stats settings\r\n"])
            settings: dict[bytes, bytes] = {}
            while (line := node.line()) != b"END":
                _, name, value = line.split(b" ", 2)
                settings[name] = value
            return int(settings[b"item_size_max"])


@contextmanager
def _translated(node: Connection) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise _failure(node, error, [node]) from error


def _failure(node: Connection, error: Exception, unsure: list[Connection]) -> ChannelError:
    """A node's failure as ours; no connection that may still owe a reply is used again."""
    for connection in unsure:
        connection.close()
    return ChannelError(f"Memcached at {node.name}: {str(error) or type(error).__name__}")


def _checked(key: str) -> bytes:
    encoded = key.encode()
    if len(encoded) > LONGEST_KEY_BYTES:
        raise ChannelError(f"key {key[:60]}... has {len(encoded)} bytes; Memcached takes {LONGEST_KEY_BYTES}")
    return encoded


def _store(command: str, key: str, value: Value, mark: bytes = b"") -> list[bytes | memoryview]:
    head = b"%b %b 0 %d %d%b\r\n" % (command.encode(), _checked(key), TTL_S, size_of(value), mark)
    return [head, *parts_of(value), b"\r\n"]


def _store_all(keys: Iterable[str], values: Mapping[str, Value]) -> Iterator[bytes | memoryview]:
    for key in keys:
        yield from _store("set", key, values[key])


def _get(keys: Sequence[str]) -> list[bytes]:
    return [b"get %b\r\n" % b" ".join(map(_checked, keys))] if keys else []


def _read_stored(node: Connection, key: str, size: int) -> ChannelError | None:
    reply = node.line()
    if reply == b"STORED":
        return None
    if not reply.startswith(_REFUSED):
        raise ConnectionError(f"storing {key} was answered with {reply[:80]!r}")
    return _refusal(node, key, size, reply)


def _read_outcome(node: Connection, key: str, value: bytes, outcomes: Mapping[bytes, bool]) -> bool:
    reply = node.line()
    if reply.startswith(_REFUSED):
        raise _refusal(node, key, len(value), reply)
    if reply not in outcomes:
        raise ConnectionError(f"storing {key} was answered with {reply[:80]!r}")
    return outcomes[reply]


def _refusal(node: Connection, key: str, size: int, reply: bytes) -> ChannelError:
    kind = ValueTooLarge if _TOO_LARGE in reply else ChannelError
    cause = reply.removeprefix(_REFUSED).decode(errors="replace").strip()
    return kind(f"Memcached at {node.name}: storing {key} ({size} bytes): {cause}")


def _read_values(node: Connection, landings: Mapping[str, Landing], found: dict[str, Value]) -> None:
    while (line := node.line()) != b"END":
        # VALUE <key> <flags> <bytes>
        words = line.split()
        if len(words) != 4 or words[0] != b"VALUE":
            raise ConnectionError(f"`get` was answered with {line[:80]!r}")
        key = words[1].decode()
        found[key] = node.value(int(words[3]), landings.get(key))


def _expect(line: bytes, expected: bytes) -> None:
    if line != expected:
        raise ConnectionError(f"Memcached answered {line[:80]!r} where {expected!r} belongs")
