"""The emulated network in the proxies' process: what it consists of, from its environment to its report."""

import os

import msgspec

from harness.network.clients import ClientNetworks
from harness.network.conditions import NetworkOfFunctions
from harness.network.conditions.function_network import number_of
from harness.network.discovery import Node
from harness.network.gateway_link import GatewayLink
from harness.network.hop import OwnHop, measure
from harness.network.places import Places
from harness.network.report import NetworkReport, Wanted
from harness.network.shaped_proxy import ShapedProxy
from harness.presets.emulated_network import NETWORK_VARIABLE, EmulatedNetwork
from harness.presets.zones import CACHE_ZONE


def network_from_environment() -> EmulatedNetwork | None:
    """Return the network that this process is to emulate; None for none."""
    text = os.environ.get(NETWORK_VARIABLE)
    return msgspec.json.decode(text, type=EmulatedNetwork) if text else None


class NetworkEmulation:
    """An emulated network.

    Attributes:
        networks: The networks of all clients, for the proxy of S3.

    Args:
        network: What is emulated.
        gateway: Knows the environments.
    """

    def __init__(self, network: EmulatedNetwork, gateway: GatewayLink) -> None:
        self._network = network
        self.networks = ClientNetworks(NetworkOfFunctions(network), Places(gateway))
        self._proxies: list[ShapedProxy] = []
        self._own = OwnHop()

    async def measure(self, cache: Node) -> None:
        """Measure this machine's own hop to a Memcached, before any client is accepted."""
        self._own = await measure(self._network, cache)

    async def open(self, listen: Node, upstream: Node, cache: Node) -> ShapedProxy:
        """Accept clients of a node of the cache.

        Args:
            listen: The address that clients connect to.
            upstream: Memcached, or the proxy that injects faults into it.
            cache: Memcached.
        """
        functions = self.networks.functions
        first = not self._proxies
        cables = (
            (functions.to_cache, functions.from_cache)
            if first
            else (functions.cable_of_node(), functions.cable_of_node())
        )
        proxy = ShapedProxy(listen, upstream, self.networks.of, *cables, functions.tally)
        self._proxies.append(proxy)
        proxy.own_s = 1e-3 * self._own.unseen_ms
        proxy.ahead_s = 1e-3 * number_of(self._network, "store_latency") / 2
        if upstream != cache:
            # The faults of a zone depend on whose connection it is.
            proxy.stand_ins = self.networks
        await proxy.open()
        return proxy

    def close(self) -> None:
        """Break all connections."""
        for proxy in self._proxies:
            proxy.close()

    def report(self) -> NetworkReport:
        """Return what was emulated so far."""
        network = self._network
        names = ("store_latency", "function_burst_bandwidth", "store_bandwidth")
        return NetworkReport(
            preset=network.preset,
            seed=network.seed,
            zones=network.zones,
            cache_zone=CACHE_ZONE,
            wanted=Wanted(*(number_of(network, name) for name in names)),
            own=self._own,
            trips=self.networks.functions.tally.figures(),
        )
