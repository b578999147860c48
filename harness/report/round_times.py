"""The time of a run's rounds, sampled: while a function's burst of bandwidth lasts, and after it."""

from dataclasses import dataclass

import numpy as np

from harness.report.assumptions import Assumptions
from harness.report.network import MB, Network
from harness.report.sampled_rounds import Ranks, SampledExchange, Stations
from harness.report.samples import Floats
from harness.report.station import Buckets, Cable, DrawPool

# Samples at once, rounds in which the back-off learns, and rounds that count.
LINES, LEARNING, COUNTED = 12, 9, 16


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """Sampled rounds.

    Attributes:
        seconds: The time of each round in each sample, on rank 0: a line for a round.
    """

    seconds: Floats

    @property
    def period_s(self) -> float:
        """The mean time of a round: how much longer one more round makes a run."""
        return float(self.seconds.mean())

    @property
    def median_s(self) -> float:
        """The median time of a round on rank 0."""
        return float(np.median(self.seconds))

    @property
    def spread_s(self) -> float:
        """The standard deviation of a sum of many rounds, divided by the root of their number."""
        sums = self.seconds.sum(axis=0)
        return float(sums.std(ddof=1) / np.sqrt(len(self.seconds)))


def sample_rounds(
    collective: str,
    workers: int,
    part_bytes: int,
    assumptions: Assumptions,
    network: Network,
    rng: np.random.Generator,
    *,
    burst: bool,
    compute_s: float = 0.0,
) -> RoundTimes:
    """Sample rounds that follow one another.

    Args:
        collective: A name of `training.exchange.collectives.registry.REGISTRY`.
        workers: The number of workers, at least 2.
        part_bytes: The size of one worker's part in bytes.
        assumptions: AWS's figures.
        network: The constants of processors, and the number of nodes.
        rng: The generator.
        burst: Whether the functions' buckets have tokens; else they get only what is granted to them.
        compute_s: How long a worker computes in each round.
    """
    exchange = SampledExchange(
        collective, workers, part_bytes, _stations(workers, assumptions, network, rng, burst=burst)
    )
    now = np.zeros((LINES, workers))
    taken = []
    for _ in range(LEARNING + COUNTED):
        done = exchange.all_reduce(now + compute_s)
        taken.append((done - now)[:, 0])
        now = done
    return RoundTimes(np.array(taken[LEARNING:]))


def _stations(
    workers: int, assumptions: Assumptions, network: Network, rng: np.random.Generator, *, burst: bool
) -> Stations:
    # Functions take turns among the zones; the cache is in the first.
    elsewhere = np.arange(workers) % assumptions.zones > 0
    near = DrawPool(assumptions.varying("store_latency"), rng)
    far = DrawPool(assumptions.varying("store_latency_other_zone"), rng) if elsewhere.any() else near

    def draw(ranks: Ranks) -> Floats:
        shape = (LINES, len(ranks))
        # A rank asks the nodes one after the other.
        latency = sum((near.take(shape) for _ in range(assumptions.nodes)), np.zeros(shape))
        if elsewhere.any():
            other = sum((far.take(shape) for _ in range(assumptions.nodes)), np.zeros(shape))
            latency = np.where(elsewhere[ranks], other, latency)
        return latency

    figures = (
        MB * assumptions.number("function_burst"),
        MB * assumptions.number("function_burst_bandwidth"),
        MB * assumptions.function_bandwidth(workers),
        1e-3 * assumptions.number("function_pulse"),
    )
    starved = None if burst else rng
    node_rate = MB * assumptions.number("store_bandwidth") * assumptions.nodes
    return Stations(
        network,
        draw,
        Buckets((LINES, workers), *figures, starved),
        Buckets((LINES, workers), *figures, starved),
        Cable(LINES, node_rate),
        Cable(LINES, node_rate),
    )
