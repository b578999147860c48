"""The networks of all functions of a stack: one for each environment, the VPC's ceiling, and the cache's own cable."""

from collections.abc import Collection

from harness.network.conditions.buckets import MB, SharedCable
from harness.network.conditions.function_network import FunctionNetwork, number_of
from harness.network.conditions.tally import Tally
from harness.presets.distribution import ByCount
from harness.presets.emulated_network import EmulatedNetwork


class NetworkOfFunctions:
    """The networks of all functions.

    Attributes:
        network: What is emulated.
        tally: What it has added.
        to_cache: The cable of the cache's first node, for what all functions send to it.
        from_cache: The same, for what they receive.

    Args:
        network: What is emulated.
    """

    def __init__(self, network: EmulatedNetwork) -> None:
        self.network, self.tally = network, Tally()
        self.to_cache, self.from_cache = self.cable_of_node(), self.cable_of_node()
        self._functions: dict[str, FunctionNetwork] = {}
        self._seen = 0

    def cable_of_node(self) -> SharedCable:
        """Return a cable of a node of the cache, which has one for each direction."""
        return SharedCable(MB * number_of(self.network, "store_bandwidth"))

    def of_environment(self, environment: str, zone: str, now: float) -> FunctionNetwork:
        """Return the network of an environment; a new one has a full bucket.

        Args:
            environment: Its id.
            zone: Its zone.
            now: The time.
        """
        found = self._functions.get(environment)
        if found is None:
            found = self._functions[environment] = FunctionNetwork(self.network, self._seen, zone, now)
            self._seen += 1
            self._share_vpc()
        return found

    def keep(self, environments: Collection[str]) -> None:
        """Forget the environments that are not among these: they have ended, and leave the VPC to the others."""
        for gone in self._functions.keys() - set(environments):
            del self._functions[gone]
        self._share_vpc()

    def _share_vpc(self) -> None:
        count, alone = len(self._functions), MB * number_of(self.network, "function_bandwidth")
        vpc = self.network.figures["vpc_bandwidth"]
        ceiling = MB * vpc.at(count, below=alone / MB) if isinstance(vpc, ByCount) and count else alone
        for one in self._functions.values():
            one.limit(min(alone, ceiling))
