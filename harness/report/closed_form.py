"""The time of an all-reduce in closed form: with the simulation's constants, but without its queues.

A collective is a sequence of phases, in each of which ranks put or get; a phase takes as long as the slowest of

    the rank with the most to do     round trips, values and bytes one after the other
    the store's processors           all round trips and keys
    the store's link                 all bytes

A put and the first poll after it share a round trip, but all ranks begin at once, so that this poll comes too early
for all but the last of them: the get is a separate phase.
Ranks that have nothing else to do poll (`training.exchange.backoff`, as in a run's first rounds, before the back-off
has adapted), and read the pieces on one node while the others are still being put.

Before the first phase, the store removes an earlier round's values.
The all-reduce takes at least as long as the store's processors are busy, polls included.
Any other overlap between phases is ignored: the simulation shows its effect.
"""

import bisect
import functools
import itertools
import math
from dataclasses import dataclass

from harness.report.network import Network
from training.exchange.backoff import LONGEST_DELAY_PER_RANK_S, LONGEST_DELAY_S, delays
from training.exchange.collectives.two_level import WHOLE_UP_TO_BYTES, group_of, leaders_of
from training.exchange.frame import HEADER_BYTES


@dataclass(frozen=True, slots=True)
class TransferPhase:
    """One put or get of some ranks at once.

    Attributes:
        ranks: The number of ranks that take part.
        values: The number of values that each of them puts or gets.
        value_bytes: The size of one value in bytes, without its header.
        early_gets: The number of values that a put's round trip requests too early, other than as a poll.
        waits: Whether these ranks have nothing else to do until all values have arrived, and poll.
    """

    ranks: int
    values: int
    value_bytes: float
    early_gets: int = 0
    waits: bool = False

    def pieces(self, network: Network) -> int:
        """Return the number of pieces of a value; they are sent at once, those of a node in one round trip."""
        return max(1, math.ceil((self.value_bytes + HEADER_BYTES) / network.max_value_bytes))

    def keys_and_trips(self, network: Network) -> tuple[int, int]:
        """Return how many keys each rank names, and how many nodes it asks, one after the other."""
        keys = (self.values + self.early_gets) * self.pieces(network)
        return keys, min(network.nodes, keys)

    def rank_s(self, network: Network) -> float:
        """Return the time of a rank that has the store to itself."""
        keys, trips = self.keys_and_trips(network)
        turns = max(trips, math.ceil(keys / network.keys_per_trip))
        return (
            turns * (network.latency_s + network.trip_s)
            + self.values * self.pieces(network) * network.frame_s
            + self.values * (self.value_bytes + HEADER_BYTES) * (network.byte_s + 1 / network.rank_bytes_per_s)
        )

    def store_s(self, network: Network) -> float:
        """Return how long the phase keeps the store's processors busy."""
        keys, trips = self.keys_and_trips(network)
        work = (
            trips * network.store_trip_s
            + keys * network.store_key_s
            + self.values * (self.value_bytes + HEADER_BYTES) * network.store_byte_s
        )
        return self.ranks * work / (network.nodes * network.store_cores)

    def link_s(self, network: Network) -> float:
        """Return how long the phase keeps the store's link busy."""
        size = self.ranks * self.values * (self.value_bytes + HEADER_BYTES)
        return size / (network.nodes * network.store_bytes_per_s)

    def seconds(self, network: Network) -> float:
        """Return the time of the phase."""
        return max(self.rank_s(network), self.store_s(network), self.link_s(network))


def phases(collective: str, world_size: int, part_bytes: int) -> list[TransferPhase]:
    """Return the phases of a collective: a put, the get that waits for it, and so on; none for a single rank.

    Raises:
        KeyError: There is no such collective.
    """
    w, m = world_size, float(part_bytes)
    if w == 1:
        return []
    if collective == "two_level":
        leaders, members = len(leaders_of(w)), len(group_of(0, w)) - 1
        flat = "all_gather" if m <= WHOLE_UP_TO_BYTES else "reduce_scatter"
        return [
            TransferPhase(w - leaders, 1, m),
            TransferPhase(leaders, members, m, waits=True),
            *phases(flat, leaders, part_bytes),
            TransferPhase(leaders, 1, m),
            TransferPhase(w - leaders, 1, m, waits=True),
        ]
    return {
        "all_gather": [TransferPhase(w, 1, m, early_gets=w - 1), TransferPhase(w, w - 1, m)],
        "reduce": [
            TransferPhase(w - 1, 1, m),
            TransferPhase(1, w - 1, m, waits=True),
            TransferPhase(1, 1, m),
            TransferPhase(w - 1, 1, m, waits=True),
        ],
        "reduce_scatter": [
            TransferPhase(w, w - 1, m / w, early_gets=w - 1),
            TransferPhase(w, w - 1, m / w),
            TransferPhase(w, 1, m / w, early_gets=w - 1),
            TransferPhase(w, w - 1, m / w),
        ],
    }[collective]


def seconds(collective: str, world_size: int, part_bytes: int, network: Network) -> float:
    """Return the time of one all-reduce.

    Args:
        collective: `all_gather`, `reduce`, `reduce_scatter` or `two_level`.
        world_size: The number of ranks.
        part_bytes: The size of one rank's part in bytes.
        network: The constants.

    Raises:
        KeyError: There is no such collective.
    """
    sequence = phases(collective, world_size, part_bytes)
    removed = sum(phase.ranks * phase.values * phase.pieces(network) for phase in sequence[::2])
    removal_s = removed * network.store_key_s / (network.nodes * network.store_cores)
    chain_s = removal_s + sum(
        _pair_s(put, get, network) for put, get in zip(sequence[::2], sequence[1::2], strict=True)
    )
    pollers = sum(phase.ranks for phase in sequence if phase.waits)
    trip_s = network.latency_s + network.trip_s
    # All ranks that wait for one value poll its node; leaders' values are on several nodes.
    polled_nodes = 1 if collective == "reduce" else network.nodes
    poll_s = pollers * (network.store_trip_s + network.store_key_s) / (polled_nodes * network.store_cores)
    polls = polls_within(chain_s, world_size, max(trip_s, poll_s))
    busy_s = removal_s + sum(phase.store_s(network) for phase in sequence) + polls * poll_s
    return max(chain_s, busy_s)


def polls_within(wait_s: float, world_size: int, trip_s: float) -> int:
    """Count the polls of a rank that waits this long.

    Args:
        wait_s: How long it waits.
        world_size: Ranks.
        trip_s: What one poll itself takes.
    """
    longest_s = max(LONGEST_DELAY_S, LONGEST_DELAY_PER_RANK_S * world_size)
    slept_s = _slept_while_growing(longest_s)
    growing = bisect.bisect_right(range(1, len(slept_s) + 1), wait_s, key=lambda n: slept_s[n - 1] + n * trip_s)
    if growing < len(slept_s):
        return growing
    return growing + int((wait_s - slept_s[-1] - growing * trip_s) / (longest_s + trip_s))


@functools.cache
def _slept_while_growing(longest_s: float) -> tuple[float, ...]:
    """Return the seconds slept up to each poll, as long as the delays between polls still grow."""
    growing = itertools.takewhile(lambda delay_s: delay_s < longest_s, delays(longest_s))
    return tuple(itertools.accumulate(growing))


def _pair_s(put: TransferPhase, get: TransferPhase, network: Network) -> float:
    """Return the time of a put and the get that waits for it; pieces on several nodes are read while others are put."""
    steps = min(network.nodes, put.pieces(network)) if get.waits else 1
    put_s, get_s = put.seconds(network), get.seconds(network)
    return max(put_s + get_s / steps, put_s / steps + get_s)
