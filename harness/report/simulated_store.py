"""A store in virtual time: what lies in it, and how long its trips take.

Each trip passes these in order, and waits wherever another one is before it:

    rank's core -> half the latency, rank's link -> node's link in -> node's core
                                                                         |  stored, or read
    rank's core <- half the latency, rank's link <- node's link out <----+

A body flows through both links at once, and bodies of several ranks share the node's: the slower one counts, and the
node's is busy for its own share alone.
"""

import heapq
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from harness.report.network import Network
from harness.report.virtual_time import Action, VirtualTime
from training.errors import ValueTooLarge
from training.exchange.channel.base import ReceiveBuffer, Value, joined, receive_into, size_of
from training.exchange.frame import HEADER_BYTES, MAGIC


class Cores:
    """Processors that take work in the order in which it comes."""

    def __init__(self, count: int) -> None:
        self._free_at = [0.0] * count

    def done_at(self, now: float, seconds: float) -> float:
        """Takes work on; returns when it will be done."""
        done = max(now, self._free_at[0]) + seconds
        heapq.heapreplace(self._free_at, done)
        return done


class _Node:
    def __init__(self, cores: Cores) -> None:
        self.cores = cores
        self.values: dict[str, bytes] = {}
        self.in_free_at = self.out_free_at = 0.0


@dataclass(slots=True)
class Traffic:
    """What went to the store and came from it.

    Attributes:
        trips: Trips.
        looks: Keys asked for.
        misses: Those of them that were not there.
        bytes_in: Bytes stored.
        bytes_out: Bytes read.
    """

    trips: int = 0
    looks: int = 0
    misses: int = 0
    bytes_in: float = 0.0
    bytes_out: float = 0.0


class SimulatedStore:
    """What all ranks share.

    Args:
        time: Whose time passes.
        network: How much of it.
        bytes_per_byte: How many bytes each byte of a payload stands for, so that large models fit into this machine.

    Attributes:
        traffic: What went over the network; set it anew to count from there.
    """

    def __init__(self, time: VirtualTime, network: Network, bytes_per_byte: float = 1.0) -> None:
        self.time, self.network, self.bytes_per_byte = time, network, bytes_per_byte
        self.shared = Cores(network.shared_cores) if network.shared_cores else None
        self._nodes = [_Node(self.shared or Cores(network.store_cores)) for _ in range(network.nodes)]
        self.traffic = Traffic()

    def node_of(self, key: str) -> _Node:
        """Where a key lies."""
        return self._nodes[zlib.crc32(key.encode()) % len(self._nodes)]

    def by_node(self, keys: Iterable[str]) -> list[tuple[_Node, list[str]]]:
        """Keys by node, in a fixed order."""
        if len(self._nodes) == 1:
            return [(self._nodes[0], list(keys))]
        lists: dict[int, list[str]] = {}
        for key in keys:
            lists.setdefault(zlib.crc32(key.encode()) % len(self._nodes), []).append(key)
        return [(self._nodes[index], lists[index]) for index in sorted(lists)]

    def size_of(self, value: bytes) -> float:
        """How many bytes a value stands for."""
        # Headers do not grow with the model.
        header = HEADER_BYTES if value[: len(MAGIC)] == MAGIC else 0
        return header + (len(value) - header) * self.bytes_per_byte


class SimulatedChannel:
    """One rank's channel to the store; a `training.exchange.channel.base.Channel`.

    Args:
        store: The store.
    """

    def __init__(self, store: SimulatedStore) -> None:
        self._store, self._time, self._network = store, store.time, store.network
        # A first piece holds a whole header, and an item of many bytes is few here.
        scaled = int(store.network.max_value_bytes / store.bytes_per_byte)
        self.max_value_bytes = max(scaled, 2 * HEADER_BYTES)

    def round_trip(
        self, values: Mapping[str, Value], keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
    ) -> dict[str, Value]:
        """Stores values, then reads keys; see `Channel.round_trip`."""
        for key, value in values.items():
            if size_of(value) > self.max_value_bytes:
                raise ValueTooLarge(f"value of {key} has {size_of(value)} bytes, the limit is {self.max_value_bytes}")
        found: dict[str, bytes] = {}
        for node, its_keys in self._store.by_node([*values, *keys]):
            held = {key: joined([values[key]]) for key in its_keys if key in values}
            wanted = [key for key in its_keys if key not in held]
            size = sum(map(self._store.size_of, held.values()))
            self._store.traffic.bytes_in += size
            self._trip(node, len(its_keys), len(held), size, partial(self._serve, node, held, wanted, found))
        buffers = buffers or {}
        return {key: receive_into(value, buffers.get(key)) for key, value in found.items()}

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Stores values; see `Channel.put_many`."""
        self.round_trip(values, ())

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The values that are there; see `Channel.get_many`."""
        return cast("dict[str, bytes]", self.round_trip({}, keys))  # without a landing a value is bytes

    def add(self, key: str, value: bytes) -> bool:
        """Stores a value unless its key is there; see `Channel.add`."""
        return self._conditionally(key, None, value)

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Stores a value in place of a known one; see `Channel.replace_if`."""
        return self._conditionally(key, old, new)

    def delete_many(self, keys: Sequence[str]) -> None:
        """Removes keys; nobody waits for it, but it keeps the store busy."""
        sent_at = self._time.now + self._network.latency_s / 2
        for node, its_keys in self._store.by_node(keys):
            self._time.at(sent_at, partial(self._remove, node, its_keys))

    def diagnosis(self) -> str:
        """Return nothing: no value is lost here."""
        return ""

    def close(self) -> None:
        """Nothing to give back."""

    def _conditionally(self, key: str, old: bytes | None, new: bytes) -> bool:
        node, stored = self._store.node_of(key), []

        def swap() -> tuple[int, float]:
            if node.values.get(key) == old:
                node.values[key] = new
                stored.append(key)
            return 0, 0.0

        self._trip(node, 1, 1, float(len(new)), swap)
        return bool(stored)

    def _remove(self, node: _Node, keys: list[str]) -> None:
        for key in keys:
            node.values.pop(key, None)
        node.cores.done_at(self._time.now, self._network.store_trip_s + len(keys) * self._network.store_key_s)

    def _serve(
        self, node: _Node, values: Mapping[str, bytes], keys: list[str], found: dict[str, bytes]
    ) -> tuple[int, float]:
        node.values.update(values)
        here = {key: node.values[key] for key in keys if key in node.values}
        found.update(here)
        size = sum(map(self._store.size_of, here.values()))
        self._store.traffic.looks += len(keys)
        self._store.traffic.misses += len(keys) - len(here)
        self._store.traffic.bytes_out += size
        return len(here), size

    def _trip(self, node: _Node, keys: int, sent: int, up_bytes: float, act: Callable[[], tuple[int, float]]) -> None:
        """Passes one trip's time.

        Args:
            node: Where to.
            keys: How many keys it names.
            sent: How many values go up.
            up_bytes: How many bytes they have.
            act: Does it at the node; returns how many values go down, and their bytes.
        """
        network, time = self._network, self._time
        self._store.traffic.trips += 1
        # Values beyond what travels at once wait for the next turn of the wire.
        latency = network.latency_s * -(-keys // network.keys_per_trip)

        def begin(resume: Action) -> None:
            ready = self._rank_done_at(network.trip_s / 2 + sent * network.frame_s + up_bytes * network.byte_s)
            time.at(ready + latency / 2, lambda: arrive(resume))

        def arrive(resume: Action) -> None:
            node.in_free_at = max(node.in_free_at, time.now) + up_bytes / network.store_bytes_per_s
            time.at(max(node.in_free_at, time.now + up_bytes / network.rank_bytes_per_s), lambda: serve(resume))

        def serve(resume: Action) -> None:
            work = network.store_trip_s + keys * network.store_key_s + up_bytes * network.store_byte_s
            time.at(node.cores.done_at(time.now, work), lambda: answer(resume))

        def answer(resume: Action) -> None:
            count, down_bytes = act()
            copied = node.cores.done_at(time.now, down_bytes * network.store_byte_s) if down_bytes else time.now
            node.out_free_at = max(node.out_free_at, copied) + down_bytes / network.store_bytes_per_s
            arrived = max(node.out_free_at, copied + down_bytes / network.rank_bytes_per_s)
            time.at(arrived + latency / 2, lambda: take(resume, count, down_bytes))

        def take(resume: Action, count: int, down_bytes: float) -> None:
            work = network.trip_s / 2 + count * network.frame_s + down_bytes * network.byte_s
            time.at(self._rank_done_at(work), resume)

        time.wait(begin)

    def _rank_done_at(self, seconds: float) -> float:
        shared = self._store.shared
        return self._time.now + seconds if shared is None else shared.done_at(self._time.now, seconds)
