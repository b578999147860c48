"""What a calibration measures, and what that costs on AWS."""

from dataclasses import dataclass

from harness.presets.prices import Prices

# Parts of a second that an invocation takes beside what it measures.
_OVERHEAD_S = 0.5
# A start, with the imports of a worker, and until the calibration has seen it in S3.
_START_S = 1.2
_LOOKS_PER_S = 4


@dataclass(frozen=True)
class CalibrationPlan:
    """What is measured, and how often.

    Attributes:
        n_starts: Environments that start one by one, and at once.
        rounds: How often they start one by one.
        bursts: How often they start at once.
        warm: Invocations of warm environments.
        at_once: Environments that measure latencies at the same time: enough to meet every zone, too few to disturb one
            another.
        trips: Round trips to the cache, of each measuring environment.
        requests: Reads from S3, and writes to it, of each measuring environment.
        transfer_s: How long a transfer is watched: long enough to use up the burst of a function's network.
        connections: Connections of a transfer.
        object_mb: The size of the object that is read; a multiple of 8, so that its parts are equal.
        writes: Writes of such a size that are timed.
        memory_mb: Memory sizes at which the processor is measured; the first is the one of `function_gflops`.
        processor_s: How long the processor is measured at each of them.
        limits: Whether the limit of requests a second is looked for, too: it costs ten times the rest.
        limit_s: For how long.
    """

    n_starts: int = 10
    rounds: int = 3
    bursts: int = 2
    warm: int = 20
    at_once: int = 4
    trips: int = 500
    requests: int = 100
    transfer_s: float = 10.0
    connections: int = 4
    object_mb: int = 32
    writes: int = 8
    memory_mb: tuple[int, ...] = (1024, 1769, 3008)
    processor_s: float = 3.0
    limits: bool = False
    limit_s: float = 5.0


def expected_usd(plan: CalibrationPlan, memory_mb: int, prices: Prices, limit_per_s: tuple[float, float]) -> float:
    """Return what a calibration costs on AWS beside the deployment itself, USD.

    Args:
        plan: What is measured.
        memory_mb: The worker's memory size.
        prices: The region's prices.
        limit_per_s: Reads and writes a second of one prefix, which `plan.limits` sends.
    """
    gb = memory_mb / 1024
    # Those that started first wait for the last one.
    held_s = plan.rounds * plan.n_starts * (plan.n_starts + 1) / 2 * _START_S + plan.bursts * plan.n_starts * _START_S
    trips_s = plan.at_once * (plan.trips * 0.002 + plan.requests * 0.08 + 2 * _OVERHEAD_S)
    gb_s = gb * (held_s + plan.warm * 0.01 + trips_s + 3 * (plan.transfer_s + _OVERHEAD_S))
    gb_s += sum(memory / 1024 * (plan.processor_s + _OVERHEAD_S) for memory in plan.memory_mb)
    starts = (plan.rounds + plan.bursts) * (plan.n_starts + 1)
    invocations = starts + plan.warm + 2 * plan.at_once + 3 + len(plan.memory_mb)
    reads = _LOOKS_PER_S * (held_s + plan.n_starts * plan.rounds * _START_S) + plan.at_once * plan.requests + 500
    writes: float = starts + plan.at_once * plan.requests + plan.writes
    if plan.limits:
        gb_s += gb * 2 * plan.n_starts * (plan.limit_s + _OVERHEAD_S)
        invocations += 2 * plan.n_starts
        reads += plan.limit_s * limit_per_s[0]
        writes += plan.limit_s * limit_per_s[1]
    usd = gb_s * prices.lambda_gb_s + invocations * prices.requests_1m / 1e6
    return usd + reads * prices.s3_get_1k / 1000 + writes * prices.s3_put_1k / 1000
