"""The constants of the simulated network between ranks and a store: a preset's figures, and our own code's times.

rank                                        store: one node, or several that share the keys
----                                        -----
pack, unpack:  frame_s + byte_s a byte      per round trip and per key, on `store_cores`
its own link:  rank_bytes_per_s    <---->   per node and direction: store_bytes_per_s
                        latency_s, both ways
"""

import math
from dataclasses import dataclass

from harness.presets.distribution import ByCount
from harness.presets.preset import Preset, load_preset

MB = 1e6


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

# Memcached on a node of two virtual CPUs, as cache.t3.medium.
_NODE_CORES = 2
# Connections of a rank to S3 (`training.run.results`), and S3's largest value.
_S3_CONNECTIONS, _S3_VALUE_BYTES = 16, 5 << 30


def elasticache(preset: Preset, functions: int = 1, nodes: int = 1) -> Network:
    """Return Lambda and ElastiCache in one zone, by a preset's medians, after the burst of a function's bandwidth.

    Args:
        preset: AWS's figures.
        functions: The number of functions in the VPC.
        nodes: The number of the cache's nodes.
    """
    return Network(
        latency_s=1e-3 * preset.typical("store_latency"),
        rank_bytes_per_s=MB * base_bandwidth(preset, functions),
        store_bytes_per_s=MB * preset.typical("store_bandwidth"),
        trip_s=_TRIP_S,
        frame_s=_FRAME_S,
        byte_s=_BYTE_S,
        store_trip_s=_STORE_TRIP_S,
        store_key_s=_STORE_KEY_S,
        store_cores=_NODE_CORES,
        nodes=nodes,
    )


def s3_store(preset: Preset) -> Network:
    """Return Lambda and S3 as the store, by a preset's medians; a trip takes the mean of a read and a write."""
    latency_ms = (preset.typical("s3_latency") + preset.typical("s3_write_latency")) / 2
    return Network(
        latency_s=1e-3 * latency_ms,
        rank_bytes_per_s=MB * min(preset.typical("s3_bandwidth"), preset.typical("function_bandwidth")),
        store_bytes_per_s=math.inf,
        trip_s=_TRIP_S,
        frame_s=_FRAME_S,
        byte_s=_BYTE_S,
        store_trip_s=0.0,
        store_key_s=1 / preset.typical("s3_reads"),
        keys_per_trip=_S3_CONNECTIONS,
        max_value_bytes=_S3_VALUE_BYTES,
    )


def base_bandwidth(preset: Preset, functions: int) -> float:
    """Return the bandwidth in the long run of each of so many functions in one VPC, MB/s."""
    alone, ceiling = preset.typical("function_bandwidth"), preset.value("vpc_bandwidth")
    return min(alone, ceiling.at(functions, below=alone) if isinstance(ceiling, ByCount) else ceiling.typical)


_DEFAULT = load_preset()
ELASTICACHE, S3 = elasticache(_DEFAULT), s3_store(_DEFAULT)
