"""A store in virtual time: its values, and the time of its round trips.

Each round trip passes these stations in order, and queues behind earlier ones:

    rank's core -> half the latency, rank's link -> node's link in -> node's core
                                                                         |  stored, or read
    rank's core <- half the latency, rank's link <- node's link out <----+

A body passes both links at once, so the slower one determines its time. Bodies of several ranks share the node's
link, which each keeps busy only for its own share.
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
    """Processors that serve work in order of arrival."""

    def __init__(self, count: int) -> None:
        self._free_at = [0.0] * count

    def done_at(self, now: float, seconds: float) -> float:
        """Accept work, and return when it will be done."""
        done = max(now, self._free_at[0]) + seconds
        heapq.heapreplace(self._free_at, done)
        return done


class StoreNode:
    """A node: its values, its processors, and when each direction of its link is free."""

    def __init__(self, cores: Cores) -> None:
        self.cores = cores
        self.values: dict[str, bytes] = {}
        self.in_free_at = self.out_free_at = 0.0


@dataclass(slots=True)
class Traffic:
    """The traffic to and from the store.

    Attributes:
        trips: The number of round trips.
        looks: The number of keys requested.
        misses: The number of requested keys that did not exist.
        bytes_in: The number of bytes stored.
        bytes_out: The number of bytes read.
    """

    trips: int = 0
    looks: int = 0
    misses: int = 0
    bytes_in: float = 0.0
    bytes_out: float = 0.0


class SimulatedStore:
    """The store that all ranks share.

    Args:
        time: The virtual time.
        network: The constants.
        bytes_per_byte: How many bytes each byte of a payload represents, so that large models fit into memory.

    Attributes:
        traffic: The traffic so far; replace it to start counting again.
    """

    def __init__(self, time: VirtualTime, network: Network, bytes_per_byte: float = 1.0) -> None:
        self.time, self.network, self.bytes_per_byte = time, network, bytes_per_byte
        self.shared = Cores(network.shared_cores) if network.shared_cores else None
        self._nodes = [StoreNode(self.shared or Cores(network.store_cores)) for _ in range(network.nodes)]
        self.traffic = Traffic()

    def node_of(self, key: str) -> StoreNode:
        """Return the node of a key."""
        return self._nodes[zlib.crc32(key.encode()) % len(self._nodes)]

    def by_node(self, keys: Iterable[str]) -> list[tuple[StoreNode, list[str]]]:
        """Return keys by node, in a fixed order."""
        if len(self._nodes) == 1:
            return [(self._nodes[0], list(keys))]
        lists: dict[int, list[str]] = {}
        for key in keys:
            lists.setdefault(zlib.crc32(key.encode()) % len(self._nodes), []).append(key)
        return [(self._nodes[index], lists[index]) for index in sorted(lists)]

    def size_of(self, value: bytes) -> float:
        """Return how many bytes a value represents."""
        # Headers do not grow with the model.
        header = HEADER_BYTES if value[: len(MAGIC)] == MAGIC else 0
        return header + (len(value) - header) * self.bytes_per_byte


class SimulatedChannel:
    """One rank's channel to the store; a `training.exchange.channel.base.Channel`.

    Args:
        store: The store.
        draw_latency_s: Returns the latency of this rank's next round trip; None takes the network's for all.
    """

    def __init__(self, store: SimulatedStore, draw_latency_s: Callable[[], float] | None = None) -> None:
        self._store, self._time, self._network = store, store.time, store.network
        self._draw_latency_s = draw_latency_s or (lambda: store.network.latency_s)
        # A first piece has a whole header, however few bytes represent an item here.
        scaled = int(store.network.max_value_bytes / store.bytes_per_byte)
        self.max_value_bytes = max(scaled, 2 * HEADER_BYTES)

    def round_trip(
        self, values: Mapping[str, Value], keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
    ) -> dict[str, Value]:
        """Store values, then read keys; see `Channel.round_trip`."""
        for key, value in values.items():
            if size_of(value) > self.max_value_bytes:
                raise ValueTooLarge(f"value of {key} has {size_of(value)} bytes, the limit is {self.max_value_bytes}")
        found: dict[str, bytes] = {}
        for node, its_keys in self._store.by_node([*values, *keys]):
            held = {key: joined([values[key]]) for key in its_keys if key in values}
            wanted = [key for key in its_keys if key not in held]
            size = sum(map(self._store.size_of, held.values()))
            self._store.traffic.bytes_in += size
            self._round_trip(node, len(its_keys), len(held), size, partial(self._serve, node, held, wanted, found))
        buffers = buffers or {}
        return {key: receive_into(value, buffers.get(key)) for key, value in found.items()}

    def put_many(self, values: Mapping[str, Value]) -> None:
        """Store values; see `Channel.put_many`."""
        self.round_trip(values, ())

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values that exist; see `Channel.get_many`."""
        return cast("dict[str, bytes]", self.round_trip({}, keys))  # without a buffer, a value is bytes

    def add(self, key: str, value: bytes) -> bool:
        """Store a value unless its key exists; see `Channel.add`."""
        return self._conditionally(key, None, value)

    def replace_if(self, key: str, old: bytes, new: bytes) -> bool:
        """Replace a value if it is the expected one; see `Channel.replace_if`."""
        return self._conditionally(key, old, new)

    def delete_many(self, keys: Sequence[str]) -> None:
        """Remove keys; no rank waits for this, but it keeps the store busy."""
        sent_at = self._time.now + self._network.latency_s / 2
        for node, its_keys in self._store.by_node(keys):
            self._time.at(sent_at, partial(self._remove, node, its_keys))

    def refresh(self) -> None:
        """Do nothing: the nodes never change here."""

    def diagnosis(self) -> str:
        """Return nothing: no value is lost here."""
        return ""

    def close(self) -> None:
        """Do nothing: there is no connection to close."""

    def _conditionally(self, key: str, old: bytes | None, new: bytes) -> bool:
        node, stored = self._store.node_of(key), []

        def swap() -> tuple[int, float]:
            if node.values.get(key) == old:
                node.values[key] = new
                stored.append(key)
            return 0, 0.0

        self._round_trip(node, 1, 1, float(len(new)), swap)
        return bool(stored)

    def _remove(self, node: StoreNode, keys: list[str]) -> None:
        for key in keys:
            node.values.pop(key, None)
        node.cores.done_at(self._time.now, self._network.store_trip_s + len(keys) * self._network.store_key_s)

    def _serve(
        self, node: StoreNode, values: Mapping[str, bytes], keys: list[str], found: dict[str, bytes]
    ) -> tuple[int, float]:
        node.values.update(values)
        here = {key: node.values[key] for key in keys if key in node.values}
        found.update(here)
        size = sum(map(self._store.size_of, here.values()))
        self._store.traffic.looks += len(keys)
        self._store.traffic.misses += len(keys) - len(here)
        self._store.traffic.bytes_out += size
        return len(here), size

    def _round_trip(
        self, node: StoreNode, keys: int, sent: int, up_bytes: float, act: Callable[[], tuple[int, float]]
    ) -> None:
        """Let the time of one round trip pass.

        Args:
            node: The node.
            keys: The number of keys in the request.
            sent: The number of values in the request.
            up_bytes: The size of these values in bytes.
            act: Carries out the request at the node; returns the number of values in the answer, and their size.
        """
        network, time = self._network, self._time
        self._store.traffic.trips += 1
        # Keys beyond those of one round trip take further latencies.
        latency = self._draw_latency_s() * -(-keys // network.keys_per_trip)

        def begin(resume: Action) -> None:
            ready = self._rank_done_at(network.trip_s / 2 + sent * network.frame_s + up_bytes * network.byte_s)
            time.at(ready + latency / 2, lambda: arrive(resume))

        def arrive(resume: Action) -> None:
            time.at(self.passed_up(node, up_bytes), lambda: serve(resume))

        def serve(resume: Action) -> None:
            work = network.store_trip_s + keys * network.store_key_s + up_bytes * network.store_byte_s
            time.at(node.cores.done_at(time.now, work), lambda: answer(resume))

        def answer(resume: Action) -> None:
            count, down_bytes = act()
            copied = node.cores.done_at(time.now, down_bytes * network.store_byte_s) if down_bytes else time.now
            arrived = self.passed_down(node, down_bytes, copied)
            time.at(arrived + latency / 2, lambda: take(resume, count, down_bytes))

        def take(resume: Action, count: int, down_bytes: float) -> None:
            work = network.trip_s / 2 + count * network.frame_s + down_bytes * network.byte_s
            time.at(self._rank_done_at(work), resume)

        time.wait(begin)

    def passed_up(self, node: StoreNode, size: float) -> float:
        """Return when bytes that leave the rank now have reached the node."""
        node.in_free_at = max(node.in_free_at, self._time.now) + size / self._network.store_bytes_per_s
        return max(node.in_free_at, self._time.now + size / self._network.rank_bytes_per_s)

    def passed_down(self, node: StoreNode, size: float, ready: float) -> float:
        """Return when bytes that are ready at the node by then have reached the rank."""
        node.out_free_at = max(node.out_free_at, ready) + size / self._network.store_bytes_per_s
        return max(node.out_free_at, ready + size / self._network.rank_bytes_per_s)

    def _rank_done_at(self, seconds: float) -> float:
        shared = self._store.shared
        return self._time.now + seconds if shared is None else shared.done_at(self._time.now, seconds)
