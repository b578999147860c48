"""Which collective is the quickest: a model with a latency per trip and a time per byte (alpha-beta).

All frames go through one store, so two things take time: the longest chain of trips, frames and bytes that one rank
has to wait for, and all the frames and bytes that the store itself moves. With w ranks and parts of m bytes:

    collective       trips   frames   bytes on the longest chain   frames     bytes through the store
    all_gather         1      w        w m                          w^2        w^2 m
    reduce             3      w + 2    (w + 2) m                    3w - 2     (3w - 2) m
    reduce_scatter     2      3w - 2   (3w - 2)/w m                 w (3w-2)   (3w - 2) m

A put and the get behind it are one trip.
The store is taken to move `STORE_RANKS` times what a rank does.
The constants are those of ElastiCache and Lambda that LambdaML reports (SIGMOD 2021, table 6) and AWS's network limit
of a function; they are not measured, as ranks that come back must choose what the others have chosen.
Thakur, Rabenseifner, Gropp 2005, Optimization of Collective Communication Operations in MPICH, for the method.
"""

from functools import cache
from typing import NamedTuple

# A frame's own time: header, key and check at a rank; its key and item at the store.
FRAME_S = 25e-6
STORE_FRAME_S = 2e-6
# 630 MB/s of a cache.t3.medium beside the 75 MB/s of a function.
STORE_RANKS = 8.4


class Link(NamedTuple):
    """How a rank reaches the store.

    Attributes:
        latency_s: Of a trip that moves next to nothing.
        bytes_per_s: What the rank can move.
    """

    latency_s: float = 300e-6
    bytes_per_s: float = 75e6


USUAL = Link()


def seconds(collective: str, world_size: int, part_bytes: int, link: Link = USUAL) -> float:
    """What one all-reduce takes by the model.

    Args:
        collective: `all_gather`, `reduce` or `reduce_scatter`.
        world_size: Ranks.
        part_bytes: Bytes of one rank's part.
        link: How the ranks reach the store.
    """
    w, m = world_size, part_bytes
    if collective == "all_gather":
        trips, frames, chain, store_frames, store = 1, w, w * m, w * w, w * w * m
    elif collective == "reduce":
        trips, frames, chain, store_frames, store = 3, w + 2, (w + 2) * m, 3 * w - 2, (3 * w - 2) * m
    else:
        trips, frames, chain = 2, 3 * w - 2, (3 * w - 2) * m // w
        store_frames, store = w * (3 * w - 2), (3 * w - 2) * m
    at_rank = trips * link.latency_s + frames * FRAME_S + chain / link.bytes_per_s
    return at_rank + store_frames * STORE_FRAME_S + store / (STORE_RANKS * link.bytes_per_s)


@cache
def quickest(world_size: int, part_bytes: int, link: Link = USUAL) -> str:
    """The collective that `auto` takes; the same on every rank, as it depends on nothing else."""
    return min(("all_gather", "reduce", "reduce_scatter"), key=lambda name: seconds(name, world_size, part_bytes, link))
