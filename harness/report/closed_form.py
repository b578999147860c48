"""What an all-reduce takes, in closed form: the simulation's constants, without its queues.

A collective is a row of phases, in each of which ranks put or get; a phase takes as long as the slowest of

    the rank with the most to do     trips, values and bytes one after the other
    the store's processors           all trips and keys
    the store's link                 all bytes

Before the first one the store removes an earlier round's values.
The whole takes at least as long as the store's processors are busy, polls of ranks that wait for a merged value
included.
What overlaps between phases is left out: the simulation tells what that makes.
"""

import math
from dataclasses import dataclass

from harness.report.network import Network
from training.exchange.frame import HEADER_BYTES
from training.exchange.two_level import WHOLE_UP_TO_BYTES, group_of, leaders_of

# How a rank that waits looks again: this often within its first trips, then this seldom.
# `training.exchange.mailbox` has it exactly, and the simulation runs it.
EAGER_POLLS = 4
POLL_INTERVAL_S = 2e-3


@dataclass(frozen=True, slots=True)
class Phase:
    """One put or get of some ranks at once.

    Attributes:
        ranks: How many ranks take part.
        values: How many values each of them puts or gets.
        value_bytes: Bytes of one value, its header left out.
        waits: Whether these ranks have nothing to do until the value is there, and poll.
    """

    ranks: int
    values: int
    value_bytes: float
    waits: bool = False

    def pieces(self, network: Network) -> int:
        """In how many pieces a value travels; a rank reads the next one when it has the one before."""
        return max(1, math.ceil((self.value_bytes + HEADER_BYTES) / network.max_value_bytes))

    def rank_s(self, network: Network) -> float:
        """How long it takes a rank that has the store for itself."""
        keys = self.values * self.pieces(network)
        trips = self.pieces(network) * min(network.nodes, self.values)
        turns = max(trips, math.ceil(keys / network.keys_per_trip))
        return (
            turns * (network.latency_s + network.trip_s)
            + keys * network.frame_s
            + self.values * (self.value_bytes + HEADER_BYTES) * (network.byte_s + 1 / network.rank_bytes_per_s)
        )

    def store_s(self, network: Network) -> float:
        """How long it keeps the store's processors busy."""
        pieces = self.pieces(network)
        work = (
            pieces * min(network.nodes, self.values) * network.store_trip_s
            + self.values * pieces * network.store_key_s
            + self.values * (self.value_bytes + HEADER_BYTES) * network.store_byte_s
        )
        return self.ranks * work / (network.nodes * network.store_cores)

    def link_s(self, network: Network) -> float:
        """How long it keeps the store's link busy."""
        size = self.ranks * self.values * (self.value_bytes + HEADER_BYTES)
        return size / (network.nodes * network.store_bytes_per_s)

    def seconds(self, network: Network) -> float:
        """How long it takes."""
        return max(self.rank_s(network), self.store_s(network), self.link_s(network))


def phases(collective: str, world_size: int, part_bytes: int) -> list[Phase]:
    """The phases of a collective: a put, the get that waits for it, and so on; none for a rank alone.

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
            Phase(w - leaders, 1, m),
            Phase(leaders, members, m),
            *phases(flat, leaders, part_bytes),
            Phase(leaders, 1, m),
            Phase(w - leaders, 1, m, waits=True),
        ]
    return {
        "all_gather": [Phase(w, 1, m), Phase(w, w - 1, m)],
        "reduce": [Phase(w - 1, 1, m), Phase(1, w - 1, m), Phase(1, 1, m), Phase(w - 1, 1, m, waits=True)],
        "reduce_scatter": [Phase(w, w - 1, m / w), Phase(w, w - 1, m / w), Phase(w, 1, m / w), Phase(w, w - 1, m / w)],
    }[collective]


def seconds(collective: str, world_size: int, part_bytes: int, network: Network) -> float:
    """What one all-reduce takes.

    Args:
        collective: `all_gather`, `reduce`, `reduce_scatter` or `two_level`.
        world_size: Ranks.
        part_bytes: Bytes of one rank's part.
        network: The constants.

    Raises:
        KeyError: There is no such collective.
    """
    course = phases(collective, world_size, part_bytes)
    removed = sum(phase.ranks * phase.values * phase.pieces(network) for phase in course[::2])
    removal_s = removed * network.store_key_s / (network.nodes * network.store_cores)
    chain_s = removal_s + sum(phase.seconds(network) for phase in course)
    # All who wait for one value ask the node where it lies; leaders' values lie on several.
    askers = sum(phase.ranks for phase in course if phase.waits)
    asked_nodes = 1 if collective == "reduce" else network.nodes
    poll_s = askers * (network.store_trip_s + network.store_key_s) / (asked_nodes * network.store_cores)
    # Polls wait for one another, too.
    trip_s = network.latency_s + network.trip_s
    eager = min(EAGER_POLLS, chain_s / trip_s)
    polls = eager + max(0.0, chain_s / max(trip_s + POLL_INTERVAL_S, poll_s) - eager)
    busy_s = removal_s + sum(phase.store_s(network) for phase in course) + polls * poll_s
    return max(chain_s, busy_s)
