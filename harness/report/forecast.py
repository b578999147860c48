"""The estimated time and cost of a run on AWS, for other numbers of workers and memory sizes: bands of samples.

The training is the same, but divided differently: the global batch and the rounds stay, and so does the model.

    time(w) = start and load of the slowest rank + rounds * (exchange(w) + compute / w) + evaluation / w + storing

Rows, rounds, bytes and processor time are the run's; all of AWS is a preset's figure, drawn anew for each sample.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.presets.distribution import Constant
from harness.report.assumptions import Assumptions
from harness.report.billing import OF_LAMBDA, BilledRun, costs
from harness.report.course import sample_course
from harness.report.exchange_time import ExchangeSampler, ExchangeTime, collective_of
from harness.report.measurements import Measured
from harness.report.samples import Floats, band

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MB_PER_CPU = 1769
LONGEST_FUNCTION_S = 900
SAMPLES = 400
# The harness notices the last result by polling.
NOTICED_S = 0.1


@dataclass(frozen=True, slots=True)
class Forecast:
    """The estimate for a number of workers of one memory size.

    Attributes:
        workers: The number of workers.
        memory_mb: The memory size of each.
        collective: The collective of the exchange.
        start_s: Time until all workers run, the median.
        load_s: Time from then on until all workers have read and decoded their partitions, the median.
        exchange_s: Time of all all-reduces, the median.
        compute_s: Time of a worker's share of the training, the median.
        store_s: Time from the last round until all results are stored and the run is seen to have ended, the median.
        seconds: The whole time, the median.
        seconds_p10: A tenth of the samples is quicker.
        seconds_p90: A tenth of the samples is slower.
        round_ms: The median round in ms, with its computing.
        lambda_usd: The cost of workers and coordinator, the median.
        other_usd: The cost of everything else, the median.
        usd: The whole cost, the median.
        usd_p10: A tenth of the samples is cheaper.
        usd_p90: A tenth of the samples is dearer.
        cost_usd: The medians of the cost's parts; see `harness.report.billing.costs`.
        dominates: The part that takes most of the time.
        dominates_share: Its share.
        dominates_cost: The part that makes most of the cost.
        dominates_cost_share: Its share.
        note: Why the run may not work like this; empty if nothing speaks against it.
    """

    workers: int
    memory_mb: int
    collective: str
    start_s: float
    load_s: float
    exchange_s: float
    compute_s: float
    store_s: float
    seconds: float
    seconds_p10: float
    seconds_p90: float
    round_ms: float
    lambda_usd: float
    other_usd: float
    usd: float
    usd_p10: float
    usd_p90: float
    cost_usd: dict[str, float]
    dominates: str
    dominates_share: float
    dominates_cost: str
    dominates_cost_share: float
    note: str


@dataclass(frozen=True, slots=True)
class SampledRun:
    """The samples of a run with a number of workers of one memory size.

    Attributes:
        forecast: What is told of them.
        seconds: Its times.
        usd: Its costs.
    """

    forecast: Forecast
    seconds: Floats
    usd: Floats


def forecast(run: Measured, workers: list[int], memory_mb: list[int], assumptions: Assumptions) -> Iterator[Forecast]:
    """Yield an estimate for each number of workers and each memory size.

    Args:
        run: The measurements.
        workers: Numbers of workers.
        memory_mb: Memory sizes.
        assumptions: AWS's figures and rates.
    """
    for count in workers:
        for size in memory_mb:
            yield sample_run(run, count, size, assumptions).forecast


def sample_run(run: Measured, workers: int, memory_mb: int, assumptions: Assumptions) -> SampledRun:
    """Sample a run with so many workers of a memory size.

    Args:
        run: The measurements.
        workers: The number of workers.
        memory_mb: The memory size of each.
        assumptions: AWS's figures and rates.
    """
    rng = np.random.default_rng((assumptions.seed, workers))
    # A worker computes on one core: less memory gives it less of the core, more memory does not help.
    share = min(1.0, memory_mb / MB_PER_CPU)
    slowest = _slowest_cpu(workers, assumptions, rng) / share
    slower = float(np.median(slowest))
    course = sample_course(run, workers, slower, assumptions, rng, SAMPLES)
    collective = collective_of(run, workers, assumptions)
    exchange = ExchangeSampler(run, workers, slower, assumptions, rng).sample(collective, SAMPLES)
    ready, started = course.ready.max(axis=1), course.started.max(axis=1)
    compute = slowest * (run.rounds * run.compute_s + run.evaluation_s) / workers
    store = course.store.max(axis=1) + NOTICED_S
    seconds = ready + exchange.seconds + compute + store
    billed = BilledRun(workers, memory_mb, course, seconds, exchange.between_zones)
    parts = costs(billed, assumptions)
    usd = sum(parts.values(), np.zeros(SAMPLES))
    times = {
        "start": started,
        "load": ready - started,
        "exchange": exchange.seconds,
        "compute": compute,
        "store": store,
    }
    told = _told(run, workers, memory_mb, collective, seconds, usd, times, parts, exchange, slower)
    return SampledRun(told, seconds, usd)


def _slowest_cpu(workers: int, assumptions: Assumptions, rng: np.random.Generator) -> Floats:
    """Draw by how much the slowest worker's processor is slower than the run's."""
    factor = assumptions.varying("cpu_factor")
    if isinstance(factor, Constant):
        return np.full(SAMPLES, factor.value)
    slowest: Floats = factor.sample(rng, (SAMPLES, workers)).max(axis=1)
    return slowest


def _told(  # noqa: PLR0913, PLR0917 - the samples of one line
    run: Measured,
    workers: int,
    memory_mb: int,
    collective: str,
    seconds: Floats,
    usd: Floats,
    times: dict[str, Floats],
    parts: dict[str, Floats],
    exchange: ExchangeTime,
    slower: float,
) -> Forecast:
    time, cost = band(seconds), band(usd)
    medians = {name: float(np.median(samples)) for name, samples in times.items()}
    of_cost = {name: float(np.median(samples)) for name, samples in parts.items()}
    of_lambda = sum((parts[name] for name in OF_LAMBDA), np.zeros(len(usd)))
    slowest, dearest = (max(parts, key=parts.__getitem__) for parts in (medians, of_cost))
    return Forecast(
        workers=workers,
        memory_mb=memory_mb,
        collective=collective,
        **{f"{name}_s": value for name, value in medians.items()},
        seconds=time.p50,
        seconds_p10=time.p10,
        seconds_p90=time.p90,
        round_ms=1e3 * (exchange.round_s + slower * run.compute_s / workers),
        lambda_usd=float(np.median(of_lambda)),
        other_usd=float(np.median(usd - of_lambda)),
        usd=cost.p50,
        usd_p10=cost.p10,
        usd_p90=cost.p90,
        cost_usd=of_cost,
        dominates=slowest,
        dominates_share=medians[slowest] / sum(medians.values()),
        dominates_cost=dearest,
        dominates_cost_share=of_cost[dearest] / sum(of_cost.values()) if any(of_cost.values()) else 0.0,
        note=_note(run, workers, memory_mb, time.p90),
    )


def _note(run: Measured, workers: int, memory_mb: int, seconds: float) -> str:
    # While it is decoded, a partition is in memory twice: as the object and as rows.
    needed_mb = run.max_rss_mb + 2 * run.data_bytes * (1 / workers - 1 / run.workers) / 1e6
    if needed_mb > memory_mb:
        return f"needs about {math.ceil(needed_mb)} MB"
    if run.round_rows < workers:
        return f"only {run.round_rows} rows a round"
    return "beyond 15 min: a chain of functions" if seconds > LONGEST_FUNCTION_S else ""
