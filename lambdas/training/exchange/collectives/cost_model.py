"""Which collective is the quickest: a model with a latency per round trip and a time per byte (alpha-beta).

All frames go through one store, so two things take time: the longest chain of round trips, frames and bytes that one
rank has to wait for, and all the frames and bytes that the store itself moves. With w ranks and parts of m bytes:

    collective       trips   frames   bytes on the longest chain   frames     bytes through the store
    all_gather         1      w        w m                          w^2        w^2 m
    reduce             3      w + 2    (w + 2) m                    3w - 2     (3w - 2) m
    reduce_scatter     2      3w - 2   (3w - 2)/w m                 w (3w-2)   (3w - 2) m

A put and the get behind it are one round trip.
The coordinator measures latency and bandwidth once for a run, by two small probes, and sends them in the workers'
events: a worker that comes back chooses as the others did, since its event is the same.
The store is assumed to move `STORE_RANKS` times what a rank does.
Without a measurement, the constants are those of ElastiCache and Lambda that LambdaML reports (SIGMOD 2021,
table 6) and AWS's network limit of a function.
Thakur, Rabenseifner, Gropp 2005, Optimization of Collective Communication Operations in MPICH, for the method.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

import msgspec

from training.exchange.channel.base import Channel, Value

# A frame's own time: header, key and check at a rank; its key and item at the store.
FRAME_S = 25e-6
STORE_FRAME_S = 2e-6
# 630 MB/s of a cache.t3.medium beside the 75 MB/s of a function.
STORE_RANKS = 8.4
# Large enough to show a bandwidth, small enough to take little more than a round trip.
PROBE_BYTES = 65_536
# A single round trip may be held up by anything.
PROBES = 3
# If a probe takes longer than this, stop: the measurement would be useless.
SLOW_S = 0.2


class Link(msgspec.Struct, frozen=True):
    """How a rank reaches the store.

    Attributes:
        latency_s: Of a round trip that moves next to nothing.
        bytes_per_s: What the rank can move.
        zone: The zone of whoever measured it, such as `use1-az1`; empty if it is not known.
    """

    latency_s: Annotated[float, msgspec.Meta(gt=0)] = 300e-6
    bytes_per_s: Annotated[float, msgspec.Meta(gt=0)] = 75e6
    zone: str = ""


USUAL = Link()


def probe(channel: Channel, key: str, now: Callable[[], float]) -> Link | None:
    """Measure a link by two small probes, the quickest of a few tries each.

    Args:
        channel: What to measure.
        key: A key that nobody else uses; nothing is left there.
        now: The clock, in seconds.

    Returns:
        The link; None if the probes are useless, because the store is slow to answer or loses the value.

    Raises:
        ChannelError: The store is not reachable or refuses.
    """
    value = bytes(min(PROBE_BYTES, channel.max_value_bytes))
    empty_s, full_s = [], []
    for _ in range(PROBES):
        took_s, found = _timed_round_trip(channel, {}, key, now)
        empty_s.append(took_s)
        if found or took_s > SLOW_S:
            return None
    for _ in range(PROBES):
        took_s, found = _timed_round_trip(channel, {key: value}, key, now)
        full_s.append(took_s)
        channel.delete_many([key])
        if not found or took_s > SLOW_S:
            return None
    moving_s = min(full_s) - min(empty_s)
    return Link(min(empty_s), 2 * len(value) / moving_s) if value and moving_s > 0 < min(empty_s) else None


def _timed_round_trip(
    channel: Channel, values: dict[str, bytes], key: str, now: Callable[[], float]
) -> tuple[float, Mapping[str, Value]]:
    started = now()
    found = channel.round_trip(values, [key])
    return now() - started, found


class Cost(NamedTuple):
    """What one all-reduce costs.

    Attributes:
        round_trips: Round trips on the longest chain that one rank has to wait for.
        frames: Frames on that chain.
        chain_bytes: Bytes on that chain.
        store_frames: Frames that the store moves.
        store_bytes: Bytes that the store moves.
    """

    round_trips: int
    frames: int
    chain_bytes: int
    store_frames: int
    store_bytes: int


def all_gather_cost(w: int, m: int) -> Cost:
    """Return the cost of `all_gather` for `w` ranks with parts of `m` bytes."""
    return Cost(1, w, w * m, w * w, w * w * m)


def reduce_cost(w: int, m: int) -> Cost:
    """Return the cost of `reduce` for `w` ranks with parts of `m` bytes."""
    return Cost(3, w + 2, (w + 2) * m, 3 * w - 2, (3 * w - 2) * m)


def reduce_scatter_cost(w: int, m: int) -> Cost:
    """Return the cost of `reduce_scatter` for `w` ranks with parts of `m` bytes."""
    return Cost(2, 3 * w - 2, (3 * w - 2) * m // w, w * (3 * w - 2), (3 * w - 2) * m)


def seconds(cost: Cost, link: Link = USUAL) -> float:
    """Return how long an all-reduce of this cost takes over a link."""
    at_rank = cost.round_trips * link.latency_s + cost.frames * FRAME_S + cost.chain_bytes / link.bytes_per_s
    return at_rank + cost.store_frames * STORE_FRAME_S + cost.store_bytes / (STORE_RANKS * link.bytes_per_s)
