"""Which collective is the quickest: a model with a latency per trip and a time per byte (alpha-beta).

All frames go through one store, so two things take time: the longest chain of trips and bytes that one rank has to
wait for, and all the bytes that the store itself moves. With w ranks and parts of m bytes:

    collective       trips   bytes on the longest chain   bytes through the store
    all_gather         2     w m                          w^2 m
    reduce             4     (w + 2) m                    (3w - 2) m
    reduce_scatter     4     (3w - 2)/w m                 (3w - 2) m

    seconds = trips * LATENCY_S + chain / RANK_BYTES_PER_S + store / STORE_BYTES_PER_S

A frame costs time beyond its bytes (header, key, two system calls), counted as `FRAME_BYTES` more.
Thakur, Rabenseifner, Gropp 2005, Optimization of Collective Communication Operations in MPICH, for the method;
the constants are those of ElastiCache and Lambda that LambdaML reports (SIGMOD 2021, table 6) and AWS's network
limit of a function.
"""

from functools import cache

LATENCY_S = 300e-6
RANK_BYTES_PER_S = 75e6
STORE_BYTES_PER_S = 630e6
FRAME_BYTES = 2000


def seconds(collective: str, world_size: int, part_bytes: int) -> float:
    """What one all-reduce takes by the model.

    Args:
        collective: `all_gather`, `reduce` or `reduce_scatter`.
        world_size: Ranks.
        part_bytes: Bytes of one rank's part.
    """
    w = world_size
    frame = part_bytes + FRAME_BYTES
    if collective == "all_gather":
        trips, chain, store = 2, w * frame, w * w * frame
    elif collective == "reduce":
        trips, chain, store = 4, (w + 2) * frame, (3 * w - 2) * frame
    else:
        frame = part_bytes // w + FRAME_BYTES
        trips, chain, store = 4, (3 * w - 2) * frame, w * (3 * w - 2) * frame
    return trips * LATENCY_S + chain / RANK_BYTES_PER_S + store / STORE_BYTES_PER_S


@cache
def quickest(world_size: int, part_bytes: int) -> str:
    """The collective that `auto` takes; the same on every rank, as it depends on nothing else."""
    return min(("all_gather", "reduce", "reduce_scatter"), key=lambda name: seconds(name, world_size, part_bytes))
