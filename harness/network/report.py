"""What an emulated network says of itself: `GET /network` of its process."""

import msgspec

from harness.network.conditions.tally import TripFigures
from harness.network.hop import OwnHop


class Wanted(msgspec.Struct, frozen=True):
    """The figures that this machine must reach.

    Attributes:
        trip_ms: The median of a trip to the cache in its zone.
        function_bandwidth: A function's during its burst, MB/s.
        node_bandwidth: The cache's, MB/s.
    """

    trip_ms: float
    function_bandwidth: float
    node_bandwidth: float


class NetworkReport(msgspec.Struct, frozen=True):
    """An emulated network.

    Attributes:
        preset: The preset's name.
        seed: The seed of its draws.
        zones: The number of zones that functions are in.
        cache_zone: The zone that the cache is in.
        wanted: What this machine must reach.
        own: What it takes by itself.
        trips: What was drawn and delivered, by kind and zone.
    """

    preset: str
    seed: int
    zones: int
    cache_zone: str
    wanted: Wanted
    own: OwnHop
    trips: list[TripFigures]
