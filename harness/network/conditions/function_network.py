"""The network of one environment of a function: its draws and its two token buckets, for all of its connections."""

from harness.network.conditions.buckets import MB, SharedCable, TokenBucket
from harness.network.conditions.draws import Draws
from harness.presets.distribution import ByCount, Constant, Distribution
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.zones import CACHE_ZONE

# The figures that are drawn, ms.
LATENCIES = ("store_latency", "store_latency_other_zone", "s3_latency", "s3_write_latency")


class FunctionNetwork:
    """The network of one environment.

    Attributes:
        zone: Its zone.
        store: The name of the figure that is its trip's to the cache: `store_latency`, or that of another zone.
        sent: The bucket of what it sends, to the cache and to S3.
        received: The bucket of what it receives.
        s3_reads: The bandwidth of its reads from S3, for all of its connections; their bytes pass `received` as well.
        s3_writes: The bandwidth of its writes, likewise.

    Args:
        network: What is emulated.
        number: Tells the draws of environments apart: its place among those that were seen in this run's stack.
        zone: Its zone.
        now: The time.
    """

    def __init__(self, network: EmulatedNetwork, number: int, zone: str, now: float) -> None:
        self.zone = zone
        self.store = "store_latency" if zone == CACHE_ZONE else "store_latency_other_zone"
        self._draws = {}
        for kind, name in enumerate(LATENCIES):
            value = network.figures[name]
            assert isinstance(value, Distribution | Constant)  # noqa: S101 - a preset's loader has checked it
            self._draws[name] = Draws(value, (network.seed, number, kind), scale=1e-3)
        figure = {name: number_of(network, name) for name in _NUMBERS}
        bucket = (
            MB * figure["function_burst"],
            MB * figure["function_burst_bandwidth"],
            MB * figure["function_bandwidth"],
            1e-3 * figure["function_pulse"],
        )
        self.sent, self.received = TokenBucket(*bucket, now), TokenBucket(*bucket, now)
        self.s3_reads = SharedCable(MB * figure["s3_bandwidth"])
        self.s3_writes = SharedCable(MB * figure["s3_write_bandwidth"])

    def draw_s(self, name: str) -> float:
        """Return the next draw of one of `LATENCIES`, s."""
        return self._draws[name].draw()

    def limit(self, base_rate: float) -> None:
        """Set the bandwidth in the long run, bytes/s: it depends on how many functions there are."""
        self.sent.limit(base_rate)
        self.received.limit(base_rate)


_NUMBERS = (
    "function_burst",
    "function_burst_bandwidth",
    "function_bandwidth",
    "function_pulse",
    "s3_bandwidth",
    "s3_write_bandwidth",
)


def number_of(network: EmulatedNetwork, name: str) -> float:
    """Return a figure that is a number."""
    value = network.figures[name]
    if isinstance(value, ByCount):
        raise TypeError(f"{name} depends on the number of functions")
    return value.typical
