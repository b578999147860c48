"""The time of all exchanges of a run, sampled: rounds during the burst of its functions' bandwidth, and after it."""

from dataclasses import dataclass, replace

import numpy as np

from harness.report.assumptions import Assumptions
from harness.report.measurements import Measured
from harness.report.network import MB, Network, elasticache
from harness.report.round_times import RoundTimes, sample_rounds
from harness.report.samples import Floats
from harness.report.traffic import RankTraffic, traffic
from training.exchange.collectives.cost_model import Link
from training.exchange.collectives.registry import quickest

# The size of an epoch's evaluation, for two classes.
FIGURES_BYTES = 64


@dataclass(frozen=True, slots=True)
class ExchangeTime:
    """The exchanges of a run.

    Attributes:
        seconds: The time of all of them, for each sample.
        round_s: The median exchange of a round.
        between_zones: The bytes that functions in other zones than the cache's send and receive.
    """

    seconds: Floats
    round_s: float
    between_zones: float


def collective_of(run: Measured, workers: int, assumptions: Assumptions) -> str:
    """Return the collective of a run's updates; for `auto`, the one that its ranks choose by the cache's link."""
    if run.sync_mode == "auto":
        return _automatic(workers, run.part_bytes, assumptions)
    # A stale exchange waits no longer than an all-gather.
    return "all_gather" if run.sync_mode == "async" else run.sync_mode


class ExchangeSampler:
    """The exchanges of a run with a number of workers.

    Args:
        run: The measurements.
        workers: The number of workers.
        slower: How many times as long a worker computes as in the run.
        assumptions: AWS's figures.
        rng: The generator.
    """

    def __init__(
        self, run: Measured, workers: int, slower: float, assumptions: Assumptions, rng: np.random.Generator
    ) -> None:
        self._run, self._workers, self._assumptions, self._rng = run, workers, assumptions, rng
        self._network = _slowed(elasticache(assumptions.preset, workers, assumptions.nodes), slower)
        self._compute_s = slower * run.compute_s / workers

    def sample(self, collective: str, samples: int) -> ExchangeTime:
        """Return the time of all exchanges.

        Args:
            collective: The collective of updates.
            samples: How many samples.
        """
        run, workers = self._run, self._workers
        if workers == 1:
            return ExchangeTime(np.zeros(samples), 0.0, 0.0)
        moved = traffic(collective, workers, run.part_bytes)
        quick = self._rounds(collective, run.part_bytes, burst=True)
        n_quick = self._rounds_within_burst(moved, quick)
        seconds = self._sum(quick, n_quick, samples)
        middle = quick
        if n_quick < run.rounds:
            slow = self._rounds(collective, run.part_bytes, burst=False)
            seconds += self._sum(slow, run.rounds - n_quick, samples)
            middle = quick if n_quick > run.rounds / 2 else slow
        figures = _automatic(workers, FIGURES_BYTES, self._assumptions)
        if run.other_all_reduces:
            # Those of an evaluation begin when all have computed, and are as short as its figures.
            times = self._rounds(figures, FIGURES_BYTES, burst=True)
            seconds += self._sum(times, run.other_all_reduces, samples)
        # Functions take turns among the zones; the cache is in the first.
        elsewhere = np.arange(workers) % self._assumptions.zones > 0
        between = run.rounds * float(sum(part[elsewhere].sum() for part in moved))
        return ExchangeTime(seconds, max(0.0, middle.median_s - self._compute_s), between)

    def _rounds(self, collective: str, part_bytes: int, *, burst: bool) -> RoundTimes:
        return sample_rounds(
            collective,
            self._workers,
            part_bytes,
            self._assumptions,
            self._network,
            self._rng,
            burst=burst,
            compute_s=self._compute_s,
        )

    def _sum(self, times: RoundTimes, rounds: float, samples: int) -> Floats:
        """Draw the exchanges of so many rounds: sums of many are normal, and computing is counted elsewhere."""
        mean = max(0.0, times.period_s - self._compute_s)
        drawn = rounds * mean + np.sqrt(rounds) * times.spread_s * self._rng.standard_normal(samples)
        seconds: Floats = np.maximum(0.0, drawn)
        return seconds

    def _rounds_within_burst(self, moved: RankTraffic, quick: RoundTimes) -> float:
        """Return how many rounds the burst of the busiest function lasts, which has read its rows from S3 with it."""
        number = self._assumptions.number
        # What is granted beyond the size of the bucket is lost.
        granted = min(
            MB * self._assumptions.function_bandwidth(self._workers) * quick.period_s, MB * number("function_burst")
        )
        lasting = []
        for used, per_round in ((0.0, moved.sent.max()), (self._run.data_bytes / self._workers, moved.received.max())):
            left = max(0.0, MB * number("function_burst") - used)
            lasting.append(left / (per_round - granted) if per_round > granted else float(self._run.rounds))
        return min(float(self._run.rounds), *lasting)


def _automatic(workers: int, part_bytes: int, assumptions: Assumptions) -> str:
    bandwidth = "function_burst_bandwidth" if assumptions.number("function_burst") else "function_bandwidth"
    link = Link(1e-3 * assumptions.number("store_latency"), MB * assumptions.number(bandwidth))
    return quickest(workers, part_bytes, link)


def _slowed(network: Network, slower: float) -> Network:
    return replace(
        network, trip_s=network.trip_s * slower, frame_s=network.frame_s * slower, byte_s=network.byte_s * slower
    )
