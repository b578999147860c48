"""The constants of the simulated network between ranks and a store, each with its source.

rank                                        store: one node, or several that share the keys
----                                        -----
pack, unpack:  frame_s + byte_s a byte      per round trip and per key, on `store_cores`
its own link:  rank_bytes_per_s    <---->   per node and direction: store_bytes_per_s
                        latency_s, both ways
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """Constants of a rank, its link and the store. All times in seconds, all rates in bytes a second.

    Attributes:
        latency_s: The latency of a round trip on the wire.
        rank_bytes_per_s: The bandwidth of a rank's link, each way.
        store_bytes_per_s: The bandwidth of a node's link, each way.
        trip_s: A rank's processor time per round trip.
        frame_s: A rank's processor time per value sent or received: key, header, checksum and the code around them.
        byte_s: A rank's processor time per byte: checksum, copy, addition.
        store_trip_s: The store's processor time per round trip.
        store_key_s: The store's processor time per key, found or not.
        store_byte_s: The store's processor time per byte.
        store_cores: The number of threads of a node that serve at once.
        nodes: The number of nodes; a rank asks them one after the other.
        keys_per_trip: The number of values sent at once: all of a node's in Memcached, one per connection in S3.
        max_value_bytes: Larger frames are split into pieces of this size.
        oversleep_s: By how much a short sleep exceeds the requested time.
        shared_cores: The number of cores that all ranks and the store share; 0 if each has its own.
    """

    latency_s: float
    rank_bytes_per_s: float
    store_bytes_per_s: float
    trip_s: float
    frame_s: float
    byte_s: float
    store_trip_s: float
    store_key_s: float
    store_byte_s: float = 0.0
    store_cores: int = 1
    nodes: int = 1
    keys_per_trip: int = 1 << 30
    max_value_bytes: int = (1 << 20) - 512
    oversleep_s: float = 60e-6
    shared_cores: int = 0


# The exchange on one core of the development machine, November 2026: `python -m benchmarks.scaling
# --constants-only`, medians of five.
_TRIP_S, _FRAME_S, _BYTE_S = 17e-6, 6e-6, 1.0e-9
_STORE_TRIP_S, _STORE_KEY_S = 10e-6, 1.4e-6

# Lambda and one node of ElastiCache.
# - a function's link: AWS's limit per function, about 600 Mbit/s
# - a node's link: 630 MB/s, cache.t3.medium (LambdaML, SIGMOD 2021, table 6), which has 2 vCPUs
# - one zone: under a millisecond
ELASTICACHE = Network(
    latency_s=300e-6,
    rank_bytes_per_s=75e6,
    store_bytes_per_s=630e6,
    trip_s=_TRIP_S,
    frame_s=_FRAME_S,
    byte_s=_BYTE_S,
    store_trip_s=_STORE_TRIP_S,
    store_key_s=_STORE_KEY_S,
    store_cores=2,
)

# S3 as the store.
# - 65 MB/s and 80 ms (LambdaML, table 6)
# - 5,500 reads a second and prefix (AWS, S3 performance guidelines); 16 connections a rank
S3 = Network(
    latency_s=80e-3,
    rank_bytes_per_s=65e6,
    store_bytes_per_s=math.inf,
    trip_s=_TRIP_S,
    frame_s=_FRAME_S,
    byte_s=_BYTE_S,
    store_trip_s=0.0,
    store_key_s=1 / 5500,
    keys_per_trip=16,
    max_value_bytes=5 << 30,
)
