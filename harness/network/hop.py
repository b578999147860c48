"""What this machine takes for a trip by itself, measured when the emulated network starts.

A trip of 0.66 ms cannot be emulated where the way through the proxy takes longer. Where it takes less, it counts.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from statistics import median, quantiles

import msgspec

from harness.network.conditions import FunctionNetwork, SharedCable, Tally
from harness.network.conditions.buckets import MB
from harness.network.conditions.tally import TripFigures
from harness.network.discovery import Node
from harness.network.shaped_proxy import ShapedProxy
from harness.presets.distribution import ByCount, Constant, Value
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.zones import CACHE_ZONE
from harness.system.ports import LOOPBACK

TRIPS = 60
# A trip with a wait before and behind the cache, as an emulated one has them; ms.
WAITED_MS = 0.5
# Memcached takes no value above 1 MiB by default.
_VALUE_BYTES, VALUES = 1_000_000, 16
_AT_ONCE_MS = 1e-6
_ANSWER_WITHIN_S = 5.0
_KEY = b"lambda-harness/hop"
_UNLIMITED = 1e9  # MB/s


class OwnHop(msgspec.Struct, frozen=True):
    """What this machine takes for a trip to the cache through the proxy.

    Attributes:
        trip_ms: A trip without emulated latency: no emulated trip is shorter.
        unseen_ms: The part of a trip before and after the proxy sees it; it is taken off every draw.
        bandwidth: Of one connection that stores values of 1 MB, one after the other, MB/s.
    """

    trip_ms: float = 0.0
    unseen_ms: float = 0.0
    bandwidth: float = 0.0


async def measure(network: EmulatedNetwork, cache: Node) -> OwnHop:
    """Measure this machine's own hop.

    Args:
        network: What is emulated.
        cache: The address of Memcached, which holds small values of ours for a moment.
    """
    direct_s, _ = await _through_proxy(network, cache, _AT_ONCE_MS, _trips)
    waited_s, figures = await _through_proxy(network, cache, WAITED_MS, _trips)
    transfer_s, _ = await _through_proxy(network, cache, _AT_ONCE_MS, _transfer)
    return OwnHop(
        trip_ms=round(1e3 * median(direct_s), 4),
        unseen_ms=round(max(0.0, 1e3 * median(waited_s) - figures.delivered_ms["p50"]), 4),
        # Other services start at the same time, and take the processor for more than a transfer's time.
        bandwidth=round(_VALUE_BYTES / MB / quantiles(transfer_s)[0], 1),
    )


async def _through_proxy(
    network: EmulatedNetwork, cache: Node, latency_ms: float, ask: Callable[[socket.socket], list[float]]
) -> tuple[list[float], TripFigures]:
    """Return what is measured through a proxy of this latency without limits, and what the proxy has seen of it."""
    figures: dict[str, Value] = {
        name: value if isinstance(value, ByCount) else Constant(_UNLIMITED) for name, value in network.figures.items()
    }
    figures["store_latency"] = Constant(latency_ms)
    probe = FunctionNetwork(msgspec.structs.replace(network, figures=figures), 0, CACHE_ZONE, time.monotonic())

    async def found(_connection: socket.socket) -> FunctionNetwork:
        return probe

    cable, tally = SharedCable(_UNLIMITED * MB), Tally()
    proxy = ShapedProxy(Node(LOOPBACK, 0), cache, found, cable, cable, tally)
    port = await proxy.open()
    try:
        measured = await asyncio.to_thread(_asked, (LOOPBACK, port), ask)
    finally:
        proxy.close()
    return measured, tally.figures()[0]


def _asked(address: tuple[str, int], ask: Callable[[socket.socket], list[float]]) -> list[float]:
    with socket.create_connection(address, timeout=_ANSWER_WITHIN_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ask(connection)


def _trips(connection: socket.socket) -> list[float]:
    """Return what each trip took, s."""
    return [_trip(connection, b"version\r\n") for _ in range(TRIPS)]


def _transfer(connection: socket.socket) -> list[float]:
    """Return what it took to store each value, s; they are not kept."""
    store = b"set %b 0 -1 %d\r\n%b\r\n" % (_KEY, _VALUE_BYTES, bytes(_VALUE_BYTES))
    return [_trip(connection, store) for _ in range(VALUES)]


def _trip(connection: socket.socket, request: bytes) -> float:
    began = time.perf_counter()
    connection.sendall(request)
    while not connection.recv(4096).endswith(b"\r\n"):
        pass
    return time.perf_counter() - began
