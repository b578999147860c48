"""Many rounds of a run in virtual time, one after the other, by the code that runs on AWS, with drawn latencies.

`harness.report.simulate` lets all ranks begin a round at once. In a run they do not: who has the total begins the next
round while others still wait, polls adapt to the waits before, and each trip has a latency of its own. So a round of a
run is shorter than one with a common start where a rank's put meets frames that are there already (2 ranks: by a
fifth), and longer where the slowest of many trips counts (`reduce` of 32 ranks: by a fifth).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.network.conditions import Draws, FunctionNetwork, NetworkOfFunctions
from harness.presets.distribution import Varying
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.zones import ZONES
from harness.report.network import Network
from harness.report.simulate import LARGEST_PAYLOAD_BYTES, exchange_of
from harness.report.simulated_store import SimulatedChannel, SimulatedStore, StoreNode
from harness.report.virtual_time import VirtualTime
from training.exchange.clock import Clock
from training.exchange.exchange import Exchange

# Rounds in which the back-off learns, and whose times are not those of a long run.
LEARNING = 10


@dataclass(frozen=True, slots=True)
class SimulatedRounds:
    """The simulated rounds of a run, without those in which the back-off learns.

    Attributes:
        seconds: The time of each round on each rank: a line for a round, a column for a rank.
    """

    seconds: npt.NDArray[np.float64]

    @property
    def period_s(self) -> float:
        """The mean time of a round: how much longer one more round makes the run."""
        return float(self.seconds.mean())

    @property
    def median_s(self) -> float:
        """The median round of rank 0, which a run's summary shows."""
        return float(np.median(self.seconds[:, 0]))


class EmulatedChannel(SimulatedChannel):
    """One rank's channel over the network that `harness run --network` emulates, by the same code.

    Args:
        store: The store.
        networks: The networks of all ranks.
        function: This rank's.
    """

    def __init__(self, store: SimulatedStore, networks: NetworkOfFunctions, function: FunctionNetwork) -> None:
        super().__init__(store, lambda: function.draw_s(function.store))
        self._networks, self._function, self._store_time = networks, function, store.time

    def passed_up(self, _node: StoreNode, size: float) -> float:
        """Let the bytes pass the function's bucket and the node's cable."""
        now = self._store_time.now
        return max(self._function.sent.pass_bytes(size, now), self._networks.to_cache.pass_bytes(size, now))

    def passed_down(self, _node: StoreNode, size: float, ready: float) -> float:
        """Let the bytes pass the function's bucket and the node's cable."""
        passed = self._function.received.pass_bytes(size, ready)
        return max(passed, self._networks.from_cache.pass_bytes(size, ready))


def simulate_rounds(
    collective: str,
    world_size: int,
    part_bytes: int,
    network: Network,
    latency_ms: Varying | Callable[[int], Varying],
    *,
    rounds: int = 30,
    compute_s: float = 0.0,
    seed: int = 0,
) -> SimulatedRounds:
    """Time rounds that follow one another, with the network's bandwidths and drawn latencies.

    Args:
        collective: A name of `training.exchange.collectives.registry.REGISTRY`.
        world_size: The number of ranks, at least 2.
        part_bytes: The size of one rank's part in bytes.
        network: The constants; its latency is not used.
        latency_ms: The latency of a round trip in ms, drawn for each, or a function that returns it for a rank.
        rounds: How many rounds are timed.
        compute_s: How long a rank computes in each, before it exchanges.
        seed: The seed of the draws.
    """

    def channel_of(store: SimulatedStore, rank: int) -> SimulatedChannel:
        its = latency_ms(rank) if callable(latency_ms) else latency_ms
        return SimulatedChannel(store, Draws(its, (seed, rank), scale=1e-3).draw)

    return _rounds(collective, world_size, part_bytes, network, channel_of, rounds, compute_s)


def simulate_emulated(
    collective: str,
    world_size: int,
    part_bytes: int,
    network: Network,
    emulated: EmulatedNetwork,
    *,
    rounds: int = 30,
    compute_s: float = 0.0,
) -> SimulatedRounds:
    """Time rounds that follow one another on an emulated network: drawn latencies, zones and token buckets.

    Args:
        collective: A name of `training.exchange.collectives.registry.REGISTRY`.
        world_size: The number of ranks, at least 2.
        part_bytes: The size of one rank's part in bytes.
        network: The constants of processors; its latency and its bandwidths are not used.
        emulated: The network.
        rounds: How many rounds are timed.
        compute_s: How long a rank computes in each, before it exchanges.
    """
    networks = NetworkOfFunctions(emulated)
    # All are there before the first round, so that all share the VPC.
    functions = [networks.of_environment(str(rank), ZONES[rank % emulated.zones], 0.0) for rank in range(world_size)]

    def channel_of(store: SimulatedStore, rank: int) -> SimulatedChannel:
        return EmulatedChannel(store, networks, functions[rank])

    return _rounds(collective, world_size, part_bytes, network, channel_of, rounds, compute_s)


def _rounds(
    collective: str,
    world_size: int,
    part_bytes: int,
    network: Network,
    channel_of: Callable[[SimulatedStore, int], SimulatedChannel],
    rounds: int,
    compute_s: float,
) -> SimulatedRounds:
    elements = max(1, min(part_bytes, max(LARGEST_PAYLOAD_BYTES, 4 * world_size)) // 4)
    time = VirtualTime()
    store = SimulatedStore(time, network, part_bytes / (4 * elements))
    clock = Clock(lambda: time.now, lambda seconds: time.sleep(seconds + network.oversleep_s if seconds else 0.0))
    part = np.linspace(-1e3, 1e3, elements, dtype=np.float32)
    taken = np.zeros((LEARNING + rounds, world_size))

    def rank_main(exchange: Exchange) -> None:
        for number in range(len(taken)):
            started = time.now
            if compute_s:
                time.sleep(compute_s)
            exchange.begin_round(number + 1)
            exchange.all_reduce(part * np.float32(exchange.rank + 1), 1)
            taken[number, exchange.rank] = time.now - started

    exchanges = [
        exchange_of(channel_of(store, rank), rank, world_size, collective, clock) for rank in range(world_size)
    ]
    time.run([partial(rank_main, exchange) for exchange in exchanges])
    return SimulatedRounds(taken[LEARNING:])
