"""The estimated time and cost of a run on AWS, for other numbers of workers and memory sizes.

The training is the same, but divided differently: the global batch and the rounds stay, and so does the model.

    seconds(w) = start(w) + data / (w S3's rate) + rounds * (exchange(w) + compute / w) + evaluation / w

Rows, rounds, bytes and processor time are the run's; each property of AWS is a `Constant` with its source and date.
The time of the exchange is that of `harness.report.closed_form`, which is checked against the simulation.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from harness.report.closed_form import seconds as exchange_seconds
from harness.report.constants import CONSTANTS
from harness.report.network import ELASTICACHE, Network

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MB_PER_CPU = 1769
# The size of an epoch's evaluation, for two classes.
FIGURES_BYTES = 64
# The collectives with bit-identical sums, among which `auto` chooses.
FLAT = ("all_gather", "reduce", "reduce_scatter")


# (Number of workers, seconds until all of them run), from LambdaML; 1.2 s for fewer than 10, too.
_START = ((0, 1.2), (10, 1.2), (50, 11.0), (100, 18.0), (200, 35.0))
# A worker stores its record and its timings; rank 0 also stores the model and the result.
_PUTS_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements of a finished run.

    Attributes:
        run_id: The run.
        sync_mode: Its collective, as requested.
        workers: The number of workers.
        rows: The training rows of all workers.
        data_bytes: The size of all partitions in bytes.
        part_bytes: The size of one rank's part of an update in bytes.
        rounds: The number of rounds.
        other_all_reduces: The number of all-reduces outside the rounds: joining, evaluation.
        round_rows: The rows of a round, over all workers.
        compute_s: The processor time of a round, over all workers.
        evaluation_s: The processor time outside loading and rounds, which is evaluation, over all workers.
        decode_s: The processor time of loading, without the transfer, over all workers.
        max_rss_mb: The memory of the largest worker.
    """

    run_id: str
    sync_mode: str
    workers: int
    rows: int
    data_bytes: int
    part_bytes: int
    rounds: int
    other_all_reduces: int
    round_rows: int
    compute_s: float
    evaluation_s: float
    decode_s: float
    max_rss_mb: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The estimate for a number of workers of one memory size.

    Attributes:
        workers: The number of workers.
        memory_mb: The memory size of each.
        collective: The collective of the exchange.
        start_s: Time until all workers run.
        load_s: Time to read and decode a partition.
        exchange_s: Time of all all-reduces.
        compute_s: Time of a worker's share of the training.
        seconds: The sum of these times.
        lambda_usd: The cost of workers and coordinator.
        other_usd: The cost of the cache's nodes for that time, and of S3's requests.
        note: Why the run may not work like this; empty if nothing speaks against it.
    """

    workers: int
    memory_mb: int
    collective: str
    start_s: float
    load_s: float
    exchange_s: float
    compute_s: float
    seconds: float
    lambda_usd: float
    other_usd: float
    note: str

    @property
    def usd(self) -> float:
        """Return the total cost."""
        return self.lambda_usd + self.other_usd


def constants(changed: Mapping[str, float]) -> dict[str, float]:
    """Return the values of all constants by name, with some of them changed."""
    return {constant.name: changed.get(constant.name, constant.value) for constant in CONSTANTS}


def network_of(values: Mapping[str, float]) -> Network:
    """Return the network that the constants describe."""
    return replace(
        ELASTICACHE,
        latency_s=values["store_latency"] / 1e3,
        rank_bytes_per_s=values["function_bandwidth"] * 1e6,
        store_bytes_per_s=values["store_bandwidth"] * 1e6,
        nodes=int(values["store_nodes"]),
    )


def start_seconds(workers: int) -> float:
    """Return the seconds until so many workers run: interpolated between known points, or extrapolated."""
    points = list(itertools.pairwise(_START))
    (w0, s0), (w1, s1) = next((pair for pair in points if workers <= pair[1][0]), points[-1])
    return s0 + (workers - w0) * (s1 - s0) / (w1 - w0)


def forecast(
    run: Measured, workers: list[int], memory_mb: list[int], values: Mapping[str, float]
) -> Iterator[Forecast]:
    """Yield an estimate for each number of workers and each memory size.

    Args:
        run: The measurements.
        workers: Numbers of workers.
        memory_mb: Memory sizes.
        values: The constants, see `constants`.
    """
    for count in workers:
        for size in memory_mb:
            yield _one(run, count, size, values)


def _one(run: Measured, workers: int, memory_mb: int, values: Mapping[str, float]) -> Forecast:
    # A worker computes on one core: less memory gives it less of the core, more memory does not help.
    slower = values["cpu_factor"] / min(1.0, memory_mb / MB_PER_CPU)
    network = network_of(values)
    network = replace(
        network, trip_s=network.trip_s * slower, frame_s=network.frame_s * slower, byte_s=network.byte_s * slower
    )
    collective = _collective(run, workers, network)
    start_s = values["start_scale"] * start_seconds(workers)
    transfer_s = values["s3_latency"] / 1e3 + run.data_bytes / workers / (values["s3_bandwidth"] * 1e6)
    load_s = transfer_s + slower * run.decode_s / workers
    figures_s = exchange_seconds(_flat(workers, FIGURES_BYTES, network), workers, FIGURES_BYTES, network)
    update_s = exchange_seconds(collective, workers, run.part_bytes, network)
    exchange_s = run.rounds * update_s + run.other_all_reduces * figures_s
    compute_s = slower * (run.rounds * run.compute_s + run.evaluation_s) / workers
    total_s = start_s + load_s + exchange_s + compute_s
    # Workers start one after the other, so on average each is billed for half of the start.
    gb_s = (workers * (total_s - start_s / 2) + start_s) * memory_mb / 1024
    requests = workers + 1
    return Forecast(
        workers=workers,
        memory_mb=memory_mb,
        collective=collective,
        start_s=start_s,
        load_s=load_s,
        exchange_s=exchange_s,
        compute_s=compute_s,
        seconds=total_s,
        lambda_usd=gb_s * values["lambda_price"] + requests * values["request_price"] / 1e6,
        other_usd=total_s / 3600 * values["store_price"] * values["store_nodes"]
        + workers * values["s3_get_price"] / 1e3
        + (_PUTS_PER_WORKER * workers + 2) * values["s3_put_price"] / 1e3,
        note=_note(run, workers, memory_mb, total_s),
    )


def _collective(run: Measured, workers: int, network: Network) -> str:
    if run.sync_mode == "auto":
        return _flat(workers, run.part_bytes, network)
    # A stale exchange waits no longer than an all-gather.
    return "all_gather" if run.sync_mode == "async" else run.sync_mode


def _flat(workers: int, part_bytes: int, network: Network) -> str:
    return min(FLAT, key=lambda name: exchange_seconds(name, workers, part_bytes, network))


def _note(run: Measured, workers: int, memory_mb: int, total_s: float) -> str:
    # While it is decoded, a partition is in memory twice: as the object and as rows.
    needed_mb = run.max_rss_mb + 2 * run.data_bytes * (1 / workers - 1 / run.workers) / 1e6
    if needed_mb > memory_mb:
        return f"needs about {math.ceil(needed_mb)} MB"
    if run.round_rows < workers:
        return f"only {run.round_rows} rows a round"
    return "beyond 15 min: a chain of functions" if total_s > 900 else ""
